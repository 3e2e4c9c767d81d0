"""Workers fail, die and are interrupted; the grid goes on, or ends cleanly and is resumed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from unittest.mock import patch

import pytest

import pretend_grid
from composed import planned
from forked import side_by_side
from pretend_grid import cell
from transfergrid.records.cell import different_parts
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.process.telling import GOES_ON
from transfergrid.runs.launching import grids, processes, progress, worker_process
from transfergrid.runs.launching.grids import run_here
from transfergrid.runs.launching.settings import Settings
from transfergrid.runs.launching.worker import PREPARED


def tries(folder, number):
    return (folder / "tries" / f"{number:016x}").read_text().split()


def done(folder):
    return sorted(
        int(p.parent.name, 16) for p in (folder / "results").glob("cells/*/*/record.json")
    )


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


# Failing and dying ------------------------------------------------------------------------------


def test_cells_that_no_network_suits_are_left_out_with_all_of_their_seeds(tmp_path, results):
    odd = [cell(i, "odd", odd="it has no BatchNorm layer") for i in range(3)]
    seen = []
    outcome = pretend_grid.run(results, [*odd, cell(3)], checked=seen.append)
    assert (outcome.done, outcome.failed, outcome.left) == (1, 0, 0)
    assert done(tmp_path) == [3]
    (found,) = seen
    assert set(found.impossible) == {c.id for c in odd}
    assert set(found.impossible.values()) == {"it has no BatchNorm layer"}


def test_a_failing_cell_stops_no_other(tmp_path, results, capsys):
    outcome = pretend_grid.run(results, [cell(i, "fail" if i == 1 else "work") for i in range(6)])
    assert (outcome.done, outcome.failed, outcome.left, outcome.exit_code) == (5, 1, 0, 1)
    assert done(tmp_path) == [0, 2, 3, 4, 5]
    (failure,) = Ledger(results).failures()
    assert failure.reason == "ValueError: it was asked to"
    log = results / "attempts" / failure.id / "1" / "log.txt"
    assert log.read_text() == "what it said before\n"
    assert (
        "fail x t, labels=1, seed=1: failed: ValueError: it was asked to" in capsys.readouterr().out
    )


def test_each_failing_cell_of_a_worker_keeps_its_own_log_and_no_more(results):
    outcome = pretend_grid.run(results, [cell(i, "fail") for i in range(3)], workers=1)
    assert outcome.failed == 3
    logs = [path.read_bytes() for path in results.glob("attempts/*/1/log.txt")]
    assert logs == [b"what it said before\n"] * 3


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_killed_loses_its_cell_alone(tmp_path, results, workers):
    cells = [cell(i, "die" if i in (1, 3) else "work") for i in range(6)]
    outcome = pretend_grid.run(results, cells, workers=workers)
    assert (outcome.done, outcome.failed, outcome.left) == (4, 2, 0)
    assert done(tmp_path) == [0, 2, 4, 5]
    for failure in Ledger(results).failures():
        assert failure.reason == "its worker process ended with SIGKILL (out of memory?), twice"
        assert "last words" in (results / "attempts" / failure.id / "1" / "log.txt").read_text()
    processes = {pid for i in range(6) for pid in tries(tmp_path, i)}
    assert len(processes) >= 3, "dead workers are replaced"


def test_an_answer_right_behind_other_words_is_heard(tmp_path):
    """They come in one piece when the grid is slow to read: it once waited for ever then."""
    command = [sys.executable, pretend_grid.__file__, str(tmp_path / "results"), *["hasty"] * 5]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "done=5" in done.stdout


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_are_whole_however_they_come(size, monkeypatch):
    """Also a character that is cut in two."""
    monkeypatch.setattr(worker_process, "READ_BYTES", size)
    ends = os.pipe()
    told = "first\nsécond\n\nlast without an end"
    with os.fdopen(ends[0], "rb") as stream:
        os.write(ends[1], told.encode())
        os.close(ends[1])
        answers, found = worker_process.Answers(stream), []
        while not found or found[-1].endswith("\n"):
            found += answers.lines()
    assert found == told.splitlines(keepends=True)


def test_an_idle_worker_that_is_killed_costs_no_cell(tmp_path, results, monkeypatch):
    from transfergrid.runs.launching.processes import Pool

    real = Pool.run

    def run(self, cells):
        self.workers[0].process.kill()
        self.workers[0].process.wait()
        real(self, cells)

    monkeypatch.setattr(Pool, "run", run)
    outcome = pretend_grid.run(results, [cell(i) for i in range(3)], workers=1)
    assert (outcome.done, outcome.failed) == (3, 0)


def test_the_same_command_again_runs_what_is_missing(tmp_path, results):
    cells = [cell(0), cell(1, "fail once"), cell(2, "fail")]
    assert pretend_grid.run(results, cells).failed == 2
    again = pretend_grid.run(results, cells)
    assert (again.done, again.failed) == (1, 1)
    assert [len(tries(tmp_path, i)) for i in range(3)] == [1, 2, 2]
    assert done(tmp_path) == [0, 1]
    assert pretend_grid.run(results, cells[:2]).exit_code == 0


def test_cells_begin_in_their_order(results, capsys):
    pretend_grid.run(results, [cell(i) for i in (4, 5, 0, 3)], workers=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("seed=")[1][0] for line in lines if line.startswith("[")] == [*"4503"]


def test_whoever_asked_is_told_of_each_cell_that_ends(results):
    told = []
    settings = Settings.read({**pretend_grid.TRAINER, "workers": 1}, {}, None)
    pool = processes.Pool(Ledger(results), settings)
    with patch.object(processes.Pool, "command", pretend_grid.COMMAND):
        grids.run_grid(
            [cell(0), cell(1, "fail")], pool, ended=lambda cell, to_go: told.append(cell.seed)
        )
    assert told == [0, 1]


# Before the first cell --------------------------------------------------------------------------


def test_what_a_worker_cannot_build_is_refused_before_anything_is_kept(tmp_path, results):
    cells = [cell(0), cell(1, "odd", wrong="weights do not fit")]
    with pytest.raises(BadInputError, match="weights do not fit"):
        pretend_grid.run(results, cells)
    assert not list(tmp_path.iterdir())


def test_a_worker_that_cannot_start_is_told_in_one_line(results):
    command = (sys.executable, "-c", "raise SystemExit('no torch here')")
    with pytest.raises(BadInputError, match="no worker process can be started: no torch here"):
        pretend_grid.run(results, [cell(0)], command=command)


def test_every_strategy_and_source_is_checked_once():
    cells = list(planned("seed=range(9)", "labels=1,2").cells)
    chosen = different_parts(cells)
    assert len(chosen) <= 3
    for part in ("strategy", "source"):
        assert {getattr(c.parts, part) for c in chosen} == {getattr(c.parts, part) for c in cells}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("workers", 0),
        ("workers", "many"),
        ("threads", True),
        ("loader_workers", -1),
        ("deterministic", "often"),
        ("progress", "dots"),
        ("accelerator", "abacus"),
        ("wrokers", 1),
    ],
)
def test_how_to_run_is_checked(key, value):
    with pytest.raises(BadInputError, match=key):
        Settings.read({**pretend_grid.TRAINER, key: value}, {}, None)


def test_workers_share_the_gpus_and_a_cpu_worker_sees_none(monkeypatch):
    from transfergrid.runs.launching.processes import Pool

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    trainer = {**pretend_grid.TRAINER, "workers": "auto", "accelerator": "auto"}
    pool = Pool(Ledger("x"), Settings.read(trainer, {}, None))
    assert pool.settings.workers == 2
    seen = [pool._environment(slot)["CUDA_VISIBLE_DEVICES"] for slot in range(3)]
    assert seen == ["4", "6", "4"]
    cpu = Pool(Ledger("x"), Settings.read({**trainer, "accelerator": "cpu"}, {}, None))
    assert cpu._environment(0)["CUDA_VISIBLE_DEVICES"] == ""


# Ctrl-C -----------------------------------------------------------------------------------------


def test_ctrl_c_ends_cleanly(tmp_path, results):
    command = [sys.executable, pretend_grid.__file__, str(results)]
    grid = subprocess.Popen(
        [*command, "work", "sleep", "sleep", "work"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # a shell's background jobs, which the tests may be, are born deaf to it
    wait_for(
        lambda: (tmp_path / "tries").exists() and len(list((tmp_path / "tries").iterdir())) == 3
    )
    workers = {int(pid) for i in range(3) for pid in tries(tmp_path, i)}
    os.killpg(grid.pid, signal.SIGINT)  # as a terminal does
    out, err = grid.communicate(timeout=60)  # a busy machine takes its time
    assert grid.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted=True" in out
    assert done(tmp_path) == [0]
    assert not list((results / "tmp").iterdir())
    wait_for(lambda: not any(alive(pid) for pid in workers))
    assert not list((results / "attempts").glob("*")), "an interrupted cell has not failed"


def interrupted(folder, results, *what, grace=20.0):
    """Run cells of which each sleeps, stop the grid when all do; return the outcome."""
    before = signal.getsignal(signal.SIGTERM)
    grid = threading.Thread(target=wait_and_interrupt, args=(folder / "marks", len(what)))
    grid.start()
    with patch.object(processes, "GRACE", grace):
        outcome = pretend_grid.run(results, [cell(i, w) for i, w in enumerate(what)], workers=2)
    grid.join()
    signal.signal(signal.SIGTERM, before)
    return outcome


def wait_and_interrupt(marks, count):
    wait_for(lambda: len(list(marks.glob("*.asleep"))) == count)
    os.kill(os.getpid(), signal.SIGTERM)  # to the process: its main thread waits for answers


def test_who_is_in_the_midst_of_a_cell_may_put_down_what_it_has(tmp_path, results):
    outcome = interrupted(tmp_path, results, "put down", "sleep")
    assert (outcome.interrupted, outcome.left, outcome.failed) == (True, 2, 0)
    assert [f.stem for f in (tmp_path / "marks").glob("*.left")] == [cell(0).id]
    assert not list((results / "attempts").glob("*"))


def test_who_does_not_listen_is_ended_all_the_same(tmp_path, results):
    before = time.monotonic()
    outcome = interrupted(tmp_path, results, "deaf", grace=0.5)
    assert outcome.interrupted
    assert time.monotonic() - before < 15
    assert not any(alive(int(pid)) for pid in tries(tmp_path, 0))


def test_a_cell_that_goes_on_says_from_where(capsys):
    pool = processes.Pool(Ledger("x"), Settings.read(pretend_grid.TRAINER, {}, None))
    with progress.progress("lines", total=3, done=0) as pool.shown:
        pool._tell(0, cell(1), "")
        pool._tell(0, cell(1), f"{GOES_ON} 70 of 100")
        pool._tell(0, cell(1), "step 80 of 100")
    label = "work x t, labels=1, seed=1"
    assert capsys.readouterr().out == f"{label}\n{label}: going on at step 70 of 100\n"


def wait_for(what, seconds=30.0):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# Real workers -----------------------------------------------------------------------------------

SMALL = [
    "source.domain.per_class=3",
    "source.domain.test_per_class=2",
    "source.training.steps=2",
    "training.steps=2",
    "labels=2",
]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Two processes that ask for the same source at the same moment, each for its own cell."""
    folder = tmp_path_factory.mktemp("real")
    cells = list(planned(*SMALL, "seed=0,1").cells)
    tuned = [c for c in cells if c.names.strategy == "full_finetuning"]
    for i, chosen in enumerate(tuned):
        order = {"cell": asdict(chosen), "results": str(folder / "results")}
        (folder / f"{i}.json").write_text(json.dumps(order))
    worker = "transfergrid.runs.launching.worker"
    both = side_by_side([["-m", worker, f"{i}.json"] for i in range(2)], folder)
    return folder, tuned, [done.stdout for done in both]


