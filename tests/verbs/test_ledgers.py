"""The verb `ledger`, as it is typed."""

import csv
import json
from dataclasses import replace

import pyarrow.parquet
import pytest

from ledger_factory import made, predicted
from transfergrid.evidence.declared import looks
from transfergrid.records.identity import cell_id
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Status
from transfergrid.verbs.cli import main


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(root, *seeds, score=0.5):
    ledger = Ledger(root)
    for seed in seeds:
        base = made(seed=seed, score=score)
        arm = made("full", source="mnist", seed=seed, score=score + 0.25, baseline=base)
        for record in (base, arm):
            ledger.write(record, predicted([True] * 6 + [False] * 2))
    return ledger


def typed(capsys, *words):
    with pytest.raises(SystemExit) as left:
        main(["ledger", *map(str, words)])
    return left.value.code, capsys.readouterr()


def test_a_copy_goes_to_another_folder_and_is_judged_alike(capsys):
    written("results", *range(3)).write_document("grids", {"id": "g", "cells": {}})
    code, printed = typed(capsys, "export", "results", "--predictions", "rounded")
    assert (code, printed.err) == (0, "")
    assert "results.tar.xz: 6 cells" in printed.out
    code, printed = typed(capsys, "merge", "new", "results.tar.xz")
    assert code == 0
    assert "6 cells taken" in printed.out
    assert "1 grid taken" in printed.out
    assert "rounded to 0.2 %" in printed.out
    shown = []
    for folder in ("results", "new"):
        with pytest.raises(SystemExit):
            main(["table", folder, "--format", "csv"])
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]


def test_looks_of_both_count_once_they_are_one(capsys):
    """A look at other seeds of the same arm has spent error, wherever it was taken."""
    for root, at, seeds in (("a", "2026-01-01", range(3)), ("b", "2026-01-02", range(3, 6))):
        shown = {"f": {"arm": frozenset(seeds)}}
        looks.keep(written(root, *seeds), looks.Look(at, "table", shown, {"margin": 1.0}))
    assert typed(capsys, "merge", "a", "b")[0] == 0
    assert looks.history(looks.looks(Ledger("a")), "f", "arm") == [3, 6]


def test_a_merge_says_of_which_cells_there_were_two_records(capsys):
    written("a", 0), written("b", 0, score=0.25)
    code, printed = typed(capsys, "merge", "a", "b")
    assert code == 0
    assert "2 cells with another score there: kept as here" in printed.out
    assert made(seed=0).id[:8] in printed.out


def test_a_merge_that_leaves_something_out_says_so_by_its_code(capsys):
    written("a", 0)
    (written("b", 1).folder(made(seed=1).id) / "record.json").write_text("{")
    code, printed = typed(capsys, "merge", "a", "b")
    assert code == 1
    assert made(seed=1).id in printed.err


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_one_table_has_a_row_for_each_cell_done_or_failed(ending, capsys):
    ledger = written("results", 0)
    failed = replace(made(seed=8), status=Status.FAILED, reason="=out of memory")
    ledger.fail(failed, "log")
    code, printed = typed(capsys, "export", "results", "-o", f"all.{ending}")
    assert (code, printed.err) == (0, "")
    assert f"all.{ending}: 3 records" in printed.out
    if ending == "csv":
        with open("all.csv", newline="") as file:  # noqa: PTH123
            rows = [*csv.DictReader(file)]
    else:
        rows = pyarrow.parquet.read_table("all.parquet").to_pylist()
        assert json.loads(rows[0]["record"])["id"] == rows[0]["id"]
    assert [row["status"] for row in rows] == ["done", "done", "failed"]
    assert rows[2]["reason"].endswith("=out of memory")
    assert {float(row["score"]) for row in rows[:2]} == {0.5, 0.75}
    assert {row["id"] for row in rows} == {*(r.id for r in ledger.records()), failed.id}


def test_check_names_what_is_damaged_and_says_so_by_its_code(capsys):
    ledger = whole("results")
    code, printed = typed(capsys, "check")
    assert (code, printed.err) == (0, "")
    assert "2 cells read: nothing is damaged" in printed.out
    path = ledger.folder(ledger.records()[0].id) / "predictions.npz"
    path.write_bytes(path.read_bytes()[:-9])
    code, printed = typed(capsys, "check", "results")
    assert code == 1
    assert f"damaged: {path}" in printed.out
    assert "2 cells read: 1 file damaged" in printed.out


def test_compact_says_what_it_did(capsys):
    ledger = whole("results")
    for seed in (5, 6):
        written("results", seed)
        ledger.compact()
    code, printed = typed(capsys, "compact")
    assert code == 0
    assert "2 segments of the index made one" in printed.out


def whole(root):
    """Write two cells that have the ids of their parts."""
    ledger = Ledger(root)
    for seed in (0, 1):
        record = made(seed=seed, score=0.75)
        identity = cell_id(record.parts, record.labels, seed, record.protocol)
        ledger.write(replace(record, id=identity), predicted([True] * 6 + [False] * 2))
    return ledger


WRONG = [
    (("check", "nowhere"), "no results in 'nowhere'"),
    (("compact", "nowhere"), "no results in 'nowhere'"),
    (("merg",), "did you mean merge"),
    (("merge", "a"), "two ledgers"),
    (("merge", "a", "a"), "are one folder"),
    (("merge", "a", "nothing.tar.xz"), "no such file: nothing.tar.xz"),
    (("merge", "a", "text"), "no whole copy"),
    (("export", "a", "b"), "takes the folder of results"),
    (("export", "nowhere"), "no results in 'nowhere'"),
    (("export", "a", "-o", "x.zip"), "ends in one of"),
    (("export", "a", "-o", "no/x.tar.xz"), "cannot write no/x.tar.xz"),
    (("export", "a", "--predictions", "roundd"), "did you mean rounded"),
    ((), "what"),
]


@pytest.mark.parametrize(("words", "told"), WRONG)
def test_what_cannot_be_is_one_line(words, told, capsys, tmp_path):
    written("a", 0)
    (tmp_path / "text").write_text("text")
    before = sorted(tmp_path.rglob("*"))
    code, printed = typed(capsys, *words)
    assert (code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert told in printed.err
    assert sorted(tmp_path.rglob("*")) == before
