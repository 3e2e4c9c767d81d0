"""When a checkpoint is left, which one is used, and when it is removed."""

import signal
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.process import stopping
from transfergrid.runs import checkpoints, states
from transfergrid.runs.checkpoints import Checkpoint
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.machine import Machine

MACHINE = Machine("cpu", checkpoint_minutes=10)
STATE = {"weights": torch.arange(3)}
NAME = "0" * 16


@pytest.fixture
def clock(monkeypatch):
    """The time of day in seconds, which stands still but for who moves it."""
    now = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def made(tmp_path):
    def make(machine=MACHINE, name=NAME, parts=(), started=None):
        return Checkpoint(tmp_path, name, parts, machine, Stopwatch(), started)

    return make


def left(checkpoint, **progress):
    checkpoint.progress.update(progress)
    checkpoint.leave(STATE)
    return checkpoint.file


def test_it_is_due_each_time_that_so_many_minutes_have_passed(made, clock):
    checkpoint, due = made(), []
    for minute in range(40):
        clock[0] = 60.0 * minute
        if checkpoint.is_due(minute):
            due.append(minute)
            left(checkpoint)
    assert due == [10, 20, 30]
    never = made(replace(MACHINE, checkpoint_minutes=0))
    clock[0] = 1e9
    assert not never.is_due(1)
    assert never.take() is None, "nor is one used"


def test_what_was_left_is_found_by_the_next_and_once(made):
    first = made(started="2020-01-01T00:00:00+00:00")
    left(first, trial=3)
    second = made(started="2021-01-01T00:00:00+00:00")
    assert second.progress == {"trial": 3}
    assert torch.equal(second.take()["weights"], STATE["weights"])
    assert second.take() is None
    told = second.spent()
    assert (told.continued, told.attempt) == (1, 2)
    assert told.started == "2020-01-01T00:00:00+00:00"
    assert made(name="1" * 16).take() is None


def test_seconds_and_memory_are_those_of_all_runs(made, monkeypatch):
    first = made()
    first.clock.carry({"load": 30.0, "train": 100.0}, 200.0)
    monkeypatch.setattr(checkpoints, "peak_memory", lambda device: 7)
    left(first)
    monkeypatch.setattr(checkpoints, "peak_memory", lambda device: 5)
    second = made()
    second.clock.carry({"train": 10.0, "evaluate": 1.0}, 20.0)
    told = second.spent()
    assert told.peak_memory_bytes == 7
    assert told.seconds == {"load": 30.0, "train": 110.0, "evaluate": 1.0}
    assert 220 <= told.total < 225
    left(second)
    third = made()
    assert third.spent().seconds == told.seconds
    assert (third.spent().continued, third.attempt) == (2, 3)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"code": "0"}, "changed since then: code"),
        ({"versions": {"torch": "0"}}, "changed since then: versions"),
        ({"device": "cuda"}, "changed since then: device"),
        ({"cell": "x", "code": "0"}, "changed since then: cell, code"),
    ],
)
def test_one_of_something_else_is_not_used_and_said_so_in_a_line(made, capsys, other, why):
    file = left(made())
    whole = states.read(file)
    states.write({**whole, "about": {**whole["about"], **other}}, file, file.parent)
    assert made().take() is None
    line = f"transfergrid: warning: the checkpoint {file} is not used, its run begins anew: "
    assert capsys.readouterr().err == f"{line}{why}\n"


def test_code_is_that_of_a_part_and_of_the_classes_it_is_made_from(made, tmp_path, monkeypatch):
    file = tmp_path / "mine.py"

    def part(text):
        """Return an object of a class in a file with this text, as a new process imports it."""
        file.write_text(text)
        checkpoints.code_of.__globals__["_digest"].cache_clear()
        checkpoints.code_of.__globals__["_file_of"].cache_clear()
        monkeypatch.syspath_prepend(tmp_path)
        import importlib
        import sys

        sys.modules.pop("mine", None)
        return type("Derived", (importlib.import_module("mine").Base,), {})()

    first = "class Base:\n    rate = 1\n"
    left(made(parts=[part(first)]))
    assert made(parts=[part(first)]).take() is not None
    assert made(parts=[part(first.replace("1", "2"))]).take() is None


@pytest.mark.parametrize("content", [b"", b"junk", None])
def test_a_damaged_one_is_not_used(made, capsys, content):
    file = left(made())
    file.write_bytes(file.read_bytes()[:-1] if content is None else content)
    again = made()
    assert (again.take(), again.progress, again.attempt) == (None, {}, 1)
    assert capsys.readouterr().err.count("\n") == 1
    left(again)
    assert made().take() is not None