def test_a_worker_runs_a_cell_from_a_file(real):
    folder, cells, told = real
    for chosen, line in zip(cells, told, strict=True):
        record = Ledger(folder / "results").read(chosen.id)
        assert line == f"{chosen.id} {chosen.label}: accuracy {record.score}\n"


def test_two_processes_train_a_source_once(real):
    folder, cells, _ = real
    ledger = Ledger(folder / "results")
    seconds = sorted(ledger.read(c.id).cost.seconds.source for c in cells)
    cards = list((folder / "results" / "sources").glob("*/card.json"))
    assert len(cards) == 1
    trained = json.loads(cards[0].read_text())["seconds"]
    fingerprints = {ledger.read(c.id).source["fingerprint"] for c in cells}
    assert len(fingerprints) == 1
    assert seconds[-1] >= 0.5 * trained
    assert not list(cards[0].parent.glob("*.tmp"))


def test_a_file_that_holds_no_cell(tmp_path, capsys):
    from transfergrid.runs.launching.worker import main

    (tmp_path / "cell.json").write_text("{}")
    assert main([str(tmp_path / "cell.json")]) == 2
    assert main([str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.count("no cell") == 2


def test_debugging_raises_as_it_is(tmp_path, monkeypatch):
    chosen = planned(*SMALL).cells[0]

    def broken(*_):
        raise ZeroDivisionError("in the middle")

    monkeypatch.setattr("transfergrid.runs.cell.learn", broken)
    settings = Settings.read(pretend_grid.TRAINER, {}, None)
    with pytest.raises(ZeroDivisionError, match="in the middle"):
        run_here(chosen, Ledger(tmp_path), settings)
    assert not list((tmp_path / "cells").glob("*")) if (tmp_path / "cells").exists() else True


# Workers that begin before the grid is planned --------------------------------------------------


@pytest.fixture
def settings():
    return Settings.read(pretend_grid.TRAINER, {}, None)


@pytest.fixture
def pretended(monkeypatch):
    monkeypatch.setattr(processes.Pool, "command", pretend_grid.COMMAND)


@pytest.mark.parametrize(("cells", "workers"), [(1, [0]), (5, [0, 1])])
def test_where_nothing_is_done_workers_begin_before_the_plan_and_end_with_it(
    results, settings, pretended, capsys, cells, workers
):
    with grids.begun(Ledger(results), settings, cells) as pool:
        assert [*pool.workers] == workers
        assert capsys.readouterr().out == "starting 2 workers\n"
        made = [pool.workers[slot].process for slot in workers]
        pool.begin(cells)  # as a check does
        assert [pool.workers[slot].process for slot in workers] == made, "none begins twice"
        assert all(process.poll() is None for process in made)
    assert all(process.poll() is not None for process in made)
    assert not capsys.readouterr().out


def test_workers_end_where_the_plan_finds_a_mistake(results, settings, pretended):
    made = []

    def plan():
        with grids.begun(Ledger(results), settings, 1) as pool:
            made.append(pool.workers[0].process)
            raise BadInputError("no such thing")

    with pytest.raises(BadInputError):
        plan()
    assert made[0].poll() is not None


def test_no_worker_begins_before_it_is_known_what_is_left(results, settings, pretended, capsys):
    cells = [cell(0)]
    pretend_grid.run(results, cells)
    capsys.readouterr()
    for ledger, asked in ((Ledger(results), 1), (Ledger(results / "other"), 0)):
        with grids.begun(ledger, settings, asked) as pool:
            assert not pool.workers
    assert not capsys.readouterr().out


def test_the_first_worker_checks_before_it_imports_what_only_training_needs(
    tmp_path, results, monkeypatch
):
    orders = []
    real = processes.Worker.send

    def send(self, order):
        orders.append((self.slot, *(part for part in (*order, order.get("prepare")) if part)))
        real(self, order)

    monkeypatch.setattr(processes.Worker, "send", send)
    pretend_grid.run(results, [cell(i) for i in range(2)])
    begun = [(0, "prepare", "check"), (1, "prepare", "cells")]
    assert orders[:4] == [*begun, (0, "check"), (0, "prepare", "cells")]


def test_what_checks_parts_imports_neither_lightning_nor_metrics(tmp_path):
    """They take three times as long as torch, and a mistake is told without them."""
    code = (
        f"import sys, {PREPARED['check']};"
        "print({'torchmetrics', 'pytorch_lightning', 'torchvision', 'sklearn'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_what_is_prepared_is_what_orders_need():
    assert all(find_spec(module) for module in PREPARED.values())


def test_what_is_prepared_is_not_answered_even_where_it_cannot_be(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('broken')")
    orders = [{"prepare": "check"}, {"prepare": "cells"}, {"check": []}]
    worker = subprocess.run(
        [sys.executable, "-m", "transfergrid.runs.launching.worker", "-"],
        input="".join(json.dumps(order) + "\n" for order in orders),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
    )
    (answer,) = worker.stdout.splitlines()
    assert json.loads(answer)["reason"] == "ImportError: broken"
