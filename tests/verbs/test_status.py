"""The verb `status`, as it is typed while a grid runs, once it has died, and after its end."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import pretend_grid
from pretend_grid import cell
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.provenance import now
from transfergrid.verbs.cli import main


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def status(capsys, *words):
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["status", *words])
    return left.value.code, capsys.readouterr()


def asked(*what, ledger="results"):
    """Write down that these were asked for, as a sweep does."""
    cells = [cell(number, each) for number, each in enumerate(what)]
    compared = {"baseline": None, "exploratory": []}
    content = {"id": "g", "asked": now(), "cells": {one.id: compared for one in cells}}
    Ledger(ledger).write_document("grids", content)
    return cells


def until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def grid(tmp_path):
    """A grid of its own process, with a cell done, one failed, and two that hang."""
    what = ("work", "fail", "sleep", "sleep", "work")
    asked(*what)
    command = [sys.executable, pretend_grid.__file__, "results", *what]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    until(lambda: len(list((tmp_path / "marks").glob("*.asleep"))) == 2)
    yield process
    process.kill()
    process.wait()


def found(capsys):
    code, printed = status(capsys, "--format", "json")
    assert (code, printed.err) == (0, "")
    return json.loads(printed.out)


def test_while_it_runs_and_once_it_was_killed(grid, capsys):
    until(lambda: all(worker["cell"] for worker in found(capsys)["workers"]))
    told = found(capsys)
    assert told["cells"] == {
        **{"all": 5, "done": 1, "running": 2, "waiting": 1, "failed": 1},
        **{"stale": 0, "left_out": 0},
    }
    assert told["is_running"]
    assert [worker["worker"] for worker in told["workers"]] == [0, 1]
    assert [worker["process"] for worker in told["workers"]] == [grid.pid] * 2
    assert [failure["cause"] for failure in told["failures"]] == ["ValueError"]
    assert all(0 <= worker["seconds"] < 120 for worker in told["workers"])
    code, printed = status(capsys)
    assert code == 0
    assert "sleep x t, labels=1, seed=2" in printed.out
    grid.send_signal(signal.SIGKILL)
    grid.wait()
    told = found(capsys)
    assert not told["is_running"]
    assert told["workers"] == []
    assert told["cells"]["waiting"] == 3
    assert [worker["process"] for worker in told["gone"]] == [grid.pid] * 2
    _, printed = status(capsys)
    assert f"process {grid.pid} on " in printed.out
    assert "Nobody is at work here: the same command goes on." in " ".join(printed.out.split())


def test_after_its_end_it_says_what_came_of_it_and_nothing_is_left(capsys, tmp_path):
    cells = asked("work", "fail", "work")
    pretend_grid.run("results", cells)
    assert not (tmp_path / "results" / "claims").exists()
    told = found(capsys)
    assert told["cells"]["done"] == 2
    assert (told["cells"]["waiting"], told["cells"]["failed"]) == (0, 1)
    _, printed = status(capsys)
    assert "The grid is through" in printed.out
    assert "transfergrid verdicts shows what came of it." in printed.out
    assert cells[1].id[:8] in printed.out
    assert max(map(len, printed.out.splitlines())) <= 80


def test_reading_changes_nothing_in_the_folder(capsys, tmp_path):
    pretend_grid.run("results", asked("work", "fail"))

    def seen():
        files = sorted(path for path in (tmp_path / "results").rglob("*") if path.is_file())
        return [(path, path.stat().st_mtime_ns) for path in files]

    before = seen()
    found(capsys)
    assert seen() == before


def test_the_end_of_a_failed_cells_log_is_shown(capsys):
    cells = asked("work", "fail", "fail")
    pretend_grid.run("results", cells, workers=1)
    log = Ledger("results").attempts_folder(cells[1].id) / "1" / "log.txt"
    log.write_text("".join(f"line {n}\n" for n in range(100)) + "\x1b]0;evil\x07\n")
    code, printed = status(capsys, "--log", cells[1].id, "--lines", "3")
    assert code == 0
    assert printed.out.splitlines()[0].startswith(str(log))
    assert [line for line in printed.out.splitlines() if line.startswith("line")] == [
        "line 98",
        "line 99",
    ]
    assert "\x1b" not in printed.out
    code, printed = status(capsys, "--log")
    assert code == 0
    assert "what it said before" in printed.out or "line 99" in printed.out


WRONG = [
    (("nowhere",), "no results in 'nowhere'"),
    (("--log", "ffff"), "no failed cell begins with 'ffff'"),
    (("--log", "0"), "2 failed cells begin with 0"),
    (("--log", "0", "--lines", "0"), "--lines 0"),
    (("--format", "jsn"), "did you mean json"),
]


@pytest.mark.parametrize(("words", "told"), WRONG)
def test_what_cannot_be_is_one_line(words, told, capsys):
    for number in (1, 2):
        pretend_grid.run("results", [cell(number, "fail")], workers=1)
    code, printed = status(capsys, *words)
    assert (code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert told in printed.err


def test_names_and_reasons_of_anybodys_command_no_terminal(capsys):
    ledger, (one,) = Ledger("results"), asked("fail")
    pretend_grid.run("results", [one])
    record = ledger.attempts_folder(one.id) / "1" / "record.json"
    told = json.loads(record.read_text())
    told |= {"reason": "ValueError: \x1b]0;evil\x07\nforged"}
    told["names"]["strategy"] = "a\x1b[2Jb"
    record.write_text(json.dumps(told))
    claim = ledger.root / "claims" / f"{'f' * 16}.0"
    claim.parent.mkdir(exist_ok=True)
    text = {"label": "x\x1b]0;evil\x07", "doing": "\x1b[2J"}
    claim.write_text(json.dumps({"place": "h\x1b b", "process": os.getpid(), "told": text}))
    for words in ((), ("--all",), ("--format", "json"), ("--format", "markdown")):
        code, printed = status(capsys, *words)
        assert code == 0
        assert "\x1b" not in printed.out
