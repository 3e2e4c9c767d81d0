"""The side views say what they were given, in every format, and no more than that."""

import csv
import io
import json
from dataclasses import replace

import pytest

from transfergrid.evidence.side_effects import Change, SideEffects
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.robustness import Flip
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.report.html.drawing import drawn
from transfergrid.report.html.sections import came_with
from transfergrid.report.tables.sheet import render
from transfergrid.report.views import verdict_views
from transfergrid.report.wording.words import ASCII, UNICODE

VERDICT = Verdict(
    source="glyphs",
    architecture="net",
    strategy="a",
    target="digits",
    labels=20,
    baseline="scratch",
    n=5,
    gain=4.04,
    low=2.0,
    high=6.0,
    p=0.01,
    p_corrected=0.01,
    verdict=Kind.POSITIVE,
    detectable=2.0,
    seeds_needed=None,
    unit="%",
)
WORSE = replace(VERDICT, baseline="scratch_converged", verdict=Kind.NEGATIVE, gain=-3.04)
UNSURE = replace(VERDICT, verdict=Kind.UNDECIDED, gain=1.0)
FLIP = Flip(VERDICT, {"over scratch_converged": WORSE, "this test set only": UNSURE})
PART = replace(
    VERDICT,
    group="a|b",
    items=100,
    mean=50.0,
    baseline_mean=70.0,
    gain=-20.0,
    low=-25.0,
    high=-15.0,
    p=0.001,
    p_corrected=0.004,
    verdict=Kind.NEGATIVE,
)
EFFECTS = SideEffects(
    VERDICT, Change(5, 10.0, 5.0, 5.0, 3.75, 6.25), Change(1, 14.0, 9.0, 5.0, None, None), None
)


def as_csv(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_flip_has_a_line_for_each_way_in_which_it_does():
    text = render(verdict_views.flips([FLIP]))
    header, first, second, *_ = text.splitlines()
    assert header.split() == ["target,", "labels", "source", "strategy", "flip", "when", "gain"]
    assert first.split() == (
        ["digits,", "20", "glyphs", "a", "▲", "to", "▼", "over", "scratch_converged", "-3.0"]
    )
    assert "▲ to ?" in second
    assert "+1.0" in second
    assert "+ to -" in render(verdict_views.flips([FLIP]), ascii_only=True)


def test_flips_for_programs_hold_both_verdicts():
    rows = json.loads(render(verdict_views.flips([FLIP]), "json"))
    assert [(r["verdict"], r["looked_at"], r["other_verdict"], r["other_gain"]) for r in rows] == [
        ("positive", "over scratch_converged", "negative", -3.04),
        ("positive", "this test set only", "undecided", 1.0),
    ]
    listed = as_csv(render(verdict_views.flips([FLIP]), "csv"))
    assert [row["looked_at"] for row in listed] == [row["looked_at"] for row in rows]
    assert {(row["source"], row["labels"], row["n"]) for row in listed} == {("glyphs", "20", "5")}


def test_nothing_that_flips_is_nothing():
    assert render(verdict_views.flips([])).startswith("No verdict flips.\n")
    assert json.loads(render(verdict_views.flips([]), "json")) == []
    assert as_csv(render(verdict_views.flips([]), "csv")) == []


@pytest.mark.parametrize("symbols", [UNICODE, ASCII])
def test_the_legend_explains_every_mark(symbols):
    text = verdict_views.flips_legend(symbols)
    for kind in Kind:
        assert f"{verdict_views.sign(kind, symbols)} {kind.value}" in text
    assert "{" not in text


def test_parts_say_gain_interval_and_verdict():
    line = render(verdict_views.parts([PART])).splitlines()[1]
    assert line.split()[3:] == ["a", "a|b", "100", "-20.0", "[-25.0,", "-15.0]", "▼", "negative"]
    (row,) = json.loads(render(verdict_views.parts([PART]), "json"))
    wanted = {"part": "a|b", "items": 100, "arm": 50.0, "baseline_score": 70.0, "gain": -20.0}
    assert wanted.items() <= row.items()
    assert (row["p"], row["p_corrected"], row["verdict"]) == (0.001, 0.004, "negative")
    markdown = render(verdict_views.parts([PART]), "markdown")
    assert r"a\|b" in markdown
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in table}) == 1


