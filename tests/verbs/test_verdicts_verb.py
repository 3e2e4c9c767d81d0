"""`transfergrid verdicts` as it is typed, on a ledger and on a table of results made elsewhere."""

import csv
import io
import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from ledger_factory import made
from transfergrid.evidence.declared.declarations import Declaration
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.declared.looks import looks
from transfergrid.evidence.verdicts.verdict import COLUMNS
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.findings import Diagnostics, Forgetting, Probe
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Flags, Metric, Scores, Status
from transfergrid.report.tables.sheet import FORMATS
from transfergrid.verbs.cli import VERBS, main
from verdict_cells import ITEMS, Cells

KEYS = [
    *("source", "architecture", "strategy", "target", "labels", "baseline", "n", "gain", "low"),
    *("high", "p", "p_corrected", "verdict", "detectable", "seeds_needed", "notes"),
]
"""As they were promised."""


def shown(capsys, *words):
    """Type the verb; return what is printed."""
    with pytest.raises(SystemExit) as left:
        main(["verdicts", *map(str, words)])
    printed = capsys.readouterr()
    assert left.value.code == 0, printed.err
    return printed.out


def rows(capsys, *words):
    return json.loads(shown(capsys, *words, "--format", "json"))


def refused(capsys, *words):
    """Type the verb; return the one line with which it is refused, with exit code 2."""
    with pytest.raises(SystemExit) as left:
        main(["verdicts", *map(str, words)])
    printed = capsys.readouterr()
    assert (left.value.code, printed.out) == (2, "")
    (line,) = printed.err.splitlines()
    assert line.startswith("transfergrid: ")
    return line


def flat(text):
    return " ".join(text.split())


@pytest.fixture
def cells():
    """Return an arm that helps, one that hurts, one as good and one that nobody can tell."""
    cells = Cells()
    base = cells.arm("scratch", n=10)
    longer = cells.arm("scratch_converged", mean=84, n=10)
    cells.arm("helps", "glyphs", 80, base, n=10, sd=0.7, exploratory=[longer])
    cells.arm("harms", "glyphs", 60, base, n=10, sd=0.7, exploratory=[longer])
    cells.arm("alike", "glyphs", 70.25, base, n=10, sd=0.62)
    hits = np.arange(ITEMS) < ITEMS / 100 * (75 + 0.3 * np.arange(10)[:, None])
    hits[-1] = np.arange(ITEMS) < 0.1 * ITEMS
    arm = cells.arm("hurt_by_one", "glyphs", base=base, n=10, right=hits)
    cells.change(arm[-1:], flags=Flags(collapsed=True))
    return cells


@pytest.fixture
def results(cells, tmp_path):
    return cells.write(Ledger(tmp_path / "results")).root


HEADER = ("source", "architecture", "strategy", "target", "labels", "seed", "score")
BASE = (0.81, 0.79, 0.84, 0.80, 0.83)
BETTER = (0.90, 0.89, 0.925, 0.885, 0.93)


@pytest.fixture
def table(tmp_path):
    return written(tmp_path)


def written(folder, *extra, header=HEADER, base=BASE, better=BETTER):
    lines = [header]
    lines += [("", "cnn", "scratch", "digits", 20, i, x) for i, x in enumerate(base)]
    lines += [("net", "cnn", "finetune", "digits", 20, i, x) for i, x in enumerate(better)]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([*lines, *extra])
    (folder / "runs.csv").write_text(out.getvalue())
    return folder / "runs.csv"


# Formats -----------------------------------------------------------------------------------------


def test_the_verb_is_known():
    assert VERBS["verdicts"] == "transfergrid.verbs.verdicts"
    assert FORMATS == ("table", "json", "csv", "markdown", "latex")


@pytest.mark.parametrize("what", ["results", "table"])
def test_json_is_a_list_of_rows_with_the_promised_keys_in_their_order(what, request, capsys):
    found = rows(capsys, request.getfixturevalue(what))
    assert isinstance(found, list)
    assert {tuple(row)[:16] for row in found} == {tuple(KEYS)} == {COLUMNS}
    assert all(type(row["notes"]) is list for row in found)


