"""Blocks that stand still are run once for each example, and never stand for others."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.cached import Store
from transfergrid.records.training import Training
from transfergrid.runs import made_by
from transfergrid.runs.machine import Machine
from transfergrid.runs.made_by import weights_of
from transfergrid.runs.standing import standing
from transfergrid.strategies.closed_form.prototypes import Prototypes
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.gradual_unfreezing import GradualUnfreezing
from transfergrid.testing import bench as benches
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyBackbone

GIB = 2**30
PLAIN = Training(steps=6, batch_size=8, validations=2, augmentation="none")


MEASURED = 1 + 4
"""Passes of one example in a cell: by one operations are counted, by four seconds are measured."""


class Passes:
    """How many examples go through backbones of cells that are set up."""

    def __init__(self, monkeypatch):
        self.count, self.counts = 0, False
        self.patch = monkeypatch
        embed = TinyBackbone.embed

        def counting(backbone, inputs):
            self.count += len(torch.unique(inputs, dim=0)) * self.counts  # the rest fills a batch
            return embed(backbone, inputs)

        monkeypatch.setattr(TinyBackbone, "embed", counting)

    def run(self, strategy, store, labels=10, seed=0, training=PLAIN):
        """Run a cell, its source being trained before anything is counted."""
        machine = Machine(accelerator="cpu", store=store)
        bench = Bench(strategy, training=training, machine=machine)
        self.patch.setattr(benches, "SEED", seed)
        setup = bench.set_up(labels)
        self.counts = True
        done = bench.learn(setup)
        self.counts = False
        return done


@pytest.fixture
def passes(monkeypatch):
    return Passes(monkeypatch)


@pytest.mark.parametrize("views", [None, 3])
def test_a_grid_runs_each_example_and_view_once(views, tmp_path, passes):
    training = replace(PLAIN, augmentation="light", views=views) if views else PLAIN
    store = Store(tmp_path, GIB)
    for labels in (4, 12):
        for seed in (0, 1, 2):
            for strategy in (FeatureExtraction, Prototypes):
                passes.run(strategy, store, labels, seed, training)
    rows = sum(kept.rows for kept in store.entries())
    distinct = 60 + 24  # pool and test
    assert rows <= distinct * (1 + (views or 0))
    assert passes.count <= rows + 12 * MEASURED


def test_a_worker_that_comes_later_runs_none(tmp_path, passes):
    first = passes.run(FeatureExtraction, Store(tmp_path, GIB))
    passes.count = 0
    again = passes.run(FeatureExtraction, Store(tmp_path, GIB))
    assert passes.count <= MEASURED
    assert torch.equal(first.predictions, again.predictions)


def found(strategy=FeatureExtraction, training=PLAIN, tmp_path=None, change=None):
    machine = Machine(accelerator="cpu", store=Store(tmp_path, GIB))
    setup = Bench(strategy, training=training).set_up(10)
    if change is not None:
        change(setup)
    made = setup.strategy
    return setup, standing(made, made.phases(), machine, [setup.data.train])


def nudged(setup):
    with torch.no_grad():
        next(setup.strategy.backbone.parameters()).view(-1)[0] += 1e-6


def moved_statistics(setup):
    buffers = dict(setup.strategy.backbone.named_buffers())
    next(v for k, v in buffers.items() if k.endswith("running_mean"))[0] += 1e-6


@pytest.mark.parametrize("change", [nudged, moved_statistics])
def test_other_weights_or_statistics_are_others(change, tmp_path):
    setup, plain = found(tmp_path=tmp_path)
    other_setup, other = found(tmp_path=tmp_path, change=change)
    view, other_view = plain.view(setup.data.train), other.view(other_setup.data.train)
    rows = np.arange(4)
    (first,), (second,) = view.inputs(rows), other_view.inputs(rows)
    assert not torch.equal(first, second)
    with torch.no_grad():
        inputs = other_setup.data.train.inputs(rows)
        own = other_setup.strategy.eval().backbone.embed(inputs)
    torch.testing.assert_close(second, own, rtol=0, atol=1e-6)


def test_other_code_precision_or_data_are_others(tmp_path, monkeypatch):
    from transfergrid.runs import standing as module

    setup, plain = found(tmp_path=tmp_path)
    plain.view(setup.data.train).inputs(np.arange(4))
    places = {plain.entry(setup.data.train.prepared, module.AS_IT_IS).folder}
    setup, precise = found(tmp_path=tmp_path, training=replace(PLAIN, precision="64-true"))
    places.add(precise.entry(setup.data.train.prepared, module.AS_IT_IS).folder)
    test = setup.target.whole("test", setup.preprocess)
    places.add(plain.entry(test.prepared, module.AS_IT_IS).folder)
    places.add(plain.entry(test.prepared, module.Viewed("light", 0)).folder)
    places.add(plain.entry(test.prepared, module.Viewed("light", 1)).folder)
    monkeypatch.setattr(made_by, "_digest", lambda file: b"changed")
    setup, edited = found(tmp_path=tmp_path)
    places.add(edited.entry(setup.data.train.prepared, module.AS_IT_IS).folder)
    assert len(places) == 6


def test_what_moves_is_not_kept(tmp_path, passes):
    store = Store(tmp_path, GIB)
    passes.run(FullFinetuning, store)
    assert store.entries() == []


def test_fresh_views_are_not_kept(tmp_path, passes):
    store = Store(tmp_path, GIB)
    fresh = replace(PLAIN, augmentation="light")
    passes.run(FeatureExtraction, store, training=fresh)
    assert {kept.about["view"] for kept in store.entries()} == {"as it is"}


def test_weights_of_leading_blocks_do_not_hear_of_later_ones():
    backbone = Bench(FeatureExtraction).set_up(10).strategy.backbone
    before = [weights_of(backbone, k) for k in (1, 2)]
    last = dict(backbone.named_parameters())[backbone.blocks("fine")[1].parameters[0]]
    with torch.no_grad():
        last += 1
    after = [weights_of(backbone, k) for k in (1, 2)]
    assert before[0] == after[0]
    assert before[1] != after[1]


class TellsBatchNormOfTheTarget(FeatureExtraction):
    """A probe on statistics that are the target's: they are taken before the first step."""

    def phases(self):
        (probe,) = super().phases()
        return [replace(probe, before=self.take)]

    def take(self, data):
        before = data.target.features()
        buffers = dict(self.backbone.named_buffers())
        for name, value in buffers.items():
            if name.endswith("running_mean"):
                value += 0.1
        assert not torch.equal(before, data.target.features())