def test_without_an_interval_there_is_a_dash():
    alone = replace(PART, low=None, high=None)
    assert "-20.0 [–]" in render(verdict_views.parts([alone]))


def test_beside_shows_changes_and_dashes_for_what_is_not_known():
    line = render(verdict_views.beside([EFFECTS])).splitlines()[1]
    assert "+4.0" in line
    assert line.split()[4:] == ["+4.0", "+5.0", "±1.2", "+5.0", "–"]
    (row,) = json.loads(render(verdict_views.beside([EFFECTS]), "json"))
    assert (row["calibration_arm"], row["calibration_baseline"], row["calibration_change"]) == (
        *(10.0, 5.0),
        5.0,
    )
    assert (row["overfitting_low"], row["forgetting_change"]) == (None, None)


def test_the_page_shows_changes_with_the_ends_of_their_intervals():
    shown = drawn(came_with([EFFECTS]).tables[0])
    assert shown.heads[3:] == ["gain", "calibration error", "overfitting gap"]
    assert shown.lines[0][3:] == ("+4.0", "+5.0 [+3.8, +6.2]", "+5.0")


def test_beside_leaves_out_what_was_compared_with_nothing():
    empty = replace(EFFECTS, verdict=replace(VERDICT, n=0, gain=None))
    assert json.loads(render(verdict_views.beside([empty, EFFECTS]), "json")) == (
        json.loads(render(verdict_views.beside([EFFECTS]), "json"))
    )


@pytest.mark.parametrize("width", [80, 120])
def test_names_give_way_to_the_terminal_and_numbers_never_do(width):
    long = replace(VERDICT, source="a_very_long_name_of_a_source_indeed", strategy="s" * 30)
    part = replace(PART, source=long.source, strategy=long.strategy)
    wide = Change(5, 10.0, 5.0, -25.04, -37.54, -12.54)
    effects = SideEffects(long, wide, wide, wide)
    shown = [
        render(verdict_views.flips([Flip(long, FLIP.others)]), width=width),
        render(verdict_views.parts([part]), width=width),
        render(verdict_views.beside([effects]), width=width),
    ]
    lines = [line for text in shown for line in text.splitlines()]
    assert max(map(len, lines)) <= width
    assert max(line.count("-25.0 ±12.5") for line in lines) == 3
    assert "-20.0 [-25.0, -15.0]" in shown[1]


def test_a_side_view_is_a_booktabs_tabular_too():
    text = render(verdict_views.parts([PART]), "latex")
    row = r"digits, 20 & glyphs & a & a$|$b & 100 & $-20.0$ [$-25.0$, $-15.0$] & "
    assert row + r"$\bigtriangledown$ negative \\" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1


NUMBERS = replace(VERDICT, metric="mae", unit="", mean=0.031, baseline_mean=0.052, gain=0.021)


def test_parts_and_side_effects_of_numbers_are_in_their_own_unit():
    scores = {"mean": 0.061, "baseline_mean": 0.05, "gain": -0.011, "low": -0.02, "high": -0.002}
    part = replace(NUMBERS, group="old", items=50, **scores)
    text = render(verdict_views.parts([part]))
    assert "-0.01100 [-0.02000, -0.00200]" in text
    told = "Gains in mae within each part of the test items, in the metric's units, more is"
    assert told in " ".join(text.split())
    effects = SideEffects(NUMBERS, None, Change(5, 0.01, 0.02, -0.01, -0.013, -0.007), None)
    text = render(verdict_views.beside([effects]))
    assert "-0.01000 ±0.00300" in text
    assert "in the metric's units, more is better" in " ".join(text.split())
    assert "calibration" not in text  # no column, no words: numbers have no probabilities
    assert "forgetting, in points" in " ".join(text.split())


def test_accuracy_stays_in_points():
    text = " ".join(render(verdict_views.parts([PART])).split())
    assert "Gains in accuracy within each part of the test items, in points" in text
    assert "-20.0 [-25.0, -15.0]" in text
