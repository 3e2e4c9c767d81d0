"""A ledger stays whole whatever happens around it: races, kills, damage, deletion."""

import contextlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from ledger_factory import identity, made, predicted
from transfergrid.records.errors import BadInputError
from transfergrid.records.files import arrays
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import SCHEMA, Scores, Status

CURVES = {"train_step": np.arange(3), "train_loss": np.array([1.0, 0.5, 0.2])}


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "results")


def write(ledger, *seeds, **fields):
    cells = [made(seed=seed, **fields) for seed in seeds]
    for cell in cells:
        ledger.write(cell, predicted([True, False, True]), CURVES)
    return cells


def folder(ledger, record):
    return ledger.root / "cells" / record.id[:2] / record.id


def test_what_is_written_is_read_back(ledger):
    (cell,) = write(ledger, 0)
    assert ledger.read(cell.id) == cell
    assert ledger.predictions(cell.id).correct().tolist() == [True, False, True]
    assert ledger.predictions(cell.id).probabilities.dtype == np.float32
    assert ledger.curves(cell.id)["train_loss"].tolist() == [1.0, 0.5, 0.2]
    assert ledger.done([cell.id, identity("other")]) == {cell.id}


def test_only_done_cells_are_results(ledger):
    with pytest.raises(ValueError, match="failed"):
        ledger.write(replace(made(), status=Status.FAILED))


def test_who_comes_second_leaves_the_first_result_alone(ledger):
    first, second = made(score=0.9), made(score=0.1)
    assert ledger.write(first)
    assert not ledger.write(second)
    assert ledger.read(first.id).score == 0.9
    assert list((ledger.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("damage", ["truncated", "empty", "gone", "not done"])
def test_a_folder_without_a_whole_record_is_not_done_and_gives_way(ledger, damage, indexed):
    broken, whole = write(ledger, 0, 1)
    path = folder(ledger, broken) / "record.json"
    if indexed:
        ledger.compact()
    text = path.read_text()
    path.unlink()
    if damage != "gone":
        cut = {"truncated": text[:100], "empty": "", "not done": text.replace("done", "running")}
        path.write_text(cut[damage])
    os.utime(path.parent, ns=(1, 1))
    assert ledger.done([broken.id, whole.id]) == {whole.id}
    if damage != "not done":
        assert [cell.id for cell in ledger.records()] == [whole.id]
        assert len(ledger.warnings) == 1
        assert broken.id in ledger.warnings[0]
    assert ledger.write(broken)
    assert ledger.done([broken.id]) == {broken.id}


def test_records_are_the_same_with_and_without_index_and_ordered_by_id(ledger):
    write(ledger, 0, 1, 2)
    before = ledger.records()
    segment = ledger.compact()
    assert segment is not None
    assert ledger.records() == before
    assert ledger.compact() is None
    late = write(ledger, 3)
    assert ledger.records() == sorted(before + late, key=lambda cell: cell.id)


def test_an_index_is_used_for_cells_that_stand_unchanged(ledger):
    (cell,) = write(ledger, 0)
    ledger.compact()
    changed = folder(ledger, cell).stat()
    (folder(ledger, cell) / "record.json").write_text("{}")  # in place: only the index can tell
    os.utime(folder(ledger, cell), ns=(changed.st_atime_ns, changed.st_mtime_ns))
    assert ledger.records() == [cell]


def test_a_cell_deleted_by_hand_is_gone_although_it_was_indexed(ledger):
    kept, deleted = write(ledger, 0, 1)
    ledger.compact()
    shutil.rmtree(folder(ledger, deleted))
    assert ledger.done([kept.id, deleted.id]) == {kept.id}
    assert ledger.records() == [kept]


def test_a_cell_deleted_and_run_again_shows_the_new_result(ledger):
    (old,) = write(ledger, 0, score=0.5)
    ledger.compact()
    shutil.rmtree(folder(ledger, old))
    (new,) = write(ledger, 0, score=0.8)
    assert ledger.records() == [new]
    ledger.compact()
    assert ledger.records() == [new]


def test_duplicate_segments_and_a_broken_one_change_nothing(ledger):
    cells = write(ledger, 0, 1)
    segment = ledger.compact()
    shutil.copy(segment, segment.with_name("copy.parquet"))
    segment.with_name("broken.parquet").write_bytes(segment.read_bytes()[:50])
    assert ledger.records() == sorted(cells, key=lambda cell: cell.id)
    assert len(ledger.warnings) == 1
    assert "broken.parquet" in ledger.warnings[0]


def test_segments_have_one_schema_whatever_is_missing_in_them(ledger):
    import pyarrow.parquet

    write(ledger, 0, architecture=None, score=None)
    first = ledger.compact()
    write(ledger, 1, source="glyphs", baseline=made(), study="digits")
    second = ledger.compact()
    read = pyarrow.parquet.read_schema
    assert read(first).equals(read(second))
    assert pyarrow.parquet.read_table(second)["source"].to_pylist() == ["glyphs"]


def test_a_cell_of_a_newer_program_is_done_but_not_shown(ledger):
    (cell,) = write(ledger, 0)
    path = folder(ledger, cell) / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": SCHEMA + 1}))
    assert ledger.done([cell.id]) == {cell.id}
    assert ledger.records() == []
    assert "upgrade" in ledger.warnings[0]
    assert not ledger.write(cell)


def test_a_failure_is_kept_until_the_cell_is_done_and_each_try_has_a_number(ledger):
    failed = [replace(made(), status=Status.FAILED, reason=why) for why in ("first", "second")]
    folders = [ledger.fail(record, "Traceback ...") for record in failed]
    assert [path.name for path in folders] == ["1", "2"]
    assert (folders[1] / "log.txt").read_text() == "Traceback ..."
    assert [record.reason for record in ledger.failures()] == ["second"]
    write(ledger, 0)
    assert ledger.failures() == []


def test_the_tenth_try_is_newer_than_the_ninth(ledger):
    for number in range(1, 12):
        ledger.fail(replace(made(), status=Status.FAILED, reason=str(number)), "")
    assert ledger.failures()[0].reason == "11"


def _fail_often(root, count):
    ledger = Ledger(root)
    return [
        str(ledger.fail(replace(made(), status=Status.FAILED, reason="r"), "log"))
        for _ in range(count)
    ]


def _write_all(root, scores):
    ledger = Ledger(root)
    won = sum(ledger.write(made(seed=seed, score=scores), None, CURVES) for seed in range(20))
    ledger.compact()
    return won


def test_processes_side_by_side_lose_and_double_nothing(ledger):
    with get_context("spawn").Pool(3) as pool:
        won = pool.starmap(_write_all, [(ledger.root, score) for score in (0.1, 0.2, 0.3)])
        tries = pool.starmap(_fail_often, [(ledger.root, 10)] * 3)
    assert sum(won) == 20
    assert len({path for paths in tries for path in paths}) == 30
    assert len(ledger.records()) == 20
    assert ledger.warnings == []


def test_threads_may_share_a_ledger(ledger):
    cells = [made(seed=seed) for seed in range(30)]
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ledger.write, cells))
    assert ledger.done(cell.id for cell in cells) == {cell.id for cell in cells}


