"""The scorecard as it is printed: what it says, and what it owns up to."""

import csv
import io

from transfergrid.evidence.chosen.scorecard import scorecard
from transfergrid.evidence.statistics.rank_statistics import Forecast
from transfergrid.report.html.drawing import drawn
from transfergrid.report.html.forecasts import scored
from transfergrid.report.tables.sheet import render
from transfergrid.report.views import scorecard_view


def forecasts(score, values, gains, **more):
    group = {"target": "digits", "labels": 5, "strategy": "full_finetuning"} | more
    return [
        Forecast(score=score, source=f"s{i}", value=v, gain=g, negative=g < 0, **group)
        for i, (v, g) in enumerate(zip(values, gains, strict=True))
    ]


GAINS = [-3.0, 1.0, 2.0, 4.0, 5.0]
GOOD, BAD = [1, 2, 3, 5, 4], [5, 4, 3, 2, 1]
REAL = scorecard([*forecasts("good", GOOD, GAINS), *forecasts("bad", BAD, GAINS)])
HARM = scorecard([*forecasts("good", GOOD, GAINS), *forecasts("bad", BAD, [-1, -1, 2, 4, 5])])


def test_each_score_is_a_line_best_first_with_its_interval_regret_and_pairs():
    head, good, bad, *_ = render(scorecard_view.scores(REAL, HARM)).splitlines()
    assert " ".join(head.split()) == "score τ regret AUROC placebos sources"
    assert " ".join(good.split()) == "good 0.67 [-0.63, 1.00] 1.0 1.00 (4) 1.00 (4) 5 in 1"
    # opposed throughout: no source less makes a difference, and so there is no interval
    assert " ".join(bad.split()) == "bad -1.00 8.0 0.00 (4) 0.00 (6) 5 in 1"


def test_values_that_cannot_be_are_marked():
    wrong = [Forecast(**{**vars(f), "out_of_bounds": 2}) for f in forecasts("h", [1, 2], [1, 2])]
    rows = scorecard(wrong)
    assert render(scorecard_view.scores(rows, rows)).splitlines()[1].endswith("2 in 1!")


def test_the_page_has_room_for_counts_and_says_what_they_are():
    wrong = [Forecast(**{**vars(f), "out_of_bounds": 2}) for f in forecasts("h", [1, 2], [1, 2])]
    rows = scorecard(wrong)
    section = scored(rows, rows)
    shown = drawn(section.tables[0])
    assert dict(zip(shown.heads, shown.lines[0], strict=True)) == (
        {"score": "h", "τ": "1.00", "regret": "0.0", "AUROC": "–", "placebos": "–"}
        | {"sources": "2", "comparisons": "1", "impossible": "4"}
    )
    assert "impossible: how many values of the score cannot be" in section.lines[0]
    assert "!" not in section.lines[0]
    assert "impossible" not in drawn(scored(REAL, HARM).tables[0]).heads


def test_programs_get_both_counts_of_harm():
    text = render(scorecard_view.scores(REAL, HARM), "csv")
    good, bad = csv.DictReader(io.StringIO(text))
    assert (good["auroc_pairs"], good["pairs_with_placebos"]) == ("4", "4")
    assert (bad["auroc"], bad["auroc_with_placebos"], bad["pairs_with_placebos"]) == (
        "0.0",
    ) * 2 + ("6",)


def test_what_keeps_scores_from_saying_much_is_told_once():
    few = scorecard([*forecasts("a", [1, 2], [1, 2]), *forecasts("b", [1, 2], [1, 2])])
    assert scorecard_view.scores_legend(few).endswith("All scores: too few sources to say: 2.")
    mixed = [*few, *REAL]
    assert "a, b: too few sources to say: 2." in scorecard_view.scores_legend(mixed)
    assert scorecard_view.scores_legend(REAL[:1]) == scorecard_view.SCORES
    assert scorecard_view.scores_legend(REAL).endswith("one source at a time shows no spread.")


def test_that_scores_and_not_gains_are_compared_is_told_where_it_is_so():
    cells = [
        Forecast(**{**vars(f), "mean": f.gain, "baselines": frozenset({f.source})})
        for f in forecasts("a", GOOD, GAINS)
    ]
    mixed = scorecard([*cells, *forecasts("a", GOOD, GAINS, target="letters")])
    told = "In 1 of the comparisons sources have baselines of their own"
    assert told in scorecard_view.scores_legend(mixed)
    assert told not in scorecard_view.scores_legend(REAL)
