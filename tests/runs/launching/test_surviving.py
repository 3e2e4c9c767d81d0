"""Workers, grids and machines that go without a word: what is done stays done, and once."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

import pretend_grid
from pretend_grid import cell
from transfergrid.records.ledgers.claims import Claims
from transfergrid.records.ledgers.ledger import Ledger


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def tries(folder, number):
    return (folder / "tries" / f"{number:016x}").read_text().split()


def started(results, *what):
    """Return the process of a grid of these cells."""
    command = [sys.executable, pretend_grid.__file__, str(results), *what]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),  # which nohup ignores
    )


def until(there, seconds=60):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


def runs(process):
    """Return whether a process is there, and no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_a_cell_whose_record_was_written_before_its_worker_died_is_done(tmp_path, results):
    outcome = pretend_grid.run(results, [cell(0, "die afterwards"), cell(1)], workers=1)
    assert (outcome.done, outcome.failed, outcome.exit_code) == (2, 0, 0)
    assert not (results / "attempts").exists()


def test_a_cell_that_was_killed_is_begun_once_more(tmp_path, results):
    outcome = pretend_grid.run(results, [cell(0, "die once"), cell(1)], workers=2)
    assert (outcome.done, outcome.failed) == (2, 0)
    assert len(tries(tmp_path, 0)) == 2


def test_a_worker_that_leaves_a_child_behind_is_seen_to_be_gone(tmp_path, results):
    """Its child holds the pipe open, which once was waited for without end."""
    start = time.monotonic()
    outcome = pretend_grid.run(results, [cell(0, "die before a child"), cell(1)], workers=1)
    assert (outcome.done, outcome.failed) == (2, 0)
    assert time.monotonic() - start < 60


def test_a_cell_that_takes_too_long_is_ended_and_its_log_says_where_it_was(tmp_path, results):
    cells = [cell(0, "deaf"), cell(1)]
    outcome = pretend_grid.run(results, cells, workers=1, cell_timeout=0.05)
    assert (outcome.done, outcome.failed) == (1, 1)
    (failure,) = Ledger(results).failures()
    assert failure.reason == "it took longer than trainer.cell_timeout=0.05 minutes"
    log = (results / "attempts" / failure.id / "1" / "log.txt").read_text()
    assert "pretend_worker.py" in log, "a traceback"
    assert len(tries(tmp_path, 0)) == 1, "it is not tried again"


@pytest.mark.parametrize("what", ["sleep", "deaf"])
def test_workers_end_with_a_grid_that_is_killed(tmp_path, results, what):
    grid = started(results, what, what)
    marks = tmp_path / "marks"
    until(lambda: marks.is_dir() and len([*marks.glob("*.asleep")]) == 2)
    workers = [int(pid) for number in (0, 1) for pid in tries(tmp_path, number)]
    grid.kill()
    grid.wait()
    until(lambda: not any(map(runs, workers)), 5 if what == "sleep" else 25)


def test_a_closed_terminal_ends_the_grid_as_ctrl_c_does(tmp_path, results):
    grid = started(results, "sleep", "sleep", "work")
    marks = tmp_path / "marks"
    until(lambda: marks.is_dir() and len([*marks.glob("*.asleep")]) == 2)
    workers = [int(pid) for number in (0, 1) for pid in tries(tmp_path, number)]
    grid.send_signal(signal.SIGHUP)
    assert grid.wait(60) == 130
    assert not any(map(runs, workers))
    assert not (results / "claims").exists()


def test_two_grids_at_once_run_each_cell_once_between_them(tmp_path, results):
    grids = [started(results, *["nap"] * 24) for _ in range(2)]
    said = [grid.communicate(timeout=120)[0] for grid in grids]
    assert [grid.returncode for grid in grids] == [0, 0], said
    assert all("done=24" in text for text in said), "each tells of all that is done"
    ran = Counter(len(tries(tmp_path, number)) for number in range(24))
    assert ran == {1: 24}
    by = {os.getpid()} | {int(pid) for number in range(24) for pid in tries(tmp_path, number)}
    assert len(by) >= 4, "the workers of both had some"
    assert not (results / "claims").exists()


def test_what_a_killed_grid_held_is_run_by_the_other_one(tmp_path, results):
    first = started(results, "sleep once", "sleep once", *["work"] * 4)
    marks = tmp_path / "marks"
    until(lambda: marks.is_dir() and len([*marks.glob("*.asleep")]) == 2)
    second = started(results, "sleep once", "sleep once", *["work"] * 4)
    until(lambda: len(Ledger(results).done(f"{n:016x}" for n in range(6))) == 4)
    first.kill()
    first.wait()
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert "some cells are being run by another grid" in said
    assert [len(tries(tmp_path, number)) for number in range(6)] == [2, 2, 1, 1, 1, 1]


def test_where_no_claim_can_be_written_cells_are_run_all_the_same(tmp_path, results, monkeypatch):
    def take(self, identity):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Claims, "take", take)
    outcome = pretend_grid.run(results, [cell(0), cell(1)], workers=1)
    assert (outcome.done, outcome.failed) == (2, 0)
