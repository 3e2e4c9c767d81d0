"""Whatever is damaged in a ledger is named, and what is whole is not."""

import json
import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ledger_factory import made, predicted
from transfergrid.evidence.declared.declarations import read_grid
from transfergrid.evidence.declared.looks import read_look
from transfergrid.records.errors import BadInputError
from transfergrid.records.files import arrays
from transfergrid.records.identity import cell_id
from transfergrid.records.ledgers.checkup import check
from transfergrid.records.ledgers.compacting import compact
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Data, Scores, Status

RIGHT = [True, True, True, False]
CURVES = {"train_step": np.arange(3), "train_loss": np.array([1.0, 0.5, 0.2])}


def cell(seed, **changes):
    """Return a done cell that has the id of its parts."""
    record = made(seed=seed, score=0.75, data=Data(classes=("a", "b"), test=4), **changes)
    return replace(record, id=cell_id(record.parts, record.labels, seed, record.protocol))


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "results")
    for seed in range(3):
        found.write(cell(seed), predicted(RIGHT), CURVES)
    failed = replace(cell(5), status=Status.FAILED, reason="ValueError: x")
    found.fail(failed, "log")
    found.write_document("grids", {"id": "g", "cells": {}})
    found.compact()
    return found


def findings(ledger):
    found = [*check(ledger, {"grids": read_grid, "looks": read_look})]
    return [(one.path.relative_to(ledger.root).as_posix(), one.damaged) for one in found]


def beside(ledger, name):
    return ledger.folder(cell(1).id) / name


def test_a_whole_ledger_is_whole_and_stays_as_it_is(ledger):
    before = {path: path.stat().st_mtime_ns for path in ledger.root.rglob("*")}
    assert findings(ledger) == []
    assert {path: path.stat().st_mtime_ns for path in ledger.root.rglob("*")} == before


