"""The table of verdicts explains itself, fits the terminal and claims no more than was proven."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.notes import noted
from transfergrid.evidence.verdicts.verdict import CONTROL, PLACEBO, Verdict
from transfergrid.records.errors import BadInputError
from transfergrid.report.tables.escaping import in_latex
from transfergrid.report.tables.sheet import FORMATS
from transfergrid.report.tables.sheet import render as written
from transfergrid.report.views.verdict_table import sheet
from transfergrid.report.wording import verdict_words
from transfergrid.report.wording.foreseen import sees
from transfergrid.report.wording.verdict_legend import Notes

KEYS = [
    *("source", "architecture", "strategy", "target", "labels", "baseline", "n", "gain", "low"),
    *("high", "p", "p_corrected", "verdict", "detectable", "seeds_needed", "notes"),
]
POSITIVE = Verdict(
    source="glyphs",
    architecture="small_cnn",
    strategy="full_finetuning",
    target="digits",
    labels=20,
    baseline="scratch",
    n=5,
    gain=2.14,
    low=0.31,
    high=3.94,
    p=0.01,
    p_corrected=0.013,
    verdict=Kind.POSITIVE,
    detectable=2.2,
    seeds_needed=None,
    family="digits, labels=20, over scratch",
    family_size=8,
    mean=96.7,
    baseline_mean=94.6,
    scope="seeds and test items",
    items=797,
)
NEGATIVE = replace(
    POSITIVE, strategy="l2_sp", verdict=Kind.NEGATIVE, gain=-5.2, low=-8.1, high=-2.2, p=0.004
)
EQUIVALENT = replace(POSITIVE, strategy="lora", verdict=Kind.EQUIVALENT, gain=0.2, low=-0.3)
UNDECIDED = replace(
    POSITIVE, strategy="lp_ft", verdict=Kind.UNDECIDED, p=0.4, detectable=5.7, seeds_needed=12
)
ALL = [POSITIVE, EQUIVALENT, UNDECIDED, NEGATIVE]


def render(verdicts, format="table", footer=(), **options):
    return written(sheet(verdicts, footer), format, **options)


def told(verdicts, format="table", **options):
    return " ".join(render(verdicts, format, **options).split())


def line_of(text, word):
    return next(line for line in text.splitlines() if word in line)


def test_a_row_reads_as_score_gain_interval_p_mark_and_word():
    line = line_of(render([POSITIVE]), "full_finetuning")
    gain = ["+2.1", "[+0.3,", "+3.9]"]
    assert line.split() == ["glyphs", "full_finetuning", "96.7", *gain, ".013", "▲", "positive"]


def test_headers_name_the_question_the_baseline_and_the_family():
    lines = render([POSITIVE]).splitlines()
    assert lines[0] == ("digits · 20 labels a class · accuracy in % · 5 seeds · 797 test items")
    assert lines[1] == "── over scratch 94.6 % (small_cnn) · family of 8, Holm"


@pytest.mark.parametrize(("ascii_only", "marks"), [(False, "▲▼≈?"), (True, "+-=?")])
def test_every_verdict_has_a_mark_and_its_word_whatever_the_colours(ascii_only, marks):
    text = render(ALL, ascii_only=ascii_only)
    for mark, verdict in zip(marks, (POSITIVE, NEGATIVE, EQUIVALENT, UNDECIDED), strict=True):
        assert f"{mark} {verdict.verdict}" in line_of(text, verdict.strategy)
    assert text.isascii() == ascii_only
    colored = render(ALL, ascii_only=ascii_only, color=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", colored) == text != colored


def test_a_whole_interval_beyond_the_margin_doubles_the_mark_and_needs_no_letter():
    far = replace(POSITIVE, beyond_margin=True, notes=("beyond the margin of 1",))
    text = render([far, UNDECIDED])
    assert line_of(text, "full_finetuning").endswith("▲▲ positive")
    assert "doubled: the whole interval lies beyond ±1" in " ".join(text.split())
    unsure = replace(far, verdict=Kind.UNDECIDED)  # beyond by the uncorrected interval alone
    assert "▲▲" not in render([unsure])


def test_the_undecided_say_what_they_could_have_seen_and_what_it_would_take():
    text = render([UNDECIDED])
    assert "sees ≥ 5.7; 12 more seeds" in text
    assert "sees ≥ 5.7; 1 more seed\n" in render([replace(UNDECIDED, seeds_needed=1)])
    wide = line_of(render([UNDECIDED], width=120), "lp_ft")
    assert wide.endswith("? undecided  sees ≥ 5.7; 12 more seeds")
    assert "sees" not in render([POSITIVE])


@pytest.mark.parametrize(
    ("powers", "studies"),
    [
        ((0.8,), "8 of 10"),
        ((0.9,), "9 of 10"),
        ((0.95,), "95 of 100"),
        ((0.8, 0.9), "8 or 9 of 10"),
    ],
)
def test_what_could_have_been_seen_goes_by_the_power_asked_for(powers, studies):
    undecided = [
        replace(UNDECIDED, power=power, strategy=f"arm {power}", detectable=3.0) for power in powers
    ]
    assert f"would have been found in {studies} studies;" in " ".join(told(undecided).split())


@pytest.mark.parametrize("format", ["table", "markdown", "latex"])
def test_negative_transfer_is_said_of_a_negative_verdict_alone(format):
    assert "negative transfer" in told([NEGATIVE], format)
    low = replace(UNDECIDED, gain=-9.0, low=-14.0, high=-4.0)
    placebo, control = (replace(NEGATIVE, kind=kind) for kind in (PLACEBO, CONTROL))
    exploratory = replace(NEGATIVE, primary=False, baseline="full_finetuning")
    for other in (POSITIVE, EQUIVALENT, low, placebo, control, exploratory):
        assert "negative transfer" not in told([other], format)


def test_placebos_and_controls_stand_below_the_family_and_are_not_counted():
    placebo = replace(NEGATIVE, source="placebo", kind=PLACEBO)
    control = replace(POSITIVE, source=None, strategy="scratch_converged", kind=CONTROL)
    text = render([placebo, control, *ALL])
    lines = text.splitlines()
    at = {
        word: next(i for i, line in enumerate(lines) if word in line)
        for word in ("l2_sp", "─ placebos: not in the family", "─ controls", "scratch_converged")
    }
    assert list(at.values()) == sorted(at.values())
    assert "4 comparisons: 1 helped, 1 hurt (negative transfer), 1 makes no difference, " in (
        " ".join(text.split())
    )


def test_counts_over_a_grid_keep_what_benjamini_and_hochberg_keep():
    # BH at .05 over p = .01, .02, .03, .04, .9: the largest i with p(i) <= i/5 * .05 is 4
    p = (0.01, 0.02, 0.03, 0.04, 0.9)
    kinds = (Kind.POSITIVE, Kind.NEGATIVE, Kind.POSITIVE, Kind.UNDECIDED, Kind.UNDECIDED)
    grid = [
        replace(POSITIVE, p=value, verdict=kind, family=str(i))
        for i, (value, kind) in enumerate(zip(p, kinds, strict=True))
    ]
    assert verdict_words.kept(grid) == grid[:3]
    assert "of these 3 differences, BH over all 5 comparisons at once keeps 3" in (
        verdict_words.summary(grid)
    )
    weak = [replace(v, p=v.p * 3) for v in grid]  # .03 .06 .09 .12: none is below i/5 * .05
    assert verdict_words.kept(weak) == []
    assert "BH" not in verdict_words.summary([replace(v, family="one") for v in grid])


def test_the_summary_owns_up_to_proven_verdicts_that_are_fragile():
    grid = [
        replace(POSITIVE, fragile=True),
        POSITIVE,
        replace(POSITIVE, kind=PLACEBO, fragile=True),
    ]
    assert verdict_words.summary(grid).endswith("; 1 of these 2 is fragile.")
    assert "fragile" not in verdict_words.summary([POSITIVE])


def test_notes_are_lettered_unless_all_transfer_bears_them():
    one = "one checkpoint of the source"
    first = replace(POSITIVE, notes=(one, "1 of 5 runs underfit"))
    second, placebo = replace(NEGATIVE, notes=(one,)), replace(NEGATIVE, kind=PLACEBO)
    text = render([first, second, placebo])
    assert f"every comparison: {one}" in text
    assert "a: 1 of 5 runs underfit" in text
    assert line_of(text, "full_finetuning").endswith("▲ positive a")
    assert Notes([first, second]).legend()[0] == f"every row: {one}"


def test_more_notes_than_letters_stay_apart():
    many = [replace(POSITIVE, notes=(f"note {i}",)) for i in range(60)]
    letters = [Notes(many).letters(v) for v in many]
    assert letters[25:28] == ["z", "aa", "ab"]
    assert len(set(letters)) == 60


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_line_is_wider_than_the_terminal(width, ascii_only):
    rows = [
        replace(v, source=f"a_very_long_name_of_a_source_{i}", strategy=f"and_a_strategy_{i}_too")
        for i, v in enumerate(ALL)
    ]
    rows.append(replace(NEGATIVE, gain=-12.1, low=-22.2, high=-10.0, p_corrected=1e-9, n=4))
    text = render(rows, width=width, ascii_only=ascii_only, footer=["declared " * 30])
    assert max(len(line) for line in text.splitlines()) <= width
    assert len({line for line in text.splitlines() if "[+0.3, +3.9]" in line}) == 2


def test_baselines_of_several_scores_show_their_range_and_seeds_their_own_column():
    other = replace(UNDECIDED, baseline_mean=92.0, n=3)
    text = render([POSITIVE, other])
    assert "over scratch 92.0 to 94.6 %" in text
    assert "3 to 5 seeds" in text
    assert line_of(text, "lp_ft").split()[3] == "3"


def test_a_level_that_looks_have_lowered_is_shown():
    assert "level .021" in render([replace(POSITIVE, level=0.021)])
    assert "level" not in render([POSITIVE])


def test_what_the_data_cannot_tell_is_a_dash_and_null():
    nothing = replace(
        UNDECIDED,
        **dict.fromkeys(("gain", "low", "high", "p", "p_corrected", "detectable", "mean")),
        seeds_needed=None,
        n=1,
    )
    assert line_of(render([nothing]), "lp_ft").split()[2:] == ["–", "–", "–", "?", "undecided"]
    (row,) = json.loads(render([nothing], "json"))
    assert all(row[key] is None for key in ("gain", "low", "high", "p", "detectable"))


def test_json_is_a_list_of_rows_with_the_promised_keys_first():
    noted = replace(NEGATIVE, notes=("one", "two"), p=float("nan"))
    rows = json.loads(render([noted, POSITIVE], "json"))
    assert list(rows[0])[:16] == KEYS
    assert rows[0]["notes"] == ["one", "two"]
    assert rows[0]["verdict"] == "negative"
    assert rows[0]["p"] is None
    assert rows[1]["labels"] == 20
    assert json.loads(render([], "json")) == []


def test_csv_says_the_same_as_json():
    noted = replace(NEGATIVE, source='a "b", c', notes=("one; two", "three"))
    (row,) = csv.DictReader(io.StringIO(render([noted], "csv")))
    (same,) = json.loads(render([noted], "json"))
    assert list(row) == list(same)
    assert row["source"] == 'a "b", c'
    assert float(row["gain"]) == same["gain"]
    assert json.loads(row["notes"]) == same["notes"]
    assert row["seeds_needed"] == ""


def test_markdown_has_one_table_a_section_with_equally_many_cells_in_every_line():
    text = render([*ALL, replace(POSITIVE, target="a|b")], "markdown", footer=["declared: x"])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {10}
    assert text.count("### ") == 2
    assert "- declared: x" in text


def test_latex_is_one_booktabs_tabular_a_section_with_everything_escaped():
    odd = replace(POSITIVE, source="50%_a&b#1$ {x}~^\\<", target="m_nist", notes=("a_b ≥ 5",))
    text = render([odd, UNDECIDED], "latex", footer=["hash #1_2"])
    assert text.count(r"\begin{tabular}{") == text.count(r"\end{tabular}") == 2
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and " & " in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {9}
    undecided = line_of(text, r"lp\_ft").split(" & ")
    assert [cell.strip() for cell in undecided[6:9]] == ["undecided", "5.7", "12"]
    assert r"50\%\_a\&b\#1\$ \{x\}\textasciitilde{}\textasciicircum{}\textbackslash{}$<$" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    assert text.isascii()
    packages = re.findall(r"usepackage\{(\w+)\}", text)
    assert packages == ["booktabs"]


def test_a_latex_row_that_starts_with_a_bracket_is_no_option_of_the_line_before():
    assert in_latex("[x]").startswith("{[}")


def test_other_units_are_shown_with_as_many_digits_as_they_need():
    loss = replace(POSITIVE, metric="loss", unit="", mean=0.412, baseline_mean=0.5, gain=0.088)
    assert "0.412" in line_of(render([loss]), "full_finetuning")
    points = replace(POSITIVE, metric="score", unit="")
    assert "96.7" in line_of(render([points]), "full_finetuning")
    assert "over scratch 94.6 (small_cnn)" in render([points])


def test_no_results_and_no_such_format():
    assert told([]).startswith("Nothing to compare yet.")
    for format in FORMATS:
        assert isinstance(render([], format), str)
    with pytest.raises(BadInputError, match="did you mean latex"):
        render([], "latx")


def test_a_weak_baseline_stands_in_the_header_and_takes_no_letter():
    weak = replace(
        POSITIVE, weak_baseline=True, notes=("the baseline scores below logistic_regression",)
    )
    text = render([weak, NEGATIVE])
    assert "over scratch 94.6 % (small_cnn), which scores below logistic_regression" in (
        " ".join(text.split())
    )
    assert line_of(text, "full_finetuning").endswith("positive")


def test_letters_of_a_row_are_in_order():
    both = replace(NEGATIVE, notes=("two", "one"))
    text = render([replace(POSITIVE, notes=("one",)), both, UNDECIDED])
    assert line_of(text, "l2_sp").endswith("negative ab")


# Ruled out, two seeds, constants -----------------------------------------------------------------

NO_HARM = replace(
    POSITIVE, strategy="bss", verdict=Kind.HARM_RULED_OUT, gain=0.6, low=-0.8, high=2.0,
    harm_ruled_out=True, unseen_bad_seed_rate_95=0.45,
)  # fmt: skip
NO_GAIN = replace(NO_HARM, strategy="dann", verdict=Kind.GAIN_RULED_OUT, gain=-0.9, high=0.4)


@pytest.mark.parametrize(("ascii_only", "marks"), [(False, "►◄"), (True, "><")])
def test_what_is_ruled_out_has_a_mark_a_word_and_a_meaning(ascii_only, marks):
    text = render([NO_HARM, NO_GAIN], ascii_only=ascii_only, width=100)
    assert line_of(text, "bss").rstrip().endswith(f"{marks[0]} harm ruled out")
    assert line_of(text, "dann").rstrip().endswith(f"{marks[1]} gain ruled out")
    flat = " ".join(text.split())
    assert f"{marks[0]} no loss of 1 or more, be there a gain or not" in flat
    assert "2 comparisons: in 1 harm is ruled out, in 1 a gain is ruled out." in flat


def test_the_summary_counts_what_is_ruled_out_between_no_difference_and_undecided():
    grid = [POSITIVE, POSITIVE, NEGATIVE, NO_HARM, NO_HARM, NO_GAIN, UNDECIDED]
    assert verdict_words.summary(grid).startswith(
        "7 comparisons: 2 helped, 1 hurt (negative transfer), in 2 harm is ruled out, in 1 a gain "
        "is ruled out, 1 undecided"
    )


@pytest.mark.parametrize("format", ["markdown", "latex", "csv", "json"])
def test_every_export_has_the_words(format):
    text = render([NO_HARM, NO_GAIN], format)
    assert "harm ruled out" in text
    assert "gain ruled out" in text


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(2, 9, "2 to 9 more seeds"), (1, 1, "1 more seed"), (7, None, "7 to over 1,000 more seeds")],
)
def test_a_forecast_of_seeds_has_a_range(low, high, told):
    one = replace(UNDECIDED, seeds_needed=5, seeds_needed_low=low, seeds_needed_high=high)
    assert sees(one) == f"sees ≥ 5.7; {told}"
    assert sees(replace(one, seeds_for_harm=3)).endswith("; 3 to rule out harm")
    assert "rule out" not in sees(replace(one, seeds_for_harm=6))


def test_two_seeds_that_cannot_tell_say_so_and_no_interval_is_wider_than_the_metric():
    two = replace(UNDECIDED, n=2, gain=10.0, low=-118.0, high=139.0, se=10.0, detectable=8e17)
    text = render([two, replace(two, strategy="x", low=None, high=None)])
    assert "two seeds cannot tell" in text
    assert "e+17" not in text
    for name in ("lp_ft", "x "):
        assert "+10.0 [-100.0, +100.0]" in line_of(text, name)
    raw = json.loads(render([two], "json"))[0]  # programs get what was computed
    assert (raw["low"], raw["high"], raw["detectable"]) == (-118.0, 139.0, 8e17)


def test_two_seeds_in_a_unit_of_its_own_show_no_interval_wider_than_the_scores():
    """Two seeds of a table of bare numbers: 71 and 81 in the mean, [-114, +134] as computed."""
    two = replace(
        UNDECIDED, n=2, unit="", mean=81.0, baseline_mean=71.0, gain=10.0, low=-114.0, high=134.0,
        se=10.0, detectable=159.0,
    )  # fmt: skip
    text = render([two])
    assert "+10.0 [two seeds]" in line_of(text, "lp_ft")
    assert "two seeds cannot tell" in text
    narrow = replace(two, low=-9.0, high=29.0, detectable=24.0)
    assert "+10.0 [-9.0, +29.0]" in line_of(render([narrow]), "lp_ft")
    assert "sees ≥ 24.0" in render([narrow])
    assert "+10.0 [-114.0, +134.0]" in line_of(render([replace(two, n=3)]), "lp_ft")


def test_a_constant_gain_and_a_single_seed_say_so_where_an_interval_would_stand():
    constant = replace(UNDECIDED, gain=-13.7, low=None, high=None, se=None, constant=True)
    assert "-13.7 [constant]" in line_of(render([constant]), "lp_ft")
    single = replace(constant, n=1, constant=False)
    assert "-13.7 [one seed]" in line_of(render([single]), "lp_ft")


def test_marks_of_collapses_share_a_letter_whatever_their_numbers():
    rates = [(0.051, 0.26), (0.12, 0.45)]
    rows = [
        replace(POSITIVE, strategy=f"s{i}", break_rate=rate, collapse_rate_95=possible)
        for i, (rate, possible) in enumerate(rates)
    ]
    rows = noted([*rows, replace(POSITIVE, strategy="s2")])
    assert "would not stand if 5 % of seeds collapsed, and up to 26 % may" in rows[0].notes
    text = told(rows)
    assert "a: would not stand if 5 to 12 % of seeds collapsed, and up to 26 to 45 % may" in text
    assert [Notes(rows).letters(row) for row in rows] == ["a", "a", ""]


def test_errors_over_one_baseline_are_shown_with_as_many_digits():
    """Over 9.596 of years off: an arm that is off by 18.32 is no reason to shorten that."""
    better, worse = (
        replace(one, metric="mae", unit="", mean=mean, baseline_mean=9.596, gain=gain)
        for one, mean, gain in ((POSITIVE, 7.333, 2.263), (NEGATIVE, 18.322, -8.726))
    )
    text = render([better, worse])
    assert "over scratch 9.596 (small_cnn)" in text
    assert "18.322" in text
    assert "-8.726" in text


def test_an_end_near_zero_has_as_many_decimals_as_the_score_beside_it():
    one = replace(POSITIVE, metric="rmse", unit="", mean=1.092, baseline_mean=1.096)
    text = render([replace(one, gain=0.00412, low=8.04e-05, high=0.00893)])
    assert "+0.004 [+0.000, +0.009]" in text


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (1e-18, ["2.000e-18", "+1.000e-18 [+5.000e-19, +1.500e-18]", "scratch 3.000e-18"]),
        (1e16, ["2.000e+16", "+1.000e+16 [+5.000e+15, +1.500e+16]", "scratch 3.000e+16"]),
    ],
)
def test_tiny_and_huge_errors_are_told_with_their_power_of_ten(size, told):
    one = replace(POSITIVE, metric="mse", unit="", mean=2 * size, baseline_mean=3 * size)
    text = render([replace(one, gain=size, low=size / 2, high=1.5 * size)])
    assert all(number in text for number in told)


def test_a_margin_in_the_unit_of_numbers_stands_under_the_table():
    one = replace(UNDECIDED, metric="mae", unit="", margin=0.225, point=0.225, primary=True)
    text = " ".join(render([one]).split())
    assert "Margins, in the unit of each target: digits 0.225." in text
    assert "Margins" not in render([UNDECIDED])


def test_margin_and_what_test_items_alone_leave_stand_under_the_title():
    rows = [
        replace(POSITIVE, items=200, items_floor=2.61, margin=3.0),
        replace(UNDECIDED, items=200, items_floor=1.04, margin=3.0),
        replace(NEGATIVE, items=200, items_floor=3.38, margin=3.0),
    ]
    lines = render(rows, width=80).splitlines()
    assert lines[1] == "margin 3; 200 test items alone leave ±2.6 (1.0 to 3.4)"
    assert "half of the 95 % interval that endlessly many seeds would still have" in told(rows)
    assert render(rows[:1]).splitlines()[1] == "margin 3; 200 test items alone leave ±2.6"
    assert render(rows[:1], ascii_only=True).splitlines()[1].endswith("leave +-2.6")
    assert "\nmargin 3; 200 test items alone leave ±2.6\n" in render(rows[:1], "markdown")
    assert r"200 test items alone leave $\pm$2.6} \\" in render(rows[:1], "latex")
    grouped = replace(rows[0], items=12, scope="seeds and groups of test items")
    assert "; 12 groups of test items alone leave ±2.6" in render([grouped])
    assert [row["items_floor"] for row in json.loads(render(rows, "json"))] == [2.61, 1.04, 3.38]


def test_where_no_interval_covers_test_items_nothing_is_said_of_them():
    assert "alone leave" not in render(ALL)
    assert "margin 1;" not in render(ALL)