def test_a_writer_that_dies_midway_leaves_nothing_that_is_read(ledger, monkeypatch):
    write(ledger, 0)
    monkeypatch.setattr(
        np, "savez_compressed", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        ledger.write(made(seed=1), predicted([True]), CURVES)
    assert len(ledger.records()) == 1
    assert list((ledger.root / "tmp").iterdir()) == []


def test_old_drafts_of_killed_writers_are_cleared_and_young_ones_kept(ledger):
    write(ledger, 0)
    for name, age in (("old", 3 * 86_400), ("young", 60)):
        (ledger.root / "tmp" / name).mkdir()
        then = (ledger.root / "tmp").stat().st_mtime - age
        os.utime(ledger.root / "tmp" / name, (then, then))
    ledger.compact()
    assert [path.name for path in (ledger.root / "tmp").iterdir()] == ["young"]


def test_grids_are_kept_and_written_anew_under_their_id(ledger):
    name = ledger.write_document("grids", {"cells": ["a"], "looks": []})
    assert ledger.write_document("grids", {"looks": [], "cells": ["a"]}) == name
    ledger.write_document("grids", {"id": name, "cells": ["a"], "looks": [1]})
    assert ledger.documents("grids") == [{"id": name, "cells": ["a"], "looks": [1]}]
    (ledger.root / "grids" / "x.json").write_text("{")
    assert len(ledger.documents("grids")) == 1
    assert "x.json" in ledger.warnings[0]


@pytest.mark.parametrize("exists", [False, True])
def test_no_results_is_told_with_the_folder(tmp_path, exists):
    root = tmp_path / "nothing"
    if exists:
        root.mkdir()
    with pytest.raises(BadInputError, match=r"no results in '.*nothing': "):
        Ledger(root).records()
    assert Ledger(root).done([identity("a")]) == set()
    assert Ledger(root).failures() == []


@pytest.mark.parametrize("name", ["../../etc", "ABCDEF0123456789", "ab", ""])
def test_an_id_is_no_path(ledger, name):
    with pytest.raises(BadInputError, match="is no cell's id"):
        ledger.read(name)


def test_missing_and_damaged_arrays_are_told_with_their_file(ledger):
    cell = made()
    ledger.write(cell)
    with pytest.raises(BadInputError, match=r"predictions\.npz was not kept"):
        ledger.predictions(cell.id)
    path = folder(ledger, cell) / "curves.npz"
    path.write_bytes(path.read_bytes()[:20] + b"x")
    with pytest.raises(BadInputError, match=r"curves\.npz is unreadable"):
        ledger.curves(cell.id)


def test_arrays_of_objects_are_not_unpickled(ledger):
    (cell,) = write(ledger, 0)
    np.savez(folder(ledger, cell) / "curves.npz", train_loss=np.array([{}], dtype=object))
    with pytest.raises(BadInputError, match="unreadable"):
        ledger.curves(cell.id)


def test_shapes_that_do_not_fit_are_not_kept(ledger):
    with pytest.raises(ValueError, match="labels"):
        ledger.write(made(), predicted([True])._replace(labels=np.zeros(2)))
    assert ledger.done([made().id]) == set()


def test_checking_leaves_no_trace(tmp_path):
    Ledger(tmp_path / "a" / "b").check_writable()
    Ledger(tmp_path).check_writable()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_files_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match=r"cannot write results to '.*file/results'"):
        Ledger(tmp_path / "file" / "results").check_writable()