def rewritten(**changes):
    def spoil(ledger):
        path = beside(ledger, "record.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def saved(name, **changes):
    def spoil(ledger):
        path = beside(ledger, name)
        arrays.save(path, arrays.load(path) | changes)

    return spoil


def cut(name):
    def spoil(ledger):
        path = beside(ledger, name)
        path.write_bytes(path.read_bytes()[:-20])

    return spoil


DAMAGE = {
    "no JSON": ("record.json", lambda ledger: beside(ledger, "record.json").write_text("{")),
    "cut record": ("record.json", cut("record.json")),
    "other id": ("record.json", rewritten(id=cell(7).id)),
    "other seed": ("record.json", rewritten(seed=7)),
    "other budget": ("record.json", rewritten(labels=7)),
    "other status": ("record.json", rewritten(status="failed")),
    "cut predictions": ("predictions.npz", cut("predictions.npz")),
    "cut curves": ("curves.npz", cut("curves.npz")),
    "other examples": (
        "predictions.npz",
        lambda ledger: arrays.save(
            beside(ledger, "predictions.npz"), predicted([True]).checked().arrays()
        ),
    ),
    "other predictions": (
        "predictions.npz",
        lambda ledger: arrays.save(
            beside(ledger, "predictions.npz"), predicted([True] * 4).checked().arrays()
        ),
    ),
    "NaN": (
        "predictions.npz",
        saved("predictions.npz", probabilities=np.full((4, 2), np.nan, np.float32)),
    ),
    "uneven curves": ("curves.npz", saved("curves.npz", train_step=np.arange(7))),
}


@pytest.mark.parametrize(("name", "spoil"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_cell_is_named_and_no_other(name, spoil, ledger):
    spoil(ledger)
    shutil.rmtree(ledger.root / "index")
    path = beside(ledger, name).relative_to(ledger.root).as_posix()
    assert findings(ledger) == [(path, True)]


def test_a_flipped_bit_anywhere_in_the_arrays_is_seen(ledger):
    shutil.rmtree(ledger.root / "index")
    path = beside(ledger, "predictions.npz")
    whole = path.read_bytes()
    names = [whole.index(name) for name in (b"probabilities.npy", b"labels.npy")]
    for place in range(names[0] + 60, names[1] - 60, 9):  # within the packed probabilities
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert [damaged for _, damaged in findings(ledger)] == [True], place


def test_a_record_that_vanished_is_named(ledger):
    beside(ledger, "record.json").unlink()
    assert (f"cells/{cell(1).id[:2]}/{cell(1).id}", True) in findings(ledger)


def test_a_damaged_attempt_and_document_are_named(ledger):
    attempt = ledger.attempts_folder(cell(5).id) / "1" / "record.json"
    attempt.write_text("[]")
    (ledger.root / "grids" / "g.json").write_text('{"cells": 5}')
    (ledger.root / "looks").mkdir()
    (ledger.root / "looks" / "l.json").write_text("{}")
    named = [attempt.relative_to(ledger.root).as_posix(), "grids/g.json", "looks/l.json"]
    assert findings(ledger) == [(name, True) for name in named]


def test_an_index_that_tells_otherwise_than_a_record_is_named(ledger):
    (segment,) = (ledger.root / "index").glob("*.parquet")
    table = pyarrow.parquet.read_table(segment)
    texts = table.column("record").to_pylist()
    texts[0] = texts[0].replace("0.75", "0.25")
    column = table.column_names.index("record")
    changed = table.set_column(column, "record", pyarrow.array(texts))
    pyarrow.parquet.write_table(changed, segment)
    assert findings(ledger) == [("index", True)]
    segment.write_bytes(b"none")
    assert findings(ledger) == [(f"index/{segment.name}", True)]


def leave_over(ledger):
    """Leave what killed processes leave; return where."""
    draft, new = ledger.root / "tmp" / "draft", ledger.root / "tmp" / "new"
    for folder in (draft, new):
        folder.mkdir(parents=True)
    os.utime(draft, (time.time() - 7200,) * 2)
    claims = ledger.root / "claims"
    claims.mkdir()
    for identity in (cell(0).id, cell(9).id):
        (claims / f"{identity}.0").write_text('{"place": "far", "process": 7, "began": "1"}')
        os.utime(claims / f"{identity}.0", (time.time() - 500,) * 2)
    running = ledger.root / "running"
    running.mkdir()
    for identity in (cell(0).id, cell(9).id):
        (running / f"{identity}.safetensors").write_bytes(b"x")
    return new


def test_what_killed_processes_left_is_named_and_is_no_damage(ledger):
    leave_over(ledger)
    claims = sorted(f"claims/{identity}.0" for identity in (cell(0).id, cell(9).id))
    named = ["tmp/draft", *claims, f"running/{cell(0).id}.safetensors"]
    assert sorted(findings(ledger)) == sorted((name, False) for name in named)


def test_what_lies_among_cells_and_is_none_is_named(ledger):
    (ledger.root / "cells" / "zz").mkdir()
    (ledger.root / "cells" / "zz" / "notes.txt").write_text("mine")
    assert findings(ledger) == [("cells/zz/notes.txt", False)]


def test_where_there_is_no_ledger_that_is_said(tmp_path):
    for act in (lambda ledger: [*check(ledger)], compact):
        with pytest.raises(BadInputError, match="no results in"):
            act(Ledger(tmp_path / "nowhere"))


# Compacting ------------------------------------------------------------------------------------


def test_segments_become_one_and_tell_the_same(ledger):
    for seed in (10, 11, 12):
        ledger.write(cell(seed), predicted(RIGHT), CURVES)
        ledger.compact()
    before = ledger.records(), ledger.columns(("id", "score", "right", "record"))
    assert len([*(ledger.root / "index").iterdir()]) == 4
    assert compact(ledger).segments == 4
    assert len([*(ledger.root / "index").iterdir()]) == 1
    assert (ledger.records(), ledger.columns(("id", "score", "right", "record"))) == before
    assert compact(ledger).segments == 0


def test_rows_of_cells_that_are_gone_or_were_written_anew_go(ledger):
    shutil.rmtree(ledger.folder(cell(0).id))
    again = replace(cell(1), reason="again")
    shutil.rmtree(ledger.folder(again.id))
    ledger.write(again, predicted(RIGHT), CURVES)
    compact(ledger)
    (segment,) = (ledger.root / "index").iterdir()
    rows = pyarrow.parquet.read_table(segment).to_pylist()
    assert sorted(row["id"] for row in rows) == sorted([again.id, cell(2).id])
    assert "again" in next(row["record"] for row in rows if row["id"] == again.id)


def test_nobody_is_hindered_and_no_result_touched(ledger):
    new = leave_over(ledger)
    kept = {path: path.read_bytes() for path in (ledger.root / "cells").rglob("*.*")}
    done = compact(ledger)
    assert (done.drafts, done.claims) == (1, 1)
    assert new.exists(), "it may still be being written"
    left = {path.name for path in (ledger.root / "claims").iterdir()}
    assert left == {f"{cell(9).id}.0"}, "the next claim is counted by it"
    assert {path.stem for path in (ledger.root / "running").iterdir()} == {cell(9).id}
    assert {path: path.read_bytes() for path in (ledger.root / "cells").rglob("*.*")} == kept
    assert findings(ledger) == [(f"claims/{cell(9).id}.0", False)]


def test_a_segment_that_vanishes_while_it_is_read_costs_no_word(ledger, monkeypatch):
    (segment,) = (ledger.root / "index").glob("*.parquet")
    opened = pyarrow.parquet.ParquetFile

    def late(path):
        segment.unlink()
        return opened(path)

    monkeypatch.setattr(pyarrow.parquet, "ParquetFile", late)
    assert len(ledger.records()) == 3
    assert ledger.warnings == []


def test_a_score_of_the_record_that_is_no_accuracy_is_not_held_against_it(tmp_path):
    ledger = Ledger(tmp_path / "results")
    ledger.write(replace(cell(0), scores=Scores(test={"auroc": 0.9})), predicted(RIGHT))
    assert findings(ledger) == []