def test_the_planted_truths_are_found(results, capsys):
    found = {row["strategy"]: row for row in rows(capsys, results)}
    assert {name: row["verdict"] for name, row in found.items()} == {
        "helps": "positive",
        "harms": "negative",
        "alike": "equivalent",
        "hurt_by_one": "undecided",
    }
    assert {row["baseline"] for row in found.values()} == {"scratch"}
    assert [found[name]["gain"] for name in ("helps", "harms")] == pytest.approx([10, -10], abs=0.3)
    assert found["hurt_by_one"]["detectable"] > abs(found["hurt_by_one"]["gain"])
    assert found["helps"]["seeds_needed"] is None


def test_every_format_tells_the_same_verdicts(results, capsys):
    told = {row["strategy"]: row["verdict"] for row in rows(capsys, results)}
    listed = csv.DictReader(io.StringIO(shown(capsys, results, "--format", "csv")))
    assert {row["strategy"]: row["verdict"] for row in listed} == told
    for format in ("table", "markdown", "latex"):
        text = shown(capsys, results, "--format", format).replace(r"\_", "_")
        for strategy, verdict in told.items():
            (line,) = [line for line in text.splitlines() if f" {strategy} " in line]
            assert verdict in line, format
    assert shown(capsys, results) == shown(capsys, results, "--format", "table")


@pytest.mark.parametrize("format", ["table", "markdown", "latex"])
def test_what_people_read_bears_the_declaration_and_what_programs_read_does_not(
    format, cells, results, capsys
):
    declaration = declare(Ledger(results), cells)
    digest = declaration.digest[:8]
    assert f"Declared {digest}" in flat(shown(capsys, results, "--format", format))
    for lean in ("json", "csv"):
        assert digest not in shown(capsys, results, "--format", lean)


def declare(ledger, cells, **declared):
    told = {
        cell.id: {
            "baseline": asdict(cell.baseline) if cell.baseline else None,
            "exploratory": [asdict(other) for other in cell.exploratory],
        }
        for cell in cells.records
    }
    declaration = Declaration(seeds=tuple(range(10)), **declared)
    asked = {"asked": "2026-01-01T00:00:00+00:00", "cells": told}
    ledger.write_document("grids", {**asked, "declaration": declaration.plain()})
    return declaration


# Options -----------------------------------------------------------------------------------------


def test_over_compares_with_an_exploratory_baseline(results, capsys):
    found = rows(capsys, results, "--over", "scratch_converged")
    assert {row["strategy"]: row["verdict"] for row in found} == (
        {"helps": "negative", "harms": "negative"}
    )
    assert {(row["baseline"], row["primary"]) for row in found} == {("scratch_converged", False)}
    text = flat(shown(capsys, results, "--over", "scratch_converged"))
    assert "exploratory" in text
    assert "negative transfer" not in text
    assert "did you mean scratch_converged?" in refused(capsys, results, "--over", "scratch_conv")


def test_where_shows_a_part_and_corrects_for_the_whole(results, capsys):
    (all_of_them,) = [row for row in rows(capsys, results) if row["strategy"] == "harms"]
    (alone,) = rows(capsys, results, "--where", "strategy=harms")
    assert alone == all_of_them
    assert alone["family_size"] == 4
    assert "Shown where strategy=harms; corrected for all arms of each family." in flat(
        shown(capsys, results, "--where", "strategy=harms")
    )
    assert {row["n"] for row in rows(capsys, results, "--where", "seed<4")} == {4}
    assert "no strategy 'harm'; did you mean harms?" in refused(
        capsys, results, "--where", "strategy=harm"
    )


def test_rules_that_are_typed_decide(results, capsys):
    def kinds(*words):
        return {row["strategy"]: row["verdict"] for row in rows(capsys, results, *words)}

    assert kinds("--margin", 15)["harms"] == "equivalent"
    assert set(kinds("--alpha", 1e-12).values()) == {"undecided"}
    holm, none = (rows(capsys, results, "--correction", name) for name in ("holm", "none"))
    by = {row["strategy"]: row for row in none}
    smallest = min(holm, key=lambda row: row["p_corrected"])
    assert smallest["p_corrected"] == pytest.approx(4 * by[smallest["strategy"]]["p_corrected"])
    bh = rows(capsys, results, "--correction", "bh")
    p = {name: [row["p_corrected"] for row in found] for name, found in (("bh", bh), ("h", holm))}
    assert all(one <= other for one, other in zip(p["bh"], p["h"], strict=True))
    assert "Benjamini-Hochberg" in shown(capsys, results, "--correction", "bh")


