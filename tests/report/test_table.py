"""The closing table never shows a bare mean, and fits the terminal."""

import csv
import io
import json
from dataclasses import replace

import pytest

from ledger_factory import made, measured, predicted
from transfergrid.evidence.measured.remarks import Remarks
from transfergrid.evidence.measured.results import result_of
from transfergrid.evidence.verdicts.notes import noted
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.errors import BadInputError
from transfergrid.records.record import Data, Flags, Status
from transfergrid.report.tables.sheet import render as written
from transfergrid.report.tables.sheet import show
from transfergrid.report.views.table import sheet
from transfergrid.report.wording import words
from transfergrid.report.wording.words import digits_of, number

COLUMNS = [
    *("source", "architecture", "strategy", "target", "labels", "baseline"),
    *("n", "mean", "sd", "gain", "low", "high", "seconds"),
]
EXTRAS = [
    *("metric", "unit", "scope", "paired", "unpaired", "failed", "collapsed", "underfit", "stale"),
    *("is_baseline", "weak_baseline", "one_checkpoint", "short", "labels_got", "contaminated_by"),
    *("cut_texts", "copies", "no_validation", "untested", "pair", "group"),
]
ROW = Verdict(
    source="glyphs",
    architecture="cnn",
    strategy="full_finetuning",
    target="digits",
    labels=20,
    baseline="scratch",
    n=5,
    arm_n=5,
    arm_mean=93.42,
    arm_sd=1.21,
    gain=2.14,
    low=0.31,
    high=3.94,
    seconds=3.2,
    scope="seeds and test items",
)


def row(short=None, **fields):
    return replace(ROW, remarks=Remarks(short=short or {}), **fields)


SCRATCH = row(
    source=None, strategy="scratch", baseline="", gain=None, low=None, high=None, scope=None
)


def render(rows, failed=(), skipped=(), **options):
    return written(sheet(noted(rows), failed, skipped), **options)


def line_of(text, word):
    return next(line for line in text.splitlines() if word in line)


def test_a_row_reads_as_score_with_spread_and_gain_with_interval():
    text = render([SCRATCH, row()])
    assert line_of(text, "full_finetuning").split() == (
        ["glyphs", "full_finetuning", "93.4", "±", "1.2", "↑", "+2.1", "[+0.3,", "+3.9]", "3.2"]
    )
    assert "gain over scratch" in text
    assert "5 seeds" in text
    assert "accuracy in %" in text


@pytest.mark.parametrize(
    ("low", "high", "mark"),
    [(0.1, 3.0, "↑"), (-3.0, -0.1, "↓"), (-0.1, 3.0, "·"), (0.0, 1.0, "·")],
)
def test_marks_say_where_the_interval_lies_and_are_titled_uncorrected(low, high, mark):
    text = render([row(low=low, high=high)])
    assert mark in line_of(text, "full_finetuning")
    assert "gain, uncorrected" in text
    assert "no verdicts" in text


def test_one_seed_shows_that_it_has_no_spread_and_whom_it_speaks_of():
    text = render([row(arm_n=1, arm_sd=None, scope="this model")])
    assert "93.4 ± –" in text
    assert "· 1 seed\n" in text
    assert "single models only" in " ".join(text.split())


def test_seeds_are_counted_per_row_where_they_differ():
    text = render([row(), row(strategy="distillation", arm_n=4)])
    assert "over 5 seeds" not in text
    assert " 4 " in line_of(text, "distillation")


def test_sections_follow_targets_and_budgets():
    rows = measured([made(labels=labels) for labels in ("all", 0, 1, 20)])
    titles = [line for line in render(rows).splitlines() if line.startswith("digits")]
    told = ["no target labels", "1 label a class", "20 labels a class", "all target labels"]
    assert [title.split(" · ")[1] for title in titles] == told


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_line_is_wider_than_the_terminal_and_no_arm_takes_two(width, ascii_only):
    rows = [
        row(source=f"a_very_long_name_of_a_source_{i}", strategy=f"and_of_a_strategy_{i}_too")
        for i in range(3)
    ]
    rows.append(row(gain=-12.14, low=-22.22, high=-10.01, arm_mean=100.0, arm_sd=12.3, collapsed=2))
    failed = [("some cell", "a reason " * 40)]
    text = render(rows, failed=failed, width=width, ascii_only=ascii_only)
    assert max(len(line) for line in text.splitlines()) <= width
    assert sum("[+0.3, +3.9]" in line for line in text.splitlines()) == 3
    assert text.isascii() == ascii_only


