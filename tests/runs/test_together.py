"""One cell on two devices: the same cell, and it learns the same but for what is declared."""

import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from transfergrid import api
from transfergrid.records.errors import BadInputError, KilledError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.training import Training
from transfergrid.runs import together
from transfergrid.runs.cell import run_cell
from transfergrid.runs.launching.settings import Settings
from transfergrid.runs.machine import Machine
from transfergrid.runs.peers import ALONE, Peers
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked
from transfergrid.runs.tuning.searches import RandomSearch
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.closed_form.logistic_probe import LogisticProbe
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.tiny import TinyDomain, TinySource

CPU = Machine(accelerator="cpu")
TRAINER = {
    **{"accelerator": "auto", "workers": "auto", "threads": 1, "loader_workers": 0},
    **{"deterministic": "warn", "progress": "lines"},
}


def cell_of(strategy, source, tuning=None, **training):
    """Return the planned cell of this strategy on a tiny target."""
    plan = Training(**{"steps": 6, "batch_size": 8, "validations": 3, "lr": 0.01, **training})
    asked = Asked(
        sources=[api._option(source)],
        strategies=[api._option(strategy)],
        targets=[api._option(TinyDomain())],
        trainings=[api._option(plan)],
        tunings=[tuning and api._option(tuning)],
        labels=[10],
        seeds=[0],
    )
    made = Planner(api._baseline).plan(asked)
    return next(cell for cell in made.cells if cell.id in made.wanted)


def plain(**training):
    """Return a cell of a network without BatchNorm and dropout."""
    network = SmallCNN(size=16, channels=1, widths=(4, 6, 8))
    source = TrainedHere(architecture=network, domain=TinyDomain(shift=0.4), training=Training())
    return cell_of(Scratch(), source, **training)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Run a cell on one device and on two; the processes stay for other tests."""

    def run(cell):
        ledgers = [Ledger(tmp_path_factory.mktemp("results")) for _ in range(2)]
        machines = CPU, replace(CPU, devices=2)
        records = [run_cell(cell, *pair) for pair in zip(ledgers, machines, strict=True)]
        return records, [ledger.curves(cell.id) for ledger in ledgers]

    yield run
    for others in [*together._known.values()]:
        others.end()


def test_without_batchnorm_two_devices_learn_what_one_does_but_for_rounding(both):
    (one, two), (alone, shared) = both(plain(gradient_clip=1.0))
    assert one.id == two.id
    assert (one.machine.devices, two.machine.devices) == (1, 2)
    np.testing.assert_allclose(shared["train_loss"], alone["train_loss"], rtol=1e-4)
    np.testing.assert_array_equal(shared["examples_seen"], alone["examples_seen"])
    assert two.scores.test["accuracy"] == one.scores.test["accuracy"]
    assert two.scores.test["loss"] == pytest.approx(one.scores.test["loss"], rel=1e-4)
    assert two.chosen == one.chosen
    assert two.budget == one.budget


def test_with_batchnorm_it_is_the_same_cell_with_statistics_of_each_devices_part(both):
    (one, two), (alone, shared) = both(cell_of(FullFinetuning(), TinySource()))
    assert one.id == two.id
    assert two.machine.devices == 2
    assert len(shared["train_loss"]) == len(alone["train_loss"])
    assert shared["train_loss"][0] != alone["train_loss"][0]


def test_what_has_no_steps_or_is_tuned_is_trained_on_one_device(tmp_path, monkeypatch):
    monkeypatch.setattr(together, "_others", lambda devices: pytest.fail("others were started"))
    cells = (
        cell_of(LogisticProbe(), TinySource()),
        cell_of(FullFinetuning(), TinySource(), RandomSearch(trials=2)),
    )
    for cell in cells:
        record = run_cell(cell, Ledger(tmp_path), replace(CPU, devices=2))
        assert record.machine.devices == 1


def test_a_process_beside_the_first_that_is_killed_costs_the_cell_one_try_and_no_more(tmp_path):
    cell, machine = plain(steps=100), replace(CPU, devices=2, checkpoint_minutes=1e-9)
    ledger = Ledger(tmp_path)
    left = tmp_path / "running" / f"{cell.id}.safetensors"

    def kill():
        end = time.monotonic() + 120
        while not left.exists() and time.monotonic() < end:  # both are in the midst of it
            time.sleep(0.01)
        (other,) = together._known[2].processes
        other.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(KilledError, match="SIGKILL") as ended:
        run_cell(cell, ledger, machine)
    killer.join()
    assert ended.value.signal == signal.SIGKILL
    assert left.exists(), "what was done until then"
    record = run_cell(cell, ledger, machine)
    assert record.machine.devices == 2
    assert record.cost.continued == 1
    together._known[2].end()


# A batch's parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_all_pieces_of_a_batch_are_someones_and_their_shares_make_one(count, world):
    pieces = [(number, 1 / count) for number in range(count)]
    taken = [Peers(rank, world).own(pieces) for rank in range(world)]
    assert {number for own in taken for number, _ in own} == {*range(count)}
    assert sum(share for own in taken for _, share in own) == pytest.approx(1)
    assert all(taken), "nobody waits for what a batch does not hold"


def test_who_is_alone_exchanges_nothing():
    layer = nn.Linear(2, 1)
    loss = layer(torch.ones(1, 2)).sum()
    loss.backward()
    before = layer.weight.grad.clone()
    assert ALONE.sum_gradients([*layer.parameters()], loss) is loss
    ALONE.take_all(layer)
    assert torch.equal(layer.weight.grad, before)
    assert ALONE.told(lambda: 0.25) == 0.25


# What is asked for --------------------------------------------------------------------------------


def test_workers_get_as_many_gpus_each_as_train_a_cell(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    settings = Settings.read({**TRAINER, "devices": 2}, {}, None)
    assert (settings.workers, settings.devices) == (2, 2)
    assert [settings.visible(slot) for slot in range(2)] == ["0,1", "2,3"]
    assert Settings.read({**TRAINER, "devices": "auto"}, {}, None).workers == 1


@pytest.mark.parametrize(
    ("told", "gpus", "line"),
    [
        ({"devices": "auto"}, "", "here are 0 GPUs: give a number"),
        ({"devices": 3}, "0", "here are 1 GPUs"),
        ({"devices": 2, "stacked": True}, "", "give one of them"),
        ({"devices": 0}, "", "trainer.devices must be a whole number from 1"),
    ],
)
def test_devices_that_cannot_be_had_are_refused_in_one_line(told, gpus, line, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    with pytest.raises(BadInputError, match=line):
        Settings.read({**TRAINER, **told}, {}, None)