def test_declared_rules_decide_unless_others_are_typed_and_that_is_told(cells, results, capsys):
    declare(Ledger(results), cells, margin=12.0)
    assert {row["margin"] for row in rows(capsys, results)} == {12.0}
    assert {row["margin"] for row in rows(capsys, results, "--margin", 1)} == {1.0}
    assert "Not judged as declared: margin typed anew" in flat(
        shown(capsys, results, "--margin", "1")
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "jsn"], "unknown format 'jsn'; did you mean json?"),
        (["--correction", "hom"], "unknown correction 'hom'; did you mean holm?"),
        (["--margin", "0"], "the margin must be a number of points above 0"),
        (["--margin", "nan"], "the margin must be a number of points above 0"),
        (["--margin", "inf"], "the margin must be a number of points above 0"),
        (["--margin", "much"], "invalid float value: 'much'"),
        (["--alpha", "1.5"], "alpha must lie between 0 and 1"),
        (["--show", "flip"], "did you mean flips?"),
        (["--where", "colour=red"], "unknown key in --where 'colour'"),
        (["--where", "seed<x"], "takes one number"),
        (["--nonsense"], "unrecognized arguments"),
        (["--show", "groups"], "the target has no groups"),
        (["--show", "flips", "--format", "pdf"], "unknown format 'pdf'"),
    ],
)
def test_bad_words_are_refused_in_a_line(words, said, results, capsys):
    assert said in refused(capsys, results, *words)


def test_no_results_are_refused_in_a_line(tmp_path, capsys):
    assert "there is no such folder" in refused(capsys, tmp_path / "none")
    assert "it holds no cells" in refused(capsys, tmp_path)


def test_what_was_refused_is_no_look(results, capsys):
    refused(capsys, results, "--alpha", "2")
    assert looks(Ledger(results)) == []
    shown(capsys, results)
    (look,) = looks(Ledger(results))
    seen = {seeds for arms in look.seeds.values() for seeds in arms.values()}
    assert (look.by, seen) == ("verdicts", {frozenset(range(10))})


def test_a_ledger_without_anything_to_compare_says_so(tmp_path, capsys):
    Ledger(tmp_path / "results").write(made("majority"))
    assert rows(capsys, tmp_path / "results") == []
    assert "Nothing to compare yet." in shown(capsys, tmp_path / "results")


def test_warnings_of_the_ledger_go_to_the_other_stream(cells, results, capsys):
    path = Ledger(results).folder(cells.records[0].id) / "record.json"
    path.write_text("{")
    with pytest.raises(SystemExit):
        main(["verdicts", str(results), "--format", "json"])
    printed = capsys.readouterr()
    assert "transfergrid: warning: left out" in printed.err
    assert {row["n"] for row in json.loads(printed.out)} == {9}


# In words ----------------------------------------------------------------------------------------


def noted(capsys, cells, folder):
    """Return the notes by strategy, and the table as one line."""
    root = cells.write(Ledger(folder / "told")).root
    found = {row["strategy"]: " | ".join(row["notes"]) for row in rows(capsys, root)}
    return found, flat(shown(capsys, root))


