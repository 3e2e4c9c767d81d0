"""Norms that grow, by their gradient: the stepwise value is constant (Xu et al. 2019)."""

import math

import pytest
import torch

from golden import golden
from transfergrid.strategies.adaptation.afn import Afn, hard, stepwise
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "afn")
@pytest.mark.parametrize(("key", "suffix"), [("delta", ""), ("delta_2", "_delta_0p5")])
def test_the_stepwise_gradient_is_the_papers(key, suffix):
    given, expected, tolerance = golden("afn", "stepwise_and_hard")
    features = torch.tensor(given["features"], dtype=torch.float64, requires_grad=True)
    loss = stepwise(features, given[key])
    loss.backward()
    assert loss.item() == pytest.approx(expected[f"stepwise_loss{suffix}"], abs=tolerance)
    wanted = torch.tensor(expected[f"stepwise_gradient{suffix}"], dtype=torch.float64)
    assert torch.allclose(features.grad, wanted, atol=tolerance, rtol=0)


@pytest.mark.proves("formula_exact", "afn")
def test_the_hard_form_is_of_the_mean_norm_and_not_of_each():
    given, expected, tolerance = golden("afn", "stepwise_and_hard")
    features = torch.tensor(given["features"], dtype=torch.float64)
    found = hard(features, given["radius"]).item()
    assert found == pytest.approx(expected["hard_loss"], abs=tolerance)
    assert found != pytest.approx(expected["hard_loss_per_sample_variant"], abs=1.0)


def test_a_feature_of_length_nought_has_a_gradient_that_is_a_number():
    features = torch.zeros(2, 3, requires_grad=True)
    (stepwise(features, 1.0) + hard(features, 25.0)).backward()
    assert features.grad.isfinite().all()


def test_growth_ends_at_the_limit():
    """Left to itself each norm grows by as much at every step, for ever."""
    ends = {}
    for largest in (math.inf, 6.0):
        features = torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=torch.float64, requires_grad=True)
        for _ in range(100):
            (slopes,) = torch.autograd.grad(stepwise(features, 1.0, largest), features)
            with torch.no_grad():
                features -= 0.1 * slopes
        ends[largest] = features.norm(dim=1).tolist()
    assert ends[math.inf] == pytest.approx([5.0 + 10.0, 2.0 + 10.0])  # a tenth a step
    assert all(6.0 <= norm < 6.1 + 1e-9 for norm in ends[6.0])


def test_the_limit_is_a_root_mean_square():
    strategy = Afn(limit=2.0)
    below, above = torch.full((2, 1, 9), 2.0, dtype=torch.float64) + torch.tensor(
        [[[-0.01]], [[0.01]]]
    )
    assert strategy.growth(below).item() == pytest.approx(1.0)
    assert strategy.growth(above).item() == 0.0
    assert Afn(limit=None).growth(1e6 * above).item() == pytest.approx(1.0)


def test_both_domains_grow():
    (moment,) = Bench(Afn, {"weight": 3.0}).moments(0)
    strategy, batch = moment.strategy.eval(), moment.batch
    (source,) = batch.source
    parts = [strategy.features(x) for x in (source.inputs, batch.unlabelled)]
    own = [*strategy.backbone.parameters()]
    plain = torch.nn.functional.cross_entropy(strategy.head(parts[0]), source.labels)
    longer = sum(part.norm(dim=1).mean() for part in parts)
    found = torch.autograd.grad(strategy.loss(batch, 0.5), own)
    expected = torch.autograd.grad(plain - 3.0 * 2 * longer, own)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("form", ["stepwise", "hard"])
@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (2, SourceAndTarget)])
def test_without_weight_it_is_its_baseline_bit_for_bit(labels, baseline, form):
    adapted = Bench(Afn, {"weight": 0.0, "form": form}).run(labels)
    plain = Bench(baseline).run(labels)
    assert all(torch.equal(adapted.state[name], value) for name, value in plain.state.items())
    assert not torch.equal(Bench(Afn, {"form": form}).run(labels).predictions, plain.predictions)
