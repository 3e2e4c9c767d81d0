"""An index is a copy: thrown away and made anew, older, doubled or damaged, it changes nothing."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from ledger_factory import identity, made, predicted
from transfergrid.evidence.measured.results import COLUMNS
from transfergrid.records.cell import Reference
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import packed
from transfergrid.records.files.table_formats import arrows_own
from transfergrid.records.ledgers import index
from transfergrid.records.ledgers.index import Indexed, columns
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Cost, Flags, Metric, Scores, from_json

HITS = np.random.default_rng(3).random((6, 13)) < 0.7


def records():
    """Return cells that differ in what columns hold; of the last no predictions are kept."""
    base = [made(seed=seed, score=0.5 + seed / 100) for seed in range(3)]
    odd = made(
        "x",
        "glyphs",
        labels="all",
        seed=9,
        baseline=base[0],
        flags=Flags(collapsed=True, contaminated_by=("imagenet",)),
        exploratory=(Reference(name="y", id=base[1].id),),
        metric=Metric(name="loss", higher_is_better=False),
        scores=Scores(train={"loss": 0.25}, test={"loss": 0.5, "ece": 0.125}),
        study="ü",
    )
    return [*base, odd, made("majority", architecture=None, score=None)]


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "results")
    for hits, record in zip(HITS, records()[:-1], strict=False):
        ledger.write(record, predicted(hits))
    ledger.write(records()[-1])
    return ledger


def table(path):
    rows = pyarrow.parquet.read_table(path).to_pylist()
    return {row["id"]: row for row in rows}


def opened_anew(ledger):
    """Return the columns as another process reads them."""
    return Ledger(ledger.root).columns(COLUMNS)


def test_an_index_made_anew_from_the_files_equals_the_kept_one(ledger):
    kept = table(ledger.compact())
    shutil.rmtree(ledger.root / "index")
    assert table(ledger.compact()) == kept
    assert set(kept) == {record.id for record in records()}


def test_columns_are_the_same_without_an_index_with_one_and_with_half_of_one(ledger):
    before = opened_anew(ledger)
    assert [row[0] for row in before] == sorted(record.id for record in records())
    ledger.compact()
    assert opened_anew(ledger) == before
    late = made(seed=20, score=0.9)
    ledger.write(late, predicted(HITS[5]))
    half = opened_anew(ledger)
    assert [row for row in half if row[0] != late.id] == before
    ledger.compact()
    assert opened_anew(ledger) == half


def test_every_row_holds_the_columns_and_the_whole_record(ledger):
    rows = table(ledger.compact())
    for record in records():
        row = rows[record.id]
        assert from_json(row["record"]) == record
        assert {name: row[name] for name in ("seed", "score", "labels", "target")} == {
            "seed": record.seed,
            "score": record.score,
            "labels": str(record.labels),
            "target": record.names.target,
        }
    odd = rows[records()[3].id]
    assert (odd["metric"], odd["higher_is_better"], odd["train_score"]) == ("loss", False, 0.25)
    assert (odd["ece"], odd["study"], json.loads(odd["contaminated_by"])) == (
        *(0.125, "ü"),
        ["imagenet"],
    )
    assert json.loads(odd["exploratory"]) == [["y", records()[1].id]]


def test_the_bits_are_those_of_the_predictions(ledger):
    rows = table(ledger.compact())
    for hits, record in zip(HITS, records()[:-1], strict=False):
        row, bits = rows[record.id], packed(predicted(hits))
        assert (row["right"], row["items_n"], row["items"]) == (bits.bits, 13, bits.items)
    assert rows[records()[-1].id]["right"] is None


def test_a_cell_that_was_deleted_or_run_again_is_not_read_from_the_index(ledger):
    ledger.compact()
    gone, again, *_ = records()
    shutil.rmtree(ledger.folder(gone.id))
    shutil.rmtree(ledger.folder(again.id))
    ledger.write(replace(again, scores=Scores(test={"accuracy": 0.99})), predicted(~HITS[1]))
    rows = {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in opened_anew(ledger)}
    assert gone.id not in rows
    assert rows[again.id]["score"] == 0.99
    assert rows[again.id]["right"] == packed(predicted(~HITS[1])).bits


def test_doubled_segments_change_nothing_and_a_broken_one_is_told(ledger):
    before = opened_anew(ledger)
    segment = ledger.compact()
    shutil.copy(segment, segment.with_name("copy.parquet"))
    segment.with_name("broken.parquet").write_bytes(b"PAR1 and no more")
    assert opened_anew(ledger) == before
    ledger.columns(COLUMNS)
    assert [line for line in ledger.warnings if "broken.parquet" in line] == ledger.warnings
    assert len(ledger.warnings) == 1


def test_a_damaged_cell_that_no_index_holds_is_left_out_and_told(ledger):
    broken = records()[0]
    (ledger.folder(broken.id) / "record.json").write_text("{")
    assert broken.id not in {row[0] for row in ledger.columns(COLUMNS)}
    assert broken.id in ledger.warnings[0]


def test_damaged_predictions_are_as_good_as_none(ledger):
    cell = records()[0]
    (ledger.folder(cell.id) / "predictions.npz").write_bytes(b"no archive")
    rows = {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in ledger.columns(COLUMNS)}
    assert (rows[cell.id]["score"], rows[cell.id]["right"]) == (cell.score, None)


def told(path, error):
    """Stand for who is told of a segment that cannot be read, where none should be."""
    raise AssertionError((path, error))


def test_a_row_counts_only_while_its_folder_stands_unchanged(tmp_path):
    record = made()
    index.save(tmp_path / "a.parquet", [Indexed(record, 5, None)])
    assert index.load(tmp_path, {record.id: 5}, ("id", "seed"), told) == {record.id: (record.id, 0)}
    assert index.load(tmp_path, {record.id: 6}, ("id", "seed"), told) == {}
    assert index.load(tmp_path, {identity("other"): 5}, ("id",), told) == {}
    assert index.load(tmp_path / "none", {record.id: 5}, ("id",), told) == {}


def test_a_segment_that_lacks_a_column_is_passed_over_without_a_word(tmp_path):
    record = made()
    index.save(tmp_path / "a.parquet", [Indexed(record, 5, None)])
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(
        pyarrow.parquet.read_table(path).drop_columns(["ece", "remarks"]), path
    )
    for lacking in ("ece", "remarks"):
        assert index.load(tmp_path, {record.id: 5}, ("id", lacking), told) == {}
    found = index.load(tmp_path, {record.id: 5}, ("id", "strategy", "tuning"), told)
    assert found == {record.id: (record.id, record.names.strategy, None)}


def test_costs_of_cells_indexed_before_it_held_them_are_read_and_the_index_is_renewed(tmp_path):
    cost = Cost(parameters_trained=7, flops_forward=8, seconds_forward=None)
    ledger, costs = Ledger(tmp_path), ["parameters_trained", "flops_forward", "seconds_forward"]
    ledger.write(replace(made(), cost=cost))
    path = ledger.compact()
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).drop_columns(costs), path)
    assert ledger.columns(costs) == [(7, 8, None)]
    assert ledger.compact() is not None
    assert ledger.columns(costs) == [(7, 8, None)]
    assert ledger.compact() is None


def test_every_column_that_verdicts_read_is_there():
    assert set(COLUMNS) | index.HELD <= set(columns(Indexed(made(), 0, None)))


def test_no_ledger_no_columns(tmp_path):
    with pytest.raises(BadInputError, match="no results in"):
        Ledger(tmp_path / "none").columns(COLUMNS)


# Documents ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grids", "looks"])
def test_documents_come_back_by_name_and_a_damaged_one_is_told(ledger, kind):
    assert ledger.documents(kind) == []
    for name in ("b", "a"):
        assert ledger.write_document(kind, {"id": name, "n": 1}) == name
    assert [found["id"] for found in ledger.documents(kind)] == ["a", "b"]
    ledger.write_document(kind, {"id": "a", "n": 2})
    assert [found["n"] for found in ledger.documents(kind)] == [2, 1]
    (ledger.root / kind / "c.json").write_text('{"id"')
    assert len(ledger.documents(kind)) == 2
    assert f"{kind}/c.json" in ledger.warnings[0]
    assert list((ledger.root / "tmp").iterdir()) == []


def test_grids_and_looks_are_no_cells(ledger):
    before = opened_anew(ledger)
    for kind in ("grids", "looks"):
        ledger.write_document(kind, {"id": "a", "cells": [identity("x")]})
    assert opened_anew(ledger) == before
    assert ledger.done([identity("x")]) == set()


def test_a_folder_whose_time_changed_is_read_anew(ledger):
    ledger.compact()
    cell = records()[0]
    path = ledger.folder(cell.id)
    (path / "record.json").write_text(
        replace(cell, scores=Scores(test={"accuracy": 0.01})).to_json()
    )
    scores = {row[0]: row[COLUMNS.index("score")] for row in opened_anew(ledger)}
    assert scores[cell.id] == cell.score  # edited in place: nothing tells
    os.utime(path, ns=(1, 1))
    scores = {row[0]: row[COLUMNS.index("score")] for row in opened_anew(ledger)}
    assert scores[cell.id] == 0.01


def test_arrow_is_given_nothing_of_python_s_to_let_go_of_when_python_ends(ledger, monkeypatch):
    """A thread of its that drops a Python object while Python ends aborts the process."""
    ledger.compact()
    given = []
    opened = pyarrow.parquet.ParquetFile

    def spy(source, *arguments, **options):
        given.append(source)
        return opened(source, *arguments, **options)

    monkeypatch.setattr(pyarrow.parquet, "ParquetFile", spy)
    assert opened_anew(ledger)
    assert given
    assert all(isinstance(path, Path) for path in given)
    content = given[0].read_bytes()
    assert arrows_own(content).equals(pyarrow.py_buffer(content))
    assert arrows_own(content).address != pyarrow.py_buffer(content).address