def test_what_is_missing_failed_single_constant_or_skewed_is_said_in_words(tmp_path, capsys):
    cells = Cells()
    base = cells.arm("scratch")
    unpaired = cells.arm("unpaired", "glyphs", 80, base, sd=0.9)
    cells.arm("constant", "glyphs", 70, base)  # says what scratch says
    skewed = np.arange(ITEMS) < ITEMS * np.array([72, 72.2, 72.4, 72.6, 99])[:, None] / 100
    cells.arm("skewed", "glyphs", base=base, right=skewed)
    cells.arm("single", "glyphs", 80, base, n=1)
    without = cells.arm("without", "glyphs", 80, base)
    for cell in [*unpaired[:2], *without]:  # they name what was never run
        cells.change([cell], baseline=replace(cell.baseline, id=f"{cell.seed:016x}"))
    found, text = noted(capsys, cells, tmp_path)
    assert "2 of 5 seeds without a baseline's score" in found["unpaired"]
    assert "constant, the same gain in all 5 seeds: a fact of this test set" in found["constant"]
    assert "skewed: one of 5 seeds stands apart" in found["skewed"]
    assert "one seed: it speaks of these two models only" in found["single"]
    assert "nothing to compare: no seed in which arm and baseline have a score" in found["without"]
    assert "Not compared, for no seed has a score of both" in text
    assert "1 arm (glyphs without on digits, 20)" in text
    del found["without"]
    for notes in found.values():
        assert all(note in text for note in notes.split(" | ") if "beyond" not in note)


def test_a_baseline_that_failed_is_said_in_words(tmp_path, capsys):
    cells = Cells()
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 80, base, sd=0.9)
    ledger = Ledger(tmp_path / "told")
    for cell in base[:2]:
        ledger.fail(replace(cell, status=Status.FAILED, reason="out of memory"), "a log")
    cells.records = cells.records[2:]
    found, text = noted(capsys, cells, tmp_path)
    assert "2 of 5 seeds without a baseline's score" in found["a"]
    assert "2 cells failed" in text
    assert "out of memory" in text


def test_of_a_loss_less_is_better(tmp_path, capsys):
    cells, loss = Cells(), Metric(name="loss", higher_is_better=False)
    base = cells.arm("scratch", sd=3)
    arm = cells.arm("a", "glyphs", 50, base, sd=2)
    for cell in [*base, *arm]:
        cells.change([cell], scores=Scores(test={"loss": cell.score}), metric=loss)
    root = cells.write(Ledger(tmp_path / "results")).root
    (row,) = rows(capsys, root, "--margin", "0.05")
    assert (row["verdict"], row["metric"], row["unit"]) == ("positive", "loss", "")
    assert row["gain"] == pytest.approx(0.2, abs=0.01)


# Side views --------------------------------------------------------------------------------------


def test_flips_are_shown_with_what_makes_them_flip(results, capsys):
    found = rows(capsys, results, "--show", "flips")
    assert {(row["strategy"], row["looked_at"]): row["other_verdict"] for row in found} == {
        ("helps", "over scratch_converged"): "negative",
        ("hurt_by_one", "without flagged runs"): "positive",
    }
    assert all({"verdict", "other_gain", "other_low", "other_high"} <= set(row) for row in found)
    text = shown(capsys, results, "--show", "flips")
    assert "▲ to ▼" in text
    marks = "▲ positive, ▼ negative, ≈ equivalent, ► harm ruled out, ◄ gain ruled out, ? undecided"
    assert marks in flat(text)
    assert shown(capsys, results, "--show", "flips", "--format", "markdown").startswith("| target")


def test_where_nothing_flips_it_says_so(results, capsys):
    words = ("--where", "strategy=alike", "--show", "flips")
    assert shown(capsys, results, *words).startswith("No verdict flips.")
    assert rows(capsys, results, *words) == []


def of_two_classes(cells, hits):
    """Say of each cell's items what `hits` (2 classes, items) shows for its strategy."""
    labels = np.repeat([0, 1], 100)
    groups = np.where(np.arange(200) % 2 == 0, "old", "young")
    for cell in cells.records:
        right = hits(cell)
        found = np.where(right, labels, 1 - labels)
        said = Predictions(np.eye(2, dtype=np.float32)[found], labels, groups, np.arange(200))
        cells.said[cell.id] = said
        cells.change([cell], scores=Scores(test={"accuracy": float(right.mean())}))