def test_a_state_of_another_kind_is_not_used(made, capsys):
    file = left(made())
    states.write({"about": 3}, file, file.parent)
    assert made().take() is None
    whole = {"about": made()._about(), "spent": {"words": 1}, "progress": {}, "state": None}
    states.write(whole, file, file.parent)
    assert made().take() is None
    assert capsys.readouterr().err.count("it is of another kind") == 3


def test_two_that_run_the_same_cell_do_not_spoil_each_other(made):
    one, other = made(), made()
    left(one, place=1)
    left(other, place=2)
    assert made().progress == {"place": 2}
    one.remove()
    other.remove()
    left(other, place=3)
    assert made().progress == {"place": 3}


def test_a_full_disk_costs_a_line(made, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(states, "write", full)
    checkpoint = made()
    left(checkpoint)
    err = capsys.readouterr().err
    assert err == (
        f"transfergrid: warning: no checkpoint can be left in {checkpoint.file.parent}: "
        "No space left on device\n"
    )


# The end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "stays"),
    [
        (None, False),
        (BadInputError("x"), False),
        (FloatingPointError("x"), False),
        (OSError("x"), True),
        (MemoryError(), True),
        (torch.OutOfMemoryError(), True),
        (KeyboardInterrupt(), True),
        (SystemExit(143), True),
    ],
)
def test_it_stays_where_going_on_may_lead_further(made, error, stays):
    file = left(checkpoint := made())
    with pytest.raises(type(error)) if error else nullcontext(), checkpoint.until_done():
        if error is not None:
            raise error
    assert file.exists() is stays
    assert file.parent.exists() is stays


def test_one_that_leads_no_further_is_removed(made):
    file = left(made())
    again = made()
    for stays in (True, False):
        if stays:
            left(again)
        else:
            again = made()
        with pytest.raises(RuntimeError), again.until_done():
            raise RuntimeError
        assert file.exists() is stays


def test_of_cells_that_are_done_the_ledger_removes_it(made, tmp_path):
    ledger = Ledger(tmp_path)
    done, other = left(made()), left(made(name="1" * 16))
    (tmp_path / "cells" / "00" / NAME).mkdir(parents=True)
    ledger.compact()
    assert (done.exists(), other.exists()) == (False, True)


# Being asked to go --------------------------------------------------------------------------------


def asked_to_go(checkpoint, clock, after, number=signal.SIGTERM):
    """Ask this process to go while a checkpoint is looked at; return how it ended."""
    with stopping.heeding():
        signal.raise_signal(number)
        clock[0] = after
        assert checkpoint.is_due(1)
        left(checkpoint)


@pytest.mark.parametrize(("seconds", "leaves"), [(1, False), (6, True)])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_go_it_leaves_what_is_worth_it_and_ends(
    made, clock, obeying, seconds, leaves, number, code
):
    checkpoint = made()
    with pytest.raises(SystemExit) as ended, checkpoint.until_done():
        asked_to_go(checkpoint, clock, seconds, number)
    assert ended.value.code == code
    assert checkpoint.file.exists() is leaves


def test_without_checkpoints_it_ends_and_leaves_nothing(made, clock, obeying):
    checkpoint = made(replace(MACHINE, checkpoint_minutes=0))
    with pytest.raises(SystemExit):
        asked_to_go(checkpoint, clock, 1e6)
    assert not checkpoint.file.exists()


def go_on_though_asked_again(looked):
    with stopping.heeding():
        signal.raise_signal(signal.SIGINT)
        looked.append("too late")


def go_on_though_a_cluster_asks(looked):
    with stopping.heeding():
        for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGTERM):
            signal.raise_signal(number)
            looked.append(stopping.is_asked())


def test_several_who_ask_a_process_to_go_are_no_second_request(obeying):
    """Slurm asks each process of a job, and then a loop its workers: they may put down all."""
    looked = []
    with pytest.raises(SystemExit):
        go_on_though_a_cluster_asks(looked)
    assert looked == [True] * 3


def test_asked_where_nobody_looks_or_once_more_it_ends_at_once(obeying):
    with pytest.raises(SystemExit), stopping.heeding():
        signal.raise_signal(signal.SIGTERM)
    assert stopping.is_asked(), "and it ended as nobody looked any more"
    looked = []
    with pytest.raises(SystemExit):
        go_on_though_asked_again(looked)
    assert looked == []
    stopping._asked = None
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGINT)
