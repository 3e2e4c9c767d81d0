"""Source examples weighted by a first discriminator, domains told apart by a second (IWAN)."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.adaptation.iwan import Iwan, importance
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench, source_domain
from transfergrid.testing.tiny import TinySource


def bench(arguments=None, kind=Iwan, **plan):
    """Return a bench whose source has two classes that its target lacks."""
    source = TinySource(domain=source_domain(Iwan.needs))
    training = Training(**{"steps": 8, "batch_size": 8, "validations": 2, "lr": 0.01, **plan})
    return Bench(kind, arguments or {}, training=training, source=source)


@pytest.mark.proves("formula_exact", "iwan")
def test_weights_are_one_less_d_over_their_mean():
    given, expected, tolerance = golden("iwan", "weights")
    said = torch.tensor(given["d_p_source"], dtype=torch.float64, requires_grad=True)
    found = importance(said)
    assert found.tolist() == pytest.approx(expected["weights"], abs=tolerance)
    assert found.mean().item() == pytest.approx(1.0)
    assert not found.requires_grad


def test_where_all_are_surely_the_source_nothing_is_divided_by_0():
    assert importance(torch.ones(3)).eq(0).all()


@pytest.mark.proves("formula_exact", "iwan")
def test_both_discriminators_and_the_entropy():
    (moment,) = bench({"weight": 2.0, "entropy": 0.3}).moments(0)
    strategy, batch = moment.strategy.eval(), moment.batch
    source, target = (strategy.features(x) for x in (batch.source[0].inputs, batch.unlabelled))
    first, second = (strategy.scaffold[name] for name in ("weighs", "meets"))
    truth = torch.cat([torch.ones(8), torch.zeros(8)])
    both = torch.cat([source, target])
    told = binary_cross_entropy_with_logits(first(both)[:, 0], truth)
    weights = 1 - first(source)[:, 0].sigmoid()
    weights = torch.cat([weights / weights.mean(), torch.ones(8)]).detach()
    each = binary_cross_entropy_with_logits(second(both)[:, 0], truth, reduction="none")
    p = strategy.head(target).softmax(1)
    expected = strategy.task.loss(strategy.head(source), batch.source[0].labels)
    expected = expected + told + 2.0 * (weights * each).mean() - 0.3 * (p * p.log()).sum(1).mean()
    assert strategy.loss(batch, 0.5).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_first_discriminator_only_weighs():
    """Nothing of its loss or of the weights reaches the features; the second one is reversed."""
    (moment,) = bench().moments(0)
    strategy = moment.strategy.double()
    source, target = (torch.randn(6, 12).double().requires_grad_() for _ in range(2))
    first, second = (strategy.scaffold[name] for name in ("weighs", "meets"))
    loss = strategy.of_domains(source, target, 0.5)
    found = torch.autograd.grad(loss, [source, *first.parameters(), *second.parameters()])
    weights = importance(first(source).sigmoid()[:, 0])
    logits = second(torch.cat([source, target]))[:, 0]
    truth = torch.cat([torch.ones(6), torch.zeros(6)]).double()
    every = torch.cat([weights, torch.ones(6).double()])
    adversary = 3.0 * binary_cross_entropy_with_logits(logits, truth, every)
    slopes = torch.autograd.grad(adversary, [source, *second.parameters()])
    strength = 2 / (1 + torch.tensor(-5.0).double().exp()) - 1
    torch.testing.assert_close(found[0], -strength * slopes[0])
    for one, other in zip(found[-6:], slopes[1:], strict=True):
        torch.testing.assert_close(one, other)
    alone = binary_cross_entropy_with_logits(first(torch.cat([source, target]))[:, 0], truth)
    own = torch.autograd.grad(alone, [*first.parameters()])
    for one, other in zip(found[1:7], own, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (10, SourceAndTarget)])
@pytest.mark.parametrize("parts", [1, 2])
def test_weights_0_are_the_baseline_bit_for_bit(labels, baseline, parts):
    free = bench({"weight": 0.0, "entropy": 0.0}, accumulate=parts).run(labels)
    plain = bench(kind=baseline, accumulate=parts).run(labels)
    assert all(torch.equal(value, free.state[name]) for name, value in plain.state.items())
    full = bench(accumulate=parts).run(labels)
    assert not torch.equal(full.predictions, plain.predictions)


def test_examples_of_classes_that_the_target_lacks_weigh_less():
    run = bench(steps=60, lr=0.02).run(0)
    strategy, source = run.setup.strategy.eval(), run.setup.data.source[0]
    features = strategy.features(source.inputs(source.rows))
    weights = importance(strategy.scaffold["weighs"](features).sigmoid()[:, 0])
    labels = torch.from_numpy(source.labels)
    assert weights[labels >= 3].mean() < weights[labels < 3].mean()