def test_no_color_unless_asked_and_the_same_text_with_it():
    plain, colored = render([row()]), render([row()], color=True)
    assert "\x1b" not in plain
    assert "\x1b[32m" in colored


def test_the_footer_counts_what_has_no_result_and_why():
    failed = replace(made("x", "s"), status=Status.FAILED, reason="out of memory")
    skipped = [(f"cell {i}", "needs a labelled source domain") for i in range(3)]
    skipped.append(("cell 9", "no same classes"))
    text = render([row()], failed=words.told([failed]), skipped=skipped)
    assert "1 cell failed:\n  1 × out of memory (s x on digits, labels=20, seed=0)" in text
    assert "4 cells left out:" in text
    assert "3 × needs a labelled source domain (first: cell 0)" in text


def test_many_reasons_are_summed_up():
    text = render([row()], skipped=[("cell", f"reason {i}") for i in range(9)])
    assert "4 × other reasons" in text


def test_rows_bear_letters_for_what_weakens_them():
    rows = [
        row(collapsed=2),
        row(strategy="second", collapsed=1, underfit=1),
        row(strategy="c", unpaired=1, scope="this model"),
        row(strategy="d"),
    ]
    text = render(rows)
    legend = {line[0]: line[3:] for line in text.splitlines() if line[1:3] == ": "}
    letters = line_of(text, " second ").split("]")[1].split()[0]
    told = [legend[letter] for letter in letters]
    assert told[0].startswith("1 of 5 runs collapsed")
    assert told[1].startswith("1 of 5 runs underfit")
    assert any("1 of 1 seeds without a baseline" in line for line in legend.values())
    assert any("this single model only" in line for line in legend.values())
    assert line_of(text, " d ").split("]")[1].split() == ["3.2"]


def test_short_budgets_and_weak_baselines_are_told_where_they_count():
    text = render([row(short={"b": (20, 3)}, weak_baseline=True)])
    assert "fewer labels than asked for: b 3 of 20" in text
    assert "gain over scratch (cnn), which scores below logistic_regression" in " ".join(
        text.split()
    )


def test_an_arm_whose_baselines_all_failed_shows_no_gain():
    text = render([row(gain=None, low=None, high=None, scope=None, n=0, unpaired=5)])
    assert line_of(text, "full_finetuning").split()[5:7] == ["–", "ab"]


def test_architectures_are_named_where_there_are_several():
    text = render([SCRATCH, row(), row(architecture="vit")])
    assert "gain over scratch (cnn)" in text
    assert "gain over scratch (vit)" in text


def test_an_interval_that_says_nothing_still_fits():
    text = render([row(low=-9.4e149, high=9.4e149)])
    assert "[-100.0, +100.0]" in text  # all that two scores in per cent can differ by


def test_no_verdict_is_ever_spoken():
    assert "negative transfer" not in render([row(low=-3.0, high=-1.0)]).lower()


def test_json_is_a_list_of_rows_with_the_promised_fields_first():
    rows = json.loads(render([SCRATCH, row()], format="json"))
    assert list(rows[0])[: len(COLUMNS)] == COLUMNS
    assert rows[0]["gain"] is None
    assert (rows[1]["baseline"], rows[1]["mean"], rows[1]["labels"]) == ("scratch", 93.42, 20)
    assert json.loads(render([], format="json")) == []


def test_csv_holds_what_json_holds():
    rows = [SCRATCH, row(labels="all", short={"b": (20, 3)})]
    read = list(csv.DictReader(io.StringIO(render(rows, format="csv"))))
    listed = json.loads(render(rows, format="json"))
    assert [json.loads(one.pop("short")) for one in read] == [one.pop("short") for one in listed]
    told = [{k: "" if v is None else str(v) for k, v in one.items()} for one in listed]
    assert read == told


