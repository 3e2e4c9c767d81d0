"""The worst source counts most, and discriminators descend what features climb (Zhao et al.)."""

import math

import pytest
import torch
from torch import nn

from transfergrid.strategies.several_sources.mdan import Mdan, domain_loss, soft_worst
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "mdan")
def test_the_soft_worst_by_hand():
    values = torch.tensor([0.1, 0.3, -0.2], dtype=torch.float64)
    by_hand = math.log(math.exp(1.0) + math.exp(3.0) + math.exp(-2.0)) / 10
    assert soft_worst(values, 10.0).item() == pytest.approx(by_hand, abs=1e-12)
    large = torch.tensor([900.0, 100.0], dtype=torch.float64)
    assert soft_worst(large, 10.0).item() == pytest.approx(900.0)
    assert soft_worst(values, 1e4).item() == pytest.approx(0.3, abs=1e-3)


def test_weights_are_a_softmax_and_a_plain_mean_near_no_gamma():
    values = torch.tensor([0.1, 0.3, -0.2], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(soft_worst(values, 10.0), values)
    assert torch.allclose(slope, torch.softmax(10.0 * values, 0))
    (slope,) = torch.autograd.grad(soft_worst(values, 1e-7), values)
    assert torch.allclose(slope, torch.full((3,), 1 / 3, dtype=torch.float64), atol=1e-6)


@pytest.mark.proves("formula_exact", "mdan")
def test_the_domain_loss_is_the_sum_of_both_sides_means():
    critic = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(critic.weight, 2.0)
    source, target = (torch.tensor(x, dtype=torch.float64) for x in ([[1.0], [0.0]], [[0.5]]))
    by_hand = (math.log(1 + math.exp(-2)) + math.log(2)) / 2 + math.log(1 + math.exp(1))
    assert domain_loss(critic, source, target).item() == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("labels", [0, 10])
def test_features_climb_what_the_discriminators_descend(labels):
    """Finite differences of lse_k(CE_k + w d_k), at its weights: features climb the d_k in it."""
    (moment,) = Bench(Mdan, {"weight": 0.7, "gamma": 3.0}).moments(labels)
    strategy, batch = moment.strategy.double().eval(), doubled(moment.batch)
    critics = strategy.scaffold["discriminators"]

    def parts():
        with torch.no_grad():
            seen = strategy.passed(batch)
            other = strategy.features(batch.unlabelled)
            pairs = zip(critics, seen.features, strict=True)
            return seen, torch.stack([domain_loss(critic, own, other) for critic, own in pairs])

    seen, told = parts()
    weights = torch.softmax(3.0 * (seen.losses + 0.7 * told), 0)

    def value(sign):
        now, apart = parts()
        return now.with_target(weights @ (now.losses + sign * 0.7 * apart)).item()

    strategy.zero_grad()
    strategy.loss(batch, 0.0).backward()
    for parameter, sign in (
        (strategy.backbone.network.dense.weight, -1),
        (strategy.head.weight, 1),
        (critics[0][0].weight, 1),
        (critics[1][4].weight, 1),
    ):
        place = parameter.grad.abs().flatten().argmax()
        flat, step = parameter.data.view(-1), 1e-6
        kept = flat[place].item()
        flat[place] = kept + step
        above = value(sign)
        flat[place] = kept - step
        slope = (above - value(sign)) / (2 * step)
        flat[place] = kept
        assert parameter.grad.view(-1)[place].item() == pytest.approx(slope, rel=1e-4)


def test_what_is_minimised_is_the_soft_worst_of_sums():
    (moment,) = Bench(Mdan, {"weight": 0.7, "gamma": 3.0}).moments(0)
    strategy, batch = moment.strategy.double().eval(), doubled(moment.batch)
    seen, other = strategy.passed(batch), strategy.features(batch.unlabelled)
    pairs = zip(strategy.scaffold["discriminators"], seen.features, strict=True)
    sums = [
        loss + 0.7 * domain_loss(critic, own, other)
        for loss, (critic, own) in zip(seen.losses, pairs, strict=True)
    ]
    by_hand = math.log(sum(math.exp(3.0 * value.item()) for value in sums)) / 3.0
    assert strategy.loss(batch, 0.0).item() == pytest.approx(by_hand, abs=1e-9)


def doubled(batch):
    for part in (*batch.source, *([batch.target] if batch.target is not None else [])):
        part.inputs = part.inputs.double()
    batch.unlabelled = batch.unlabelled.double()
    return batch


def test_without_its_weight_the_discriminators_touch_nothing():
    (moment,) = Bench(Mdan, {"weight": 0.0}).moments(0)
    strategy, batch = moment.strategy.eval(), moment.batch
    before = strategy.loss(batch, 0.0)
    body = [*strategy.backbone.parameters(), *strategy.head.parameters()]
    slopes = torch.autograd.grad(before, body, allow_unused=True)
    with torch.no_grad():
        for parameter in strategy.scaffold.parameters():
            parameter.mul_(-3.0)
    after = strategy.loss(batch, 0.0)
    assert torch.equal(before, after)
    for one, other in zip(slopes, torch.autograd.grad(after, body), strict=True):
        assert torch.equal(one, other)


def test_there_is_a_discriminator_for_each_source_and_they_start_apart():
    critics = Bench(Mdan).set_up(0).strategy.scaffold["discriminators"]
    assert len(critics) == 2
    assert not torch.equal(critics[0][0].weight, critics[1][0].weight)