@pytest.mark.skipif(os.geteuid() == 0, reason="no folder is closed to root")
def test_a_closed_folder_is_told(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(BadInputError, match="cannot write results"):
        Ledger(tmp_path / "closed" / "results").check_writable()


def test_a_table_where_a_ledger_is_wanted_is_told_where_it_belongs(tmp_path):
    file = tmp_path / "runs.csv"
    file.write_text("strategy,target,seed,score\n")
    with pytest.raises(BadInputError, match=r"it is a file; .* by transfergrid verdicts$"):
        Ledger(file).check_exists()


def test_a_relative_root_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ledger = Ledger("results")
    ledger.check_writable()
    write(ledger, 0)
    assert len(Ledger(Path("results")).records()) == 1


# What is no file ----------------------------------------------------------------------------------


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize(
    "place",
    [
        *("cells/*/*/record.json", "cells/*/*/predictions.npz", "cells/*/*/curves.npz"),
        *("attempts/*/*/record.json", "grids/*.json", "index/*.parquet"),
    ],
)
def test_a_pipe_in_a_files_place_is_not_waited_for(ledger, place, indexed):
    cells = write(ledger, 0, 1)
    failed = replace(made(seed=7), status=Status.FAILED, reason="it failed", scores=Scores())
    ledger.fail(failed, "Traceback ...")
    for name in ("a", "b"):
        ledger.write_document("grids", {"id": name})
    if indexed or place.startswith("index"):
        ledger.compact()
    path = sorted(ledger.root.glob(place))[0]
    path.unlink()
    os.mkfifo(path)

    opened = Ledger(ledger.root)
    opened.records()
    opened.failures()
    opened.documents("grids")
    for cell in cells:
        with contextlib.suppress(BadInputError):
            opened.predictions(cell.id)
        with contextlib.suppress(BadInputError):
            opened.curves(cell.id)
    named = path.parent if place.startswith("cells") and "record" in place else path
    assert any(line.startswith(f"left out {named}: ") for line in opened.warnings)
    assert len(opened.documents("grids")) == 2 - place.startswith("grids")
    lost = {cell.id for cell in cells if path.is_relative_to(folder(ledger, cell))}
    there = {record.id for record in opened.records()}
    assert there >= {cell.id for cell in cells} - lost


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int32).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([], dtype=np.float32),
        np.zeros((0, 4)),
        np.array(["a", "bcd"]),
        np.array(7),
    ],
)
def test_arrays_come_back_as_numpy_reads_them(tmp_path, array):
    np.savez_compressed(tmp_path / "curves.npz", some=array)
    with np.load(tmp_path / "curves.npz") as kept:
        expected = kept["some"]
    found = arrays.curves(tmp_path / "curves.npz")["some"]
    np.testing.assert_array_equal(found, expected)
    assert (found.dtype, found.flags.writeable) == (expected.dtype, True)
