"""Worker loops that a launcher starts: each cell once, whoever dies."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest

import pretend_grid
from pretend_grid import cell
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.claims import Claims
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.launching import launchers
from transfergrid.runs.launching.launchers import Local, Workers
from transfergrid.runs.launching.loops_here import LoopsHere
from transfergrid.runs.launching.queue import Queue
from transfergrid.runs.launching.settings import Settings

ALONE = {**pretend_grid.TRAINER, "workers": 1}


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def tries(folder, number):
    return (folder / "tries" / f"{number:016x}").read_text().split()


def run(results, *what, n=2, **options):
    cells = [cell(number, told) for number, told in enumerate(what)]
    return pretend_grid.run(results, cells, launcher=Workers(n=n, lease=5.0, **options), workers=1)


def queue_of(results, *what, **options):
    """Return a queue that no loop runs yet."""
    settings = Settings.read(ALONE, {}, None, launcher=Workers(**options))
    cells = [cell(number, told) for number, told in enumerate(what)]
    queue = Queue.of(cells, Ledger(results), settings)
    queue.write()
    return queue


def joined(queue, *before):
    """Return the process of a loop."""
    words = [*before, sys.executable, *pretend_grid.LOOP, str(queue.folder)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(there, seconds=60):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


# The queue ----------------------------------------------------------------------------------------


def test_a_queue_comes_back_as_it_was_and_says_equal_parts_once(results):
    cells = [cell(number, "work", {"steps": 7}) for number in range(50)]
    settings = Settings.read(ALONE, {"project": "x"}, "digits", "best", Workers(lease=9.0))
    queue = Queue.of(cells, Ledger(results), settings)
    queue.write()
    assert Queue.read(queue.folder) == queue
    assert (queue.folder / "queue.json").read_text().count('{"steps": 7}') == 1
    queue.remove()
    assert not (results / "launches").exists()


def test_a_queue_that_is_not_there_or_damaged_is_told_in_one_line(results):
    with pytest.raises(BadInputError, match="no queue in"):
        Queue.read(results / "launches" / "x")
    queue = queue_of(results, "work")
    (queue.folder / "queue.json").write_text('{"cells": [{}]}')
    with pytest.raises(BadInputError, match="is damaged"):
        Queue.read(queue.folder)


# Loops that are watched ---------------------------------------------------------------------------


def test_loops_run_each_cell_once_and_leave_nothing_behind(tmp_path, results, capsys):
    outcome = run(results, *["work"] * 8)
    assert (outcome.done, outcome.failed, outcome.left) == (8, 0, 0)
    assert [len(tries(tmp_path, number)) for number in range(8)] == [1] * 8
    assert sorted(path.name for path in results.iterdir()) == ["cells", "tmp"]
    said = capsys.readouterr().out
    assert "starting 2 workers (workers)" in said
    assert "[8/8]" in said


def test_a_cell_that_fails_is_tried_once_by_all_loops_together(tmp_path, results, capsys):
    outcome = run(results, "fail", *["nap"] * 6)
    assert (outcome.done, outcome.failed, outcome.exit_code) == (6, 1, 1)
    assert len(tries(tmp_path, 0)) == 1
    assert "failed: ValueError: it was asked to" in capsys.readouterr().out
    again = run(results, "fail", *["nap"] * 6)
    assert (again.done, again.failed) == (0, 1)
    assert len(tries(tmp_path, 0)) == 2, "the same command again tries it again"


def test_a_loop_that_is_killed_is_replaced_and_its_cell_run_again(tmp_path, results, capsys):
    outcome = run(results, "kill the loop once", *["work"] * 3, n=1)
    assert (outcome.done, outcome.failed) == (4, 0)
    assert [len(tries(tmp_path, number)) for number in range(4)] == [2, 1, 1, 1]
    assert "worker 0 ended with SIGKILL; another one is started" in capsys.readouterr().out


def test_a_cell_that_kills_every_loop_fails_in_the_end(tmp_path, results):
    outcome = run(results, "kill the loop", "work")
    assert (outcome.done, outcome.failed) == (1, 1)
    (failure,) = Ledger(results).failures()
    assert failure.reason == "whoever ran it died, 3 times"
    assert len(tries(tmp_path, 0)) == 3


def test_where_no_loop_can_live_it_is_told_in_one_line(results, monkeypatch):
    monkeypatch.setattr(pretend_grid, "LOOP", ("-c", "raise SystemExit('no such library')"))
    with pytest.raises(BadInputError, match="workers ended, and no cell did: no such library"):
        run(results, "work", n=1)


def test_loops_end_with_a_command_that_is_killed(tmp_path, results):
    words = [sys.executable, pretend_grid.__file__, "--launcher=workers", str(results), "sleep"]
    command = subprocess.Popen(words, start_new_session=True)
    until(lambda: (tmp_path / "marks").is_dir() and [*(tmp_path / "marks").iterdir()])
    (worker,) = map(int, tries(tmp_path, 0))
    command.kill()
    command.wait()
    until(lambda: not Path(f"/proc/{worker}").exists(), 40)


def test_loops_that_are_left_go_on_without_the_command(tmp_path, results, capsys):
    outcome = run(results, *["nap"] * 4, detach=True)
    assert (outcome.done, outcome.left, outcome.detached) == (0, 4, True)
    assert "4 cells left to them; transfergrid status" in capsys.readouterr().out
    until(lambda: len(Ledger(results).done(f"{n:016x}" for n in range(4))) == 4)
    assert [len(tries(tmp_path, number)) for number in range(4)] == [1] * 4


# Several machines ---------------------------------------------------------------------------------


def on(host):
    """Return what starts a command on what it takes for another machine."""
    return ["unshare", "--uts", "sh", "-c", f'hostname {host} && exec "$@"', "--"]


def can_be_elsewhere():
    told = subprocess.run([*on("a"), "hostname"], capture_output=True, text=True, check=False)
    return told.stdout.strip() == "a"


@pytest.mark.skipif(not can_be_elsewhere(), reason="no other host names can be had here")
def test_of_three_machines_one_is_killed_and_every_cell_is_done_once(tmp_path, results):
    queue = queue_of(results, *["sleep once" if n == 3 else "nap" for n in range(20)], lease=5.0)
    machines = {host: joined(queue, *on(host)) for host in ("first", "second", "third")}
    marks = tmp_path / "marks"
    until(lambda: marks.is_dir() and len([*marks.glob("*.asleep")]) == 1)
    (claim,) = (results / "claims").glob(f"{3:016x}.*")
    holder = claim.read_text()
    (lost,) = [host for host in machines if host in holder]
    machines[lost].kill()
    others = [host for host in machines if host != lost]
    said = {host: machines[host].communicate(timeout=120)[0] for host in others}
    assert [machines[host].returncode for host in others] == [0, 0], said
    assert len(Ledger(results).done(f"{n:016x}" for n in range(20))) == 20
    ran = [len(tries(tmp_path, number)) for number in range(20)]
    assert ran == [2 if number == 3 else 1 for number in range(20)]
    assert not (results / "claims").exists()


def test_who_dies_on_another_machine_is_believed_alive_for_as_long_as_he_said(tmp_path):
    far, here = Claims(tmp_path, lease=300.0, beat=600), Claims(tmp_path, lease=2.0)
    far.me = far.me._replace(place="far away")
    assert far.take("0" * 16)
    (claim,) = (tmp_path / "claims").iterdir()
    ago = time.time() - 100
    os.utime(claim, (ago, ago))
    assert not here.take("0" * 16), "he said 300 seconds"
    ago = time.time() - 301
    os.utime(claim, (ago, ago))
    assert here.take("0" * 16)
    assert here.deaths("0" * 16) == 1


def test_a_loop_leaves_to_others_what_they_run(tmp_path, results):
    queue = queue_of(results, "sleep", lease=2.0)
    other = Claims(results, lease=60.0)
    other.take(f"{0:016x}")
    loop = joined(queue)
    assert loop.wait(60) == 0
    other.close()
    assert not (tmp_path / "tries").exists()


# Slots --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpus", "each", "seen"),
    [
        ("4,6", 1, ["4", "6"]),
        ("4,6", 0.5, ["4", "6", "4", "6"]),
        ("0", 0.25, ["0"] * 4),
        ("0,1,2,3,4", 2, ["0,1", "2,3"]),
        ("", 1, [""]),
    ],
)
def test_each_loop_sees_its_part_of_the_gpus(results, monkeypatch, gpus, each, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    launcher = Workers(gpus_per_worker=each, n="auto" if gpus else 1)
    told = {**ALONE, "workers": "auto", "accelerator": "auto"}
    settings = Settings.read(told, {}, None, launcher=launcher)
    assert settings.workers == len(seen)
    loops = LoopsHere(launcher, None, settings.workers, settings.gpus)
    assert [loops.environment(n)["CUDA_VISIBLE_DEVICES"] for n in range(len(seen))] == seen


def test_more_workers_than_the_gpus_hold_are_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    told = {**ALONE, "accelerator": "auto"}
    with pytest.raises(BadInputError, match=r"n=9: 9 workers of 0.25 GPUs take more than the 2"):
        Settings.read(told, {}, None, launcher=Workers(n=9, gpus_per_worker=0.25))


# What is typed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"kind": "workers", "nn": 3}, "unknown key of hydra.launcher 'nn'; did you mean n?"),
        ({"kind": "workers", "n": "lots"}, "hydra.launcher.n must be a whole number from 1, or"),
        ({"kind": "workers", "lease": 0}, "hydra.launcher.lease must be"),
        ({"kind": "workers", "gpus_per_worker": 1.5}, "give a part of one GPU, or a whole number"),
        ({"kind": "local", "detach": True}, "--detach is for workers and slurm"),
        ({"_target_": "hydra_plugins.hydra_joblib_launcher.JoblibLauncher"}, "starts Hydra's jobs"),
    ],
)
def test_what_a_launcher_cannot_take_is_told_in_one_line(told, line):
    with pytest.raises(BadInputError) as refused:
        launchers.read({"_target_": launchers.STUB, **told})
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["slurm", "ray"])
def test_without_its_engine_a_launcher_says_what_to_install(kind, monkeypatch):
    monkeypatch.setattr(launchers, "find_spec", lambda name: None)
    with pytest.raises(BadInputError, match=rf"pip install 'transfergrid\[{kind}\]'"):
        launchers.read({"_target_": launchers.STUB, "kind": kind})


def test_the_shipped_files_say_the_defaults_of_their_classes():
    import yaml

    from transfergrid.records.shipped import conf_dir

    for kind, cls in launchers.KINDS.items():
        told = yaml.safe_load((conf_dir() / "hydra" / "launcher" / f"{kind}.yaml").read_text())
        assert (told.pop("_target_"), told.pop("kind")) == (launchers.STUB, kind)
        assert replace(cls(), **told) == cls()
        assert cls is Local or {*told, "detach"} >= {f.name for f in fields(cls)}


def test_signals_that_slurm_sends_let_a_loop_put_down_what_it_has(tmp_path, results):
    loop = joined(queue_of(results, "put down"))
    marks = tmp_path / "marks"
    until(lambda: marks.is_dir() and [*marks.glob("*.asleep")])
    loop.send_signal(signal.SIGUSR2)
    assert loop.wait(60) == 130
    assert [*marks.glob("*.left")]
    assert not (results / "claims").exists()
    assert Counter(path.name for path in results.iterdir())["attempts"] == 0