@pytest.fixture
def harmed(tmp_path):
    """Return a ledger whose arm wins in class a what it loses in class b."""
    cells, rng = Cells(), np.random.default_rng(1)
    base = cells.arm("scratch", n=6)
    cells.arm("a", "glyphs", base=base, n=6)
    ease, shares = rng.random(200), {"scratch": (0.7, 0.7), "a": (0.9, 0.5)}

    def hits(cell):
        wanted = np.repeat(shares[cell.names.strategy], 100)
        return ease + rng.normal(0, 0.03, 200) < wanted

    of_two_classes(cells, hits)
    return cells.write(Ledger(tmp_path / "results")).root


def test_a_harmed_class_is_named_though_the_mean_stays(harmed, capsys):
    (verdict,) = rows(capsys, harmed)
    assert verdict["verdict"] != "negative"
    found = rows(capsys, harmed, "--show", "classes")
    assert [(row["part"], row["verdict"]) for row in found] == [
        ("b", "negative"),
        ("a", "positive"),
    ]
    text = shown(capsys, harmed, "--show", "classes")
    (line,) = [line for line in text.splitlines() if "▼" in line]
    assert " b " in line
    groups = rows(capsys, harmed, "--show", "groups")
    assert {row["part"] for row in groups} == {"old", "young"}
    assert "negative" not in {row["verdict"] for row in groups}
    listed = shown(capsys, harmed, "--show", "classes", "--format", "csv")
    assert [row["part"] for row in csv.DictReader(io.StringIO(listed))] == ["b", "a"]


def test_what_came_with_a_gain_is_shown_beside_it(tmp_path, capsys):
    cells = Cells()
    base = cells.arm("scratch", n=3)
    arm = cells.arm("a", "glyphs", 80, base, n=3)
    for cell in [*base, *arm]:
        ece, gap = (0.10, 0.15) if cell in arm else (0.05, 0.05)
        test = {"accuracy": cell.score, "ece": ece + cell.seed / 100}
        scores = Scores(train={"accuracy": cell.score + gap}, test=test)
        lost = Forgetting(before=probe(0.9), after=probe(0.7))
        diagnostics = Diagnostics(forgetting=lost) if cell in arm else None
        cells.change([cell], scores=scores, diagnostics=diagnostics)
    root = cells.write(Ledger(tmp_path / "results")).root
    (row,) = rows(capsys, root, "--show", "beside")
    changes = [row[f"{name}_change"] for name in ("calibration", "overfitting", "forgetting")]
    assert changes == pytest.approx([5, 10, -20])
    line = flat(shown(capsys, root, "--show", "beside"))
    assert "+5.0" in line
    assert "-20.0" in line


def probe(linear):
    return Probe(n=100, linear=linear, knn=linear, chance=0.5)


# A table of results made elsewhere ---------------------------------------------------------------


def test_a_table_is_judged_with_its_own_words(table, capsys):
    (row,) = rows(capsys, table)
    assert (row["source"], row["n"], row["verdict"]) == ("net", 5, "positive")
    assert row["gain"] == pytest.approx(9.2)
    assert "on this test set: its luck is not covered" in row["notes"]
    for format in FORMATS:
        assert "finetune" in shown(capsys, table, "--format", format)


def test_columns_metric_and_baseline_go_by_other_names(tmp_path, capsys):
    header = ("pretraining", "backbone", "how", "data", "shots", "fold", "nll")
    path = written(tmp_path, header=header)
    names = zip(HEADER, header, strict=True)
    words = [word for name in names for word in ("--column", "=".join(name))]
    said = ("--lower-is-better", "--metric", "nll", "--unit", "share")
    (row,) = rows(capsys, path, *words, *said)
    assert (row["verdict"], row["metric"]) == ("negative", "nll")
    (row,) = rows(capsys, path, *words, "--baseline", "finetune", "--margin", "2")
    assert (row["strategy"], row["baseline"], row["margin"]) == ("scratch", "finetune", 2.0)