def test_json_and_csv_leave_no_field_of_a_row_out():
    (listed,) = json.loads(render([row(stale=2, short={"b": (20, 3)})], format="json"))
    assert list(listed) == [*COLUMNS, *EXTRAS]
    assert (listed["stale"], listed["short"]) == (2, {"b": [20, 3]})
    assert render([row()], format="csv").splitlines()[0].split(",") == list(listed)


def test_markdown_has_equal_columns_and_names_the_baseline():
    text = render([SCRATCH, row(source="a|b")], format="markdown", skipped=[("c", "why")])
    table = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert "| 93.4 ± 1.2 | 5 | ↑ +2.1 [+0.3, +3.9] |" in text
    assert "| *gain over scratch (cnn)* |" in text
    assert "uncorrected" in text
    assert "1 × why (c)" in text


def test_an_unknown_format_is_told_with_the_nearest():
    with pytest.raises(BadInputError, match="did you mean markdown"):
        render([row()], format="markdwon")


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_nothing_yet_is_said_with_the_reasons(format):
    text = render([], format=format, failed=[("cell", "why")])
    assert "No results yet" in text
    assert "1 cell failed" in text


def test_show_keeps_to_the_encoding_and_width_of_where_it_writes(monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="latin-1")
    show(sheet([SCRATCH, row(source="κόσμος")]), file=out)
    out.flush()
    text = raw.getvalue().decode("latin-1")
    assert "^ +2.1 [+0.3, +3.9]" in text
    assert "↑" not in text


def test_from_records_to_text():
    right = {0: [1, 1, 0, 1, 1, 0], 1: [1, 1, 1, 1, 0, 1]}
    base = [made(seed=s, score=sum(right[s]) / 6) for s in right]
    arm = [
        made(
            "x",
            "s",
            seed=s,
            score=1.0,
            baseline=base[s],
            flags=Flags(),
            data=Data(short={"b": (20, 7)}),
        )
        for s in right
    ]
    kept = {cell.id: predicted(right[cell.seed]) for cell in base}
    kept |= {cell.id: predicted([1] * 6) for cell in arm}
    text = render(measured(base + arm, read=kept.__getitem__))
    assert "100.0 ± 0.0" in text
    assert "+25.0" in text
    assert "covers new seeds and new test items" in " ".join(text.split())


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_an_interval_from_seeds_alone_bears_no_mark(format):
    """With no true gain it lies beside zero in a fifth to a half of all cases."""
    up, down = row(scope="this test set"), row(strategy="x", low=-3.0, high=-1.0)
    text = render([up, replace(down, scope="this test set")], format=format)
    told, table = "○ not marked", text.split("↑")[0]
    assert table.count("○ +2.1") == 2
    assert "↓" not in table
    assert told in " ".join(text.split())
    assert told not in " ".join(render([row()], format=format).split())


def test_the_unmarked_have_a_sign_of_their_own_in_ascii():
    text = render([row(scope="this test set")], ascii_only=True)
    assert "o +2.1" in line_of(text, "full_finetuning")


def test_single_checkpoints_are_told_once_where_they_are_all_there_is():
    rows = [SCRATCH, row(one_checkpoint=True), row(strategy="b", one_checkpoint=True)]
    text = render(rows)
    assert "Sources are single checkpoints" in " ".join(text.split())
    assert line_of(text, "full_finetuning").split("]")[1].split() == ["3.2"]
    assert "checkpoint" not in render([SCRATCH, row()])
    baseline = row(strategy="source_only", gain=None, low=None, high=None)  # says nothing of it
    assert "Sources are single checkpoints" in " ".join(render([*rows, baseline]).split())


def test_single_checkpoints_among_others_bear_a_letter():
    text = render([row(one_checkpoint=True), row(strategy="b", source="anew")])
    assert "Sources are single checkpoints" in " ".join(text.split())
    assert "a: one checkpoint of the source" in text
    assert line_of(text, "full_finetuning").split("]")[1].split() == ["a", "3.2"]
    assert line_of(text, "anew").split("]")[1].split() == ["3.2"]


