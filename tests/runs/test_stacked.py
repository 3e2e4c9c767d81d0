"""Seeds that are trained side by side end as those do that are trained one after the other."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from flat_networks import FlatArchitecture
from transfergrid import api
from transfergrid.records import shipped
from transfergrid.records.factory import locate
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.process.telling import ALONE, listen
from transfergrid.records.tracking.tracker import NoTracker
from transfergrid.records.training import Training
from transfergrid.runs.cell import learn, maker_of, run_cell, set_up
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.launching import worker
from transfergrid.runs.machine import Machine
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked
from transfergrid.runs.stacked import train_together
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import source_domain
from transfergrid.testing.tiny import TinyDomain, TinySource

CPU = Machine(accelerator="cpu")
STACKABLE = sorted(n for n, at in shipped.strategies().items() if locate(at).stackable)
FLAT = TinySource(architecture=FlatArchitecture())


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def told():
    found = []
    listen(found.append)
    yield found
    listen(None)


def seeds(strategy, source=FLAT, n=2, labels=10, target=None, **training):
    """Return the planned cells of a strategy, one a seed."""
    usual = {"steps": 10, "batch_size": 8, "validations": 4, "augmentation": "none"}
    asked = Asked(
        sources=[api._option(source)],
        strategies=[api._option(strategy)],
        targets=[api._option(target or TinyDomain())],
        trainings=[api._option(Training(**usual | training))],
        labels=[labels],
        seeds=range(n),
    )
    made = Planner(api._baseline).plan(asked)
    return [c for c in made.cells if c.id in made.wanted]


def learned(cell, ledger, share=None):
    """Return what a trained cell says of some inputs, and its fit."""
    machine = CPU.kept_in(ledger.root)
    setup = set_up(cell, maker_of(cell, ledger, machine, NoTracker(), Stopwatch()))
    fit = learn(setup, machine, lambda values, step: None, share=share)
    view = setup.target.whole("test", setup.preprocess)
    with torch.no_grad():
        return setup.strategy.predict(view.inputs(view.rows)), fit


# The same as alone --------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [{}, {"augmentation": "light", "optimizer": "sgd"}])
@pytest.mark.parametrize("name", STACKABLE)
def test_the_same_as_alone(tmp_path, name, training):
    strategy, ledger = locate(shipped.strategies()[name])(), Ledger(tmp_path)
    source = replace(FLAT, domain=source_domain(strategy.needs))
    cells = seeds(strategy, source, **training)
    labels_unused = cells[0].labels == 0
    shares = train_together(cells, ledger, CPU, asked=True)
    assert [share.cells for share in shares.values()] == [2, 2]
    for cell in cells:
        together, fit = learned(cell, ledger, shares[cell.id])
        alone, expected = learned(cell, ledger)
        assert torch.allclose(together, alone, atol=1e-5, rtol=0)
        assert (fit.steps, fit.taken) == (expected.steps, expected.taken)
        assert fit.chosen_by == ("last_step" if labels_unused else "validation")
        assert fit.chosen_step == expected.chosen_step
        assert (fit.stacked, expected.stacked) == (2, 1)
        for key, values in expected.curves.items():
            assert np.allclose(fit.curves[key], values, atol=1e-5), key


def test_seeds_do_not_share_weights_or_batches(tmp_path):
    cells, ledger = seeds(FullFinetuning(), n=3), Ledger(tmp_path)
    shares = train_together(cells, ledger, CPU, asked=True)
    first, *others = [share.state["strategy"]["head.weight"] for share in shares.values()]
    assert all((first - other).abs().max() > 1e-2 for other in others)
    assert all(value.untyped_storage().nbytes() == 4 * value.numel() for value in (first, *others))


def test_one_that_diverges_falls_out_and_fails_alone_as_it_would_have(tmp_path):
    cells, ledger = seeds(BreaksAtSeedOne(), n=3), Ledger(tmp_path)
    shares = train_together(cells, ledger, CPU, asked=True)
    assert [cell.id in shares for cell in cells] == [True, False, True]
    together, _ = learned(cells[2], ledger, shares[cells[2].id])
    assert torch.allclose(together, learned(cells[2], ledger)[0], atol=1e-5, rtol=0)
    with pytest.raises(FloatingPointError, match="the training loss is nan"):
        run_cell(cells[1], ledger, CPU)


class BreaksAtSeedOne(FullFinetuning):
    stackable = True

    def build(self, sizes):
        if self.block_seed == 1:
            self.head.weight.data.fill_(math.nan)


# Records ------------------------------------------------------------------------------------------


def test_a_worker_trains_once_and_keeps_one_record_a_cell(tmp_path, told):
    cells, machine = seeds(FullFinetuning()), {"accelerator": "cpu"}
    ledger, plain = Ledger(tmp_path / "a"), Ledger(tmp_path / "b")
    first = worker.run(cells[0], ledger, machine, beside=cells[1:], stacked=True)
    assert "step 10 of 10" in told
    told.clear()
    second = worker.run(cells[1], ledger, machine)
    assert not any("step" in line for line in told), "it was trained again"
    for record, cell in zip((first, second), cells, strict=True):
        alone = run_cell(cell, plain, CPU)
        assert record.id == alone.id
        assert record.scores.test == pytest.approx(alone.scores.test, abs=1e-5)
        assert (record.cost.stacked, alone.cost.stacked) == (2, 1)
        assert record.budget == alone.budget
    own, other = first.cost.seconds, second.cost.seconds
    assert min(own.train, other.train) > 0
    assert own.train == pytest.approx(other.train, rel=0.3), "an equal share of what it took"
    for record in (first, second):
        told_seconds = record.cost.seconds
        assert told_seconds.total >= told_seconds.train + told_seconds.load


# Left alone ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "asked"),
    [
        (lambda: seeds(FullFinetuning(), TinySource()), True),  # dropout draws for each seed
        (lambda: seeds(FullFinetuning(), gradient_clip=1.0), True),
        (lambda: seeds(FullFinetuning(), accumulate=2), True),
        (lambda: seeds(OfItsOwn()), True),
        (lambda: seeds(Scratch(), TinySource(SmallCNN(size=16))), "auto"),  # convolutions
        (lambda: seeds(FullFinetuning(), TinySource(FlatArchitecture(2000))), "auto"),  # large
    ],
    ids=["dropout", "clipped", "in parts", "undeclared", "convolutions", "large"],
)
def test_who_is_not_for_it_is_trained_alone(tmp_path, told, cells, asked):
    cells, ledger = cells(), Ledger(tmp_path)
    shares = train_together(cells, ledger, CPU, asked=asked)
    assert told == [ALONE]
    (share,) = shares.values()
    assert share.state is None
    assert share.spent.total > 0, "what it took to look counts"


class OfItsOwn(FullFinetuning):
    """It does not say that it may be stacked, and does not inherit it."""


def test_a_small_network_of_dense_layers_is_for_it(tmp_path, told):
    for strategy in (Scratch(), FeatureExtraction()):
        shares = train_together(seeds(strategy), Ledger(tmp_path), CPU)
        assert [share.cells for share in shares.values()] == [2, 2]


def test_a_frozen_network_is_passed_once_and_its_head_is_for_it(tmp_path):
    """Whatever layers it has: what a step passes is the head."""
    cells = seeds(FeatureExtraction(), TinySource())
    shares = train_together(cells, Ledger(tmp_path), CPU)
    assert len(shares) == 2


def test_what_goes_wrong_in_it_is_told_and_undone(tmp_path, told, capsys):
    cells, ledger = seeds(DrawsAtRandom()), Ledger(tmp_path)
    (share,) = train_together(cells, ledger, CPU, asked=True).values()
    assert share.state is None
    assert told[-1] == ALONE
    assert "are trained one by one: " in capsys.readouterr().err
    assert run_cell(cells[0], ledger, CPU, share=share).cost.stacked == 1


class DrawsAtRandom(FullFinetuning):
    stackable = True

    def loss(self, batch, progress):
        noise = torch.rand(())
        return (1 + 0.1 * noise) * super().loss(batch, progress)
