"""`source_only` and `source_and_target`: what adaptation is compared with."""

import pytest
import torch
from torch import nn

from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyDomain


def test_source_only_has_no_target_example():
    data = Bench(SourceOnly).set_up(10).data
    assert data.train is data.validation is data.unlabelled is None


@pytest.mark.parametrize("labels", [0, 2, 10, "all"])
def test_source_only_is_one_run_for_all_label_budgets_and_targets(labels):
    first = Bench(SourceOnly).run(0)
    other = Bench(SourceOnly).run(labels, TinyDomain(shift=0.9))
    assert all(torch.equal(first.state[name], tensor) for name, tensor in other.state.items())
    assert other.fitted.chosen_by == "last_step"


def test_source_and_target_weighs_examples_alike():
    bench = Bench(SourceAndTarget)
    setup = bench.set_up(2)
    strategy, batch = setup.strategy.eval(), bench.batch(setup.data)
    (source,) = batch.source
    sizes = len(source.labels), len(batch.target.labels)
    assert sizes == (8, 6)  # three classes of two labels are fewer than a batch
    losses = [
        nn.functional.cross_entropy(strategy.predict(part.inputs), part.labels)
        for part in (source, batch.target)
    ]
    expected = (8 * losses[0] + 6 * losses[1]) / 14
    assert strategy.loss(batch, 0.0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_source_and_target_normalises_both_domains_as_one_batch():
    bench = Bench(SourceAndTarget)
    setup = bench.set_up(2)
    batch = bench.batch(setup.data)
    both = torch.cat([batch.source[0].inputs, batch.target.inputs])
    strategy = setup.strategy.train()
    expected = strategy.backbone.network.conv1(both).mean(dim=(0, 2, 3))
    strategy.loss(batch, 0.0)
    moved = strategy.backbone.network.bn1.running_mean
    assert torch.allclose(moved, 0.1 * expected, atol=1e-6)
