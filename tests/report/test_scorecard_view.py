"""The scorecard as it is printed: what it says, and what it owns up to."""

import csv
import io

from transfergrid.evidence.scorecard import Forecast, scorecard
from transfergrid.report import verdict_views


def forecasts(score, values, gains, **more):
    group = {"target": "digits", "labels": 5, "strategy": "full_finetuning"} | more
    return [
        Forecast(score=score, source=f"s{i}", value=v, gain=g, negative=g < 0, **group)
        for i, (v, g) in enumerate(zip(values, gains, strict=True))
    ]


GAINS = [-3.0, 1.0, 2.0, 4.0]
REAL = scorecard([*forecasts("good", [1, 2, 3, 4], GAINS), *forecasts("bad", [4, 3, 2, 1], GAINS)])
HARM = scorecard(
    [*forecasts("good", [1, 2, 3, 4], GAINS), *forecasts("bad", [4, 3, 2, 1], [-1, -1, 2, 4])]
)


def test_each_score_is_a_line_best_first_with_its_interval_regret_and_pairs():
    head, good, bad = verdict_views.scores(REAL, HARM).splitlines()
    assert " ".join(head.split()) == "score τ regret AUROC placebos sources"
    assert " ".join(good.split()) == "good 1.00 [1.00, 1.00] 0.0 1.00 (3) 1.00 (3) 4 in 1"
    assert " ".join(bad.split()) == "bad -1.00 [-1.00, -1.00] 7.0 0.00 (3) 0.00 (4) 4 in 1"


def test_values_that_cannot_be_are_marked():
    wrong = [Forecast(**{**vars(f), "out_of_bounds": 2}) for f in forecasts("h", [1, 2], [1, 2])]
    rows = scorecard(wrong)
    assert verdict_views.scores(rows, rows).splitlines()[1].endswith("2 in 1!")


def test_programs_get_both_counts_of_harm():
    text = verdict_views.scores(REAL, HARM, "csv")
    good, bad = csv.DictReader(io.StringIO(text))
    assert (good["auroc_pairs"], good["pairs_with_placebos"]) == ("3", "3")
    assert (bad["auroc"], bad["auroc_with_placebos"], bad["pairs_with_placebos"]) == (
        "0.0",
    ) * 2 + ("4",)


def test_what_keeps_scores_from_saying_much_is_told_once():
    few = scorecard([*forecasts("a", [1, 2], [1, 2]), *forecasts("b", [1, 2], [1, 2])])
    assert verdict_views.scores_legend(few).endswith("All scores: too few sources to say: 2.")
    mixed = [*few, *REAL]
    assert "a, b: too few sources to say: 2." in verdict_views.scores_legend(mixed)
    assert verdict_views.scores_legend(REAL) == verdict_views.SCORES