def test_placebos_and_conditions_reach_a_table(tmp_path, capsys):
    extra = [("noise", "cnn", "finetune", "digits", 20, i, x) for i, x in enumerate(BASE[::-1])]
    path = written(tmp_path, *extra)
    kinds = {row["source"]: row["kind"] for row in rows(capsys, path, "--placebo", "noise")}
    assert kinds == {"net": "transfer", "noise": "placebo"}
    assert {row["n"] for row in rows(capsys, path, "--where", "seed<3")} == {3}
    (row,) = rows(capsys, path, "--where", "source=net")
    assert row["family_size"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--over", "scratch"], "is a table: --baseline says what to compare with"),
        (["--show", "flips"], "--show flips needs a ledger"),
        (["--baseline", "scrach"], "did you mean scratch?"),
        (["--column", "scor=x"], "did you mean score?"),
        (["--column", "score=acc"], "no column 'acc'"),
        (["--placebo", "nets"], "did you mean net?"),
        (["--where", "target=digit"], "did you mean digits?"),
        (["--alpha", "0"], "alpha must lie between 0 and 1"),
    ],
)
def test_bad_words_on_a_table_are_refused_in_a_line(words, said, table, capsys):
    assert said in refused(capsys, table, *words)


def test_a_bad_row_is_refused_with_its_line(tmp_path, capsys):
    path = written(tmp_path, ("net", "cnn", "finetune", "digits", 20, 9, "good"))
    assert "line 12: the score 'good' is no number" in refused(capsys, path)


def test_missing_and_failed_runs_of_a_table_are_said_in_words(tmp_path, capsys):
    path = written(tmp_path, base=("", *BASE[1:]), better=(*BETTER[:4], "nan"))
    (row,) = rows(capsys, path)
    assert (row["n"], row["unpaired"], row["failed"]) == (3, 1, 1)
    assert "1 of 4 seeds without a baseline's score" in row["notes"]
    assert "1 run failed and left out" in flat(shown(capsys, path))


def test_one_verdict_is_the_same_typed_and_from_python(results, capsys):
    typed = rows(capsys, results)
    called = bench_of(Ledger(results)).verdicts()
    assert [row["p_corrected"] for row in typed] == [one.p_corrected for one in called]


# Looks at a table that grows ---------------------------------------------------------------------


@pytest.fixture
def growing(tmp_path):
    """A table of five seeds, whose arm gains about two points."""
    lines = ["source,strategy,target,labels,seed,score"]
    for seed in range(5):
        lines.append(f",scratch,digits,20,{seed},{70 + seed}")
        lines.append(f"net,full_finetuning,digits,20,{seed},{72 + seed + 0.6 * (seed % 2)}")
    path = tmp_path / "growing.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_keeps_no_looks_and_says_so(growing, capsys):
    told = " ".join(shown(capsys, growing).split())
    assert "A table keeps no looks: this one takes all of the error." in told
    assert {row["level"] for row in rows(capsys, growing)} == {0.05}


def test_looks_at_a_table_are_charged_for_once_they_are_told(growing, capsys):
    """By Hwang, Shih and DeCani: looks at 3 and 5 of 20 seeds; golden levels."""
    (first,) = rows(capsys, growing, "--max-seeds", 20)
    (second,) = rows(capsys, growing, "--max-seeds", 20, "--looks", "3")
    assert second["level"] == pytest.approx(0.003051990662415396, rel=1e-6)
    assert first["level"] == pytest.approx(0.00507681620457759)
    (last,) = rows(capsys, growing, "--max-seeds", 5)
    assert last["level"] == pytest.approx(0.05)
    told = " ".join(shown(capsys, growing, "--max-seeds", 20, "--looks", "3").split())
    assert "Judged at 0.31 % of error a family, of 5 % in all after looks at 3:" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--looks", "3"], "as in --max-seeds 20 --looks 3,5"),
        (["--looks", "x", "--max-seeds", 9], "--looks x: give numbers"),
        (["--looks", "5,3", "--max-seeds", 9], "ascending"),
        (["--looks", "3,12", "--max-seeds", 9], "up to --max-seeds"),
        (["--max-seeds", 1], "from 2 on"),
        (["--max-seeds", 4], "there are 5 seeds of an arm already"),
        (["--looks", "3,6", "--max-seeds", 9], "no arm has more than 5 seeds"),
    ],
)
def test_looks_that_make_no_sense_are_refused(growing, capsys, words, message):
    assert message in refused(capsys, growing, *words)
