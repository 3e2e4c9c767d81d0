"""A cell that was killed goes on in another process, and its record is that of one that was not."""

import json
import os
import signal
import time
from dataclasses import asdict

import numpy as np
import pytest

from forked import begun, python
from transfergrid import api
from transfergrid.data.glyphs import Glyphs
from transfergrid.data.opened import OpenDomain
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.process import stopping
from transfergrid.records.process.telling import listen
from transfergrid.records.tracking.tracker import NoTracker
from transfergrid.records.training import Training
from transfergrid.runs import checkpoints, states
from transfergrid.runs.cell import run_cell
from transfergrid.runs.checkpoints import Checkpoint
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.learner import Learner
from transfergrid.runs.machine import Machine
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked
from transfergrid.runs.pretraining import SourceMaker
from transfergrid.runs.tuning.searches import RandomSearch
from transfergrid.sources.timm import TimmArchitecture
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.linear_probe_then_finetuning import (
    LinearProbeThenFinetuning,
)
from transfergrid.testing.tiny import TinyDomain, TinySource

CPU = Machine(accelerator="cpu", checkpoint_minutes=10)


def chosen(strategy, labels=10, tuning=None, **training):
    """Return the planned cell of this strategy, with a tiny source and target."""
    plan = Training(**{"steps": 8, "batch_size": 8, "validations": 4, "lr": 0.01, **training})
    asked = Asked(
        sources=[api._option(TinySource())],
        strategies=[api._option(strategy)],
        targets=[api._option(TinyDomain())],
        trainings=[api._option(plan)],
        tunings=[tuning and api._option(tuning)],
        labels=[labels],
        seeds=[0],
    )
    made = Planner(api._baseline).plan(asked)
    (found,) = [c for c in made.cells if c.id in made.wanted]
    return found


class Kill(BaseException):
    """As far as it can be pretended within a process, it is killed."""


@pytest.fixture
def killing(monkeypatch):
    """Run something that is killed once the run of this name has left a checkpoint at a step."""
    leave = Checkpoint.leave

    def run(name, step, work):
        with monkeypatch.context() as patched:
            patched.setattr(
                Checkpoint, "is_due", lambda self, at: at == step and self.name.startswith(name)
            )
            patched.setattr(Checkpoint, "leave", left)
            with pytest.raises(Kill):
                work()

    def left(self, state):
        leave(self, state)
        raise Kill

    return run


class Notebook(NoTracker):
    """Writes down what it is told."""

    def __init__(self):
        self.cards, self.rows, self.ends = [], [], []

    def start(self, card):
        self.cards.append(card)
        self.rows = []

    def log(self, values, step):
        self.rows.append((step, dict(values)))

    def finish(self, summary, failed=False):
        self.ends.append((dict(summary), failed))


@pytest.mark.parametrize(
    ("strategy", "training", "steps"),
    [
        (FullFinetuning(), {"accumulate": 2}, [3, 7]),
        (LinearProbeThenFinetuning(), {"optimizer": "sgd"}, [4]),
        (Distillation(teacher=FullFinetuning()), {}, [5, 11]),
    ],
    ids=["within a phase", "between phases", "in the teacher's"],
)
def test_killed_and_gone_on_with_it_is_the_same_cell(tmp_path, killing, strategy, training, steps):
    cell = chosen(strategy, **training)
    whole, cut = Ledger(tmp_path / "whole"), Ledger(tmp_path / "cut")
    notes, plain = Notebook(), Notebook()
    expected = run_cell(cell, whole, CPU, plain)
    for step in steps:
        killing(cell.id, step, lambda: run_cell(cell, cut, CPU, notes))
        assert [f.stem for f in (cut.root / "running").iterdir()] == [cell.id]
        assert not cut.done([cell.id])
    found = run_cell(cell, cut, CPU, notes)

    assert expected.cost.continued == 0
    assert found.cost.continued == len(steps)
    for part in ("scores", "flags", "chosen", "budget", "data", "diagnostics"):
        assert getattr(found, part) == getattr(expected, part), part
    assert found.source["fingerprint"] == expected.source["fingerprint"]
    assert found.diagnostics.features is not None
    curves = cut.curves(cell.id)
    for name, curve in whole.curves(cell.id).items():
        assert np.array_equal(curve, curves[name])
    said = [ledger.predictions(cell.id).probabilities for ledger in (whole, cut)]
    assert np.array_equal(*said)
    assert not (cut.root / "running").exists()

    own = [card for card in notes.cards if card.job_type == "adapt"]
    assert [card.config["attempt"] for card in own] == list(range(1, len(steps) + 2))
    assert len({card.id for card in own}) == 1, "a cell is one run, however often it was begun"
    told = [[(s, v) for s, v in notebook.rows] for notebook in (notes, plain)]
    assert by_step(told[0]) == by_step(told[1]), "and the last one's curves are whole"
    assert [s for s, _ in told[0]] == sorted(s for s, _ in told[0])
    assert notes.ends[-1][0]["continued"] == len(steps)
    assert [failed for _, failed in notes.ends[-2:]] == [True, False]


def by_step(rows):
    found = {}
    for step, values in rows:
        found.setdefault(step, {}).update(values)
    return found


