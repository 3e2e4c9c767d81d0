"""|C_s - C_t|^2 / 4 d^2 (Sun & Saenko 2016)."""

import pytest
import torch

from golden import golden
from transfergrid.strategies.adaptation.coral import Coral, coral
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "coral")
def test_the_distance_is_the_papers():
    given, expected, tolerance = golden("coral", "deep")
    source, target = (torch.tensor(given[n], dtype=torch.float64) for n in ("source", "target"))
    assert coral(source, target).item() == pytest.approx(expected["paper"], abs=tolerance)
    for row, own in zip(torch.cov(source.T).tolist(), expected["cov_source"], strict=True):
        assert row == pytest.approx(own, abs=tolerance)


def test_it_does_not_see_a_shift():
    rng = torch.Generator().manual_seed(0)
    source, target = (torch.randn(6, 3, generator=rng, dtype=torch.float64) for _ in range(2))
    assert coral(source + 5, target - 2).item() == pytest.approx(coral(source, target).item())
    assert coral(source, source).item() == 0.0


@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (2, SourceAndTarget)])
def test_without_weight_it_is_its_baseline_bit_for_bit(labels, baseline):
    adapted, plain = Bench(Coral, {"weight": 0.0}).run(labels), Bench(baseline).run(labels)
    assert all(torch.equal(adapted.state[name], value) for name, value in plain.state.items())
    assert not torch.equal(Bench(Coral).run(labels).predictions, plain.predictions)


def test_the_loss_adds_the_distance_of_source_and_unlabelled():
    (moment,) = Bench(Coral, {"weight": 3.0}).moments(0)
    strategy, batch = moment.strategy.eval(), moment.batch
    (source,) = batch.source
    features, other = strategy.features(source.inputs), strategy.features(batch.unlabelled)
    plain = torch.nn.functional.cross_entropy(strategy.head(features), source.labels)
    expected = plain + 3.0 * coral(features, other)
    assert strategy.loss(batch, 0.5).item() == pytest.approx(expected.item(), rel=1e-5)