def test_cut_texts_are_told_once_for_a_target():
    notes = {"cut_texts": {"pool": 1200, "test": 34}}
    cells = [replace(made(seed=seed), data=Data(test=9, notes=notes)) for seed in range(2)]
    shown = render(measured(cells))
    assert shown.count("digits: 1,234 texts longer than the model takes, cut at") == 1
    assert "longer than the model takes" not in render(measured([made()]))


def test_targets_of_which_nothing_validates_are_told_once():
    notes = {"no_validation": "each group is all there is of some class"}
    cells = [replace(made(seed=seed), data=Data(test=9, notes=notes)) for seed in range(2)]
    rows = measured(cells)
    told = "digits: nothing validates (each group is all there is of some class): training kept"
    assert render(rows, width=200).count(told) == 1
    grouped = [replace(rows[0], target=f"digits in {name}", group=name) for name in "ab"]
    assert render(grouped, width=200).count(told) == 1
    assert "nothing validates" not in render(measured([made()]))


def test_classes_that_nothing_tests_are_told_once():
    cells = [replace(made(seed=s), data=Data(test=9, notes={"untested": ["eel"]})) for s in (0, 1)]
    told = "digits: no test example of eel: macro F1 and AUROC are means over the other classes"
    assert render(measured(cells), width=200).count(told) == 1
    assert "no test example" not in render(measured([made()]), width=200)


def test_groups_are_told_to_be_more_comparisons():
    rows = [row(target=f"digits in {name}", group=name) for name in ("ann", "bob")]
    for format in ("table", "markdown"):
        shown = render(rows, format=format, width=200)
        assert shown.count("one more comparison, at an uncorrected 95 %") == 1
    assert "one more comparison" not in render([row()], width=200)


# What the title says ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("got", "title"),
    [
        ([None, None], "digits · 20 labels a class · "),
        ([None, (3, 20)], "digits · 3 to 20 labels a class (20 asked for) · "),
        ([(3, 4), (4, 7)], "digits · 3 to 7 labels a class (20 asked for) · "),
        ([(5, 5), (5, 5)], "digits · 5 labels a class (20 asked for) · "),
    ],
)
def test_the_title_says_no_more_labels_than_there_were(got, title):
    text = render([replace(SCRATCH, labels_got=got[0]), row(labels_got=got[1])])
    assert text.splitlines()[0].startswith(title)


@pytest.mark.parametrize(
    ("labels", "per_class", "got"),
    [
        (20, {"a": 20, "b": 20}, None),
        (20, {"a": 20, "b": 7}, (7, 20)),
        (20, {"a": 33, "b": 7}, (7, 33)),  # drawn as they come
        (20, {}, None),  # a record of before there were such counts
        ("all", {"a": 20, "b": 7}, None),
        (0, {"a": 0, "b": 0}, None),
    ],
)
def test_a_record_knows_what_its_classes_got(labels, per_class, got):
    record = made(labels=labels, data=Data(per_class=per_class))
    assert record.labels_got == got
    assert measured([record])[0].labels_got == got
    assert result_of(record).labels_got == got


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.0000246, "", "2.46e-05"),
        (-0.000301, "", "-0.000301"),
        (0.01, "", "0.010"),
        (2.444, "", "2.444"),
        (2443.9, "", "2444"),
        (24439.2, "", "24439"),
        (24439.2, "%", "2e+04"),
        (71.25, "%", "71.2"),
        (-0.0001, "%", "0.0"),
    ],
)
def test_numbers_say_something_in_every_unit(value, unit, told):
    assert number(value, unit) == told


@pytest.mark.parametrize(
    ("largest", "digits"), [(2.4e-05, 8), (0.05, 5), (0.9, 3), (3.9, 3), (23.7, 2), (3892, 0)]
)
def test_errors_are_shown_to_four_digits(largest, digits):
    assert digits_of(largest) == digits