def test_a_tuned_cell_goes_on_within_the_trial_that_was_cut(tmp_path):
    cell = chosen(FullFinetuning(), tuning=RandomSearch(trials=3))
    whole, cut, begun = Ledger(tmp_path / "whole"), Ledger(tmp_path / "cut"), []
    expected = run_cell(cell, whole, CPU)
    leave = Checkpoint.leave

    def left(self, state):
        begun.append(len(self.progress.get("trials", ())))
        if begun == [0, 1]:
            leave(self, state)
            raise Kill

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Checkpoint, "is_due", lambda self, at: at == 5)
        patched.setattr(Checkpoint, "leave", left)
        with pytest.raises(Kill):
            run_cell(cell, cut, CPU)
    told = []
    listen(told.append)
    found = run_cell(cell, cut, CPU)
    listen(None)
    assert [line for line in told if line.startswith("trial")] == ["trial 2 of 3", "trial 3 of 3"]
    assert told.count("going on at step 5 of 8") == 1
    for part in ("scores", "chosen", "budget", "tuning"):
        assert getattr(found, part) == getattr(expected, part), part
    curves = cut.curves(cell.id)
    assert all(np.array_equal(c, curves[name]) for name, c in whole.curves(cell.id).items())


def test_the_test_split_is_read_after_going_on_and_never_before(tmp_path, killing, monkeypatch):
    cell = chosen(FullFinetuning(), steps=4, labels=2)
    ledger, read, whole = Ledger(tmp_path), [], OpenDomain.whole

    def noted(self, split, preprocess):
        read.append(split)
        return whole(self, split, preprocess)

    monkeypatch.setattr(OpenDomain, "whole", noted)
    for step in (2, 4):
        killing(cell.id, step, lambda: run_cell(cell, ledger, CPU))
        assert read == []
    run_cell(cell, ledger, CPU)
    assert "test" in read


def test_a_short_cell_leaves_nothing(tmp_path, monkeypatch):
    def never(self, state):
        raise AssertionError

    monkeypatch.setattr(Checkpoint, "leave", never)
    cell = chosen(FullFinetuning(), steps=2, labels=2)
    record = run_cell(cell, Ledger(tmp_path), CPU)
    assert record.cost.continued == 0
    assert not (tmp_path / "running").exists()


NETWORK = TimmArchitecture("test_resnet", size=16, options={"in_chans": 1})
GLYPHS = Glyphs(characters="0123", per_class=10, test_per_class=2)


def test_the_training_of_a_source_goes_on_too(tmp_path, killing):
    source = TrainedHere(NETWORK, GLYPHS, Training(steps=6, validations=2))

    def trained(folder):
        maker = SourceMaker(tmp_path / folder / "sources", CPU, NoTracker(), Stopwatch())
        return maker.trained(source, 0), maker

    expected, plain = trained("whole")
    killing("source-", 4, lambda: trained("cut"))
    (left,) = (tmp_path / "cut" / "running").iterdir()
    assert left.stem == f"source-{plain.card['content']}"
    told = []
    listen(told.append)
    found, maker = trained("cut")
    listen(None)
    assert "going on at step 4 of 6" in told
    assert all((found[name] == value).all() for name, value in expected.items())
    assert (plain.card["continued"], maker.card["continued"]) == (0, 1)
    assert maker.card["fingerprint"] == plain.card["fingerprint"]
    assert not left.parent.exists()


@pytest.mark.parametrize("where", ["on_train_batch_start", "on_train_batch_end"])
@pytest.mark.parametrize("step", [3, 8])
def test_asked_to_go_at_any_moment_of_a_step_it_ends_after_one(
    tmp_path, monkeypatch, obeying, where, step
):
    cell, ledger = chosen(FullFinetuning()), Ledger(tmp_path)
    hook = getattr(Learner, where)

    def asked(self, *arguments):
        hook(self, *arguments)
        if self.driver.first + (where == "on_train_batch_start") == step:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "WORTH", 0.0)
        patched.setattr(Learner, where, asked)
        with pytest.raises(SystemExit, match="143"):
            run_cell(cell, ledger, CPU)
    monkeypatch.setattr(stopping, "_asked", None)
    left = states.read(tmp_path / "running" / f"{cell.id}.safetensors")["state"]
    after = step + (where == "on_train_batch_end" and step < 8)
    assert left["curves"]["step"] == after
    found = run_cell(cell, ledger, CPU)
    assert found.scores == run_cell(cell, Ledger(tmp_path / "whole"), CPU).scores


# Processes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 128 + signal.SIGTERM)],
)
def test_a_process_that_is_killed_loses_no_more_than_what_came_after(tmp_path, number, code):
    cell, order = chosen(FullFinetuning(), steps=60), tmp_path / "cell.json"

    def write_order(minutes):
        machine = {"accelerator": "cpu", "checkpoint_minutes": minutes}
        told = {"cell": asdict(cell), "results": str(tmp_path / "results"), "machine": machine}
        order.write_text(json.dumps(told))

    words = ["-m", "transfergrid.runs.launching.worker", "cell.json"]
    file = tmp_path / "results" / "running" / f"{cell.id}.safetensors"
    write_order(minutes=1e-6)
    with begun(words, tmp_path) as (process, _):
        wait_for(file.exists)
        os.kill(process.pid, number)
        process.join(60)
        assert process.exitcode == code
    assert file.exists()
    write_order(minutes=10)
    done = python(words, tmp_path)
    assert done.returncode == 0, done.stderr
    found = Ledger(tmp_path / "results").read(cell.id)
    expected = run_cell(cell, Ledger(tmp_path / "whole"), CPU)
    assert (found.cost.continued, expected.cost.continued) == (1, 0)
    assert found.scores == expected.scores
    assert found.budget == expected.budget
    assert not file.exists()


def wait_for(what, seconds=60.0):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.002)
