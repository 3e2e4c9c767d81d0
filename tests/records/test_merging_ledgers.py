"""Two ledgers made one: nothing of either is lost, whenever it is cut short."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from ledger_factory import made, predicted
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers import merging
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.ledgers.merging import merge
from transfergrid.records.record import Cost, Seconds, Status


def ledger(path, *seeds, **fields):
    found = Ledger(path)
    for seed in seeds:
        found.write(made(seed=seed, **fields), predicted([True, False, True]))
    return found


@pytest.fixture
def a(tmp_path):
    return ledger(tmp_path / "a", 0, 1, 2)


@pytest.fixture
def b(tmp_path):
    return ledger(tmp_path / "b", 2, 3, 4)


def seeds(ledger):
    return sorted(record.seed for record in ledger.records())


def test_the_union_of_the_cells_is_there_with_their_predictions(a, b):
    merged = merge(a, b)
    assert (merged.taken, merged.known) == (2, 1)
    assert seeds(a) == [0, 1, 2, 3, 4]
    assert a.predictions(made(seed=4).id).correct().tolist() == [True, False, True]
    assert seeds(b) == [2, 3, 4]


def test_a_second_merge_brings_nothing(a, b):
    b.write_document("looks", {"id": "x", "at": "2026"})
    b.fail(replace(made(seed=7), status=Status.FAILED), "log")
    merge(a, b)
    again = merge(a, b)
    assert (again.taken, again.known, again.attempts, again.documents) == (0, 3, 0, {})


def test_a_ledger_that_is_not_there_yet_becomes_a_copy(b, tmp_path):
    new = Ledger(tmp_path / "new")
    merge(new, b)
    assert new.records() == b.records()


def test_of_two_records_of_a_cell_ours_stays_and_both_kinds_are_told(a, tmp_path):
    b = ledger(tmp_path / "b", 0, score=0.1)
    slow = replace(made(seed=1), cost=Cost(seconds=Seconds(total=99.0)))
    b.write(slow)
    merged = merge(a, b)
    assert merged.other_scores == [made(seed=0).id]
    assert merged.other_records == [made(seed=1).id]
    assert {record.score for record in a.records()} == {0.9}


def test_failed_attempts_come_once_and_their_logs_with_them(a, b):
    failed = replace(made(seed=7), status=Status.FAILED, reason="here")
    a.fail(failed, "log of a")
    b.fail(replace(failed, reason="there"), "log of b")
    merge(a, b)
    merge(a, b)
    tries = a.attempts_folder(failed.id)
    logs = [(tries / str(n) / "log.txt").read_text() for n in a.attempts(failed.id)]
    assert logs == ["log of a", "log of b"]


def test_a_document_of_the_same_name_and_other_content_is_kept_beside_ours(a, b):
    """Two may have looked in one second, or asked for one grid at two times."""
    for one, told in ((a, "ours"), (b, "theirs")):
        one.write_document("grids", {"id": "g", "study": told, "cells": {}})
        one.write_document("looks", {"id": "l", "by": told})
    merge(a, b)
    merge(a, b)
    assert {grid["study"] for grid in a.documents("grids")} == {"ours", "theirs"}
    assert sorted(look["by"] for look in a.documents("looks")) == ["ours", "theirs"]


def test_what_is_damaged_there_is_left_out_and_named(a, b):
    bad = made(seed=3).id
    (b.folder(bad) / "record.json").write_text("{")
    link = b.folder(made(seed=4).id) / "predictions.npz"
    link.unlink()
    link.symlink_to("/etc/passwd")
    assert merge(a, b).taken == 0
    assert seeds(a) == [0, 1, 2]
    assert bad in "".join(b.warnings)
    assert "is a link" in "".join(b.warnings)


def test_a_damaged_record_of_ours_is_replaced_by_a_whole_one(a, b):
    bad = made(seed=2).id
    (a.folder(bad) / "record.json").write_text("{")
    merge(a, b)
    assert a.read(bad) == b.read(bad)


def test_a_ledger_is_not_merged_with_itself_nor_with_what_is_none(a, tmp_path):
    (tmp_path / "link").symlink_to(a.root)
    with pytest.raises(BadInputError, match="are one folder"):
        merge(a, Ledger(tmp_path / "link"))
    with pytest.raises(BadInputError, match="no results in"):
        merge(a, Ledger(tmp_path / "nowhere"))


def test_a_disk_that_is_full_meets_a_ledger_that_is_as_it_was(a, b, monkeypatch):
    before = sorted(path.relative_to(a.root) for path in a.root.rglob("*"))
    copied, calls = merging.shutil.copyfile, []

    def full(source, place):
        calls.append(place)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return copied(source, place)

    monkeypatch.setattr(merging.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        merge(a, b)
    assert sorted(path.relative_to(a.root) for path in a.root.rglob("*")) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from transfergrid.records.ledgers import ledger, merging
left = int(sys.argv[3])
rename, replace = Path.rename, Path.replace

def counted(act):
    def done(path, to):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return act(path, to)
    return done

Path.rename, Path.replace = counted(rename), counted(replace)
merging.merge(ledger.Ledger(sys.argv[1]), ledger.Ledger(sys.argv[2]))
"""


@pytest.mark.parametrize("after", range(5))
def test_killed_between_any_two_steps_it_is_whole_and_knows_the_looks(after, a, b):
    """Two looks and two cells are brought, step by step, and then the whole is there."""
    for name in ("one", "two"):
        b.write_document("looks", {"id": name})
    command = [sys.executable, "-c", KILLED, str(a.root), str(b.root), str(after)]
    done = subprocess.run(command, env=os.environ, check=False)
    assert done.returncode == (-signal.SIGKILL if after < 4 else 0)
    looks, cells = len(a.documents("looks")), len(a.records())
    assert (looks, cells) == [(0, 3), (1, 3), (2, 3), (2, 4), (2, 5)][after]
    assert a.warnings == []
    merge(a, b)
    assert (len(a.documents("looks")), seeds(a)) == (2, [0, 1, 2, 3, 4])