def test_statistics_that_a_phase_sets_first_are_what_its_steps_see(tmp_path, passes):
    plain = passes.run(TellsBatchNormOfTheTarget, None)
    kept = passes.run(TellsBatchNormOfTheTarget, Store(tmp_path, GIB))
    for name, value in plain.state.items():
        torch.testing.assert_close(kept.state[name], value, rtol=1e-5, atol=1e-5, msg=name)
    torch.testing.assert_close(kept.predictions, plain.predictions, rtol=1e-5, atol=1e-5)


class GoesOnTelling(TellsBatchNormOfTheTarget):
    def phases(self):
        (probe,) = super().phases()
        return [replace(probe, every=0.5)]


class SaysSo(GoesOnTelling):
    def phases(self):
        (probe,) = super().phases()
        return [replace(probe, cached=False)]


def test_what_moves_though_nobody_trains_it_is_not_served(tmp_path, passes):
    with pytest.raises(BadInputError, match=r"'probe' of GoesOnTelling .* says cached=False"):
        passes.run(GoesOnTelling, Store(tmp_path, GIB))
    kept = passes.run(SaysSo, Store(tmp_path, GIB))
    assert torch.equal(kept.predictions, passes.run(SaysSo, None).predictions)


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed"])
def test_in_every_precision_it_is_as_without(precision, tmp_path, passes):
    training = replace(PLAIN, precision=precision)
    plain = passes.run(GradualUnfreezing, None, training=training)
    kept = passes.run(GradualUnfreezing, Store(tmp_path, GIB), training=training)
    close = {"32-true": 1e-5, "64-true": 1e-9, "bf16-mixed": 0.05}[precision]
    losses = [run.fitted.curves["train_loss"] for run in (plain, kept)]
    np.testing.assert_allclose(*losses, rtol=close, atol=close)
    assert {kept.about["precision"] for kept in Store(tmp_path, GIB).entries()} == {precision}
