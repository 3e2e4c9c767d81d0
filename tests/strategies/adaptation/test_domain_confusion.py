"""Cross-entropy of predicted domains against the uniform distribution (Tzeng et al. 2015)."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from golden import golden
from transfergrid.strategies.adaptation.domain_confusion import DomainConfusion, confusion
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench


@pytest.fixture
def of_golden():
    given, expected, tolerance = golden("domain_confusion", "losses")
    logits = torch.tensor(given["domain_logits"], dtype=torch.float64, requires_grad=True)
    return logits, torch.tensor(given["domain_labels"]), expected, tolerance


@pytest.mark.proves("formula_exact", "domain_confusion")
def test_the_loss_is_the_mean_over_domains_and_batch(of_golden):
    logits, _, expected, tolerance = of_golden
    each = [confusion(row[None]).item() for row in logits]
    assert each == pytest.approx(expected["confusion_per_sample"], abs=tolerance)
    assert confusion(logits).item() == pytest.approx(expected["confusion"], abs=tolerance)
    least = confusion(torch.zeros(4, 2, dtype=torch.float64)).item()
    assert least == pytest.approx(expected["minimum"], abs=tolerance)
    assert expected["minimum"] == pytest.approx(math.log(2))


@pytest.mark.proves("formula_exact", "domain_confusion")
def test_its_gradient_is_not_the_reversed_one(of_golden):
    """An undecided critic pushes nothing; a reversed gradient would push there most."""
    logits, labels, expected, tolerance = of_golden
    (slope,) = torch.autograd.grad(confusion(logits), logits)
    wanted = torch.tensor(expected["gradient_of_confusion"], dtype=torch.float64)
    assert torch.allclose(slope, wanted, atol=tolerance, rtol=0)
    assert torch.equal(slope[2], torch.zeros(2).double())
    (own,) = torch.autograd.grad(cross_entropy(logits, labels), logits)
    reversed_ = torch.tensor(expected["reversed_gradient_for_comparison"], dtype=torch.float64)
    assert torch.allclose(-own, reversed_, atol=tolerance, rtol=0)
    assert not torch.allclose(slope, -own, atol=0.05)


def undecided(strategy):
    for parameter in list(strategy.scaffold["discriminator"].parameters())[-2:]:
        torch.nn.init.zeros_(parameter)


def test_each_of_the_two_steps_teaches_its_own():
    (moment,) = Bench(DomainConfusion).moments(0)
    network, critic = moment.phase.objectives
    assert {g.name for g in network.learns} == {"head", "backbone"}
    assert {g.name for g in critic.learns} == {"discriminator"}
    before = {n: v.clone() for n, v in moment.strategy.state_dict().items()}
    critic.loss(moment.batch, 0.5).backward()
    named = dict(moment.strategy.named_parameters())
    learned = {n for n, p in named.items() if p.grad is not None and bool(p.grad.any())}
    assert learned
    assert all(name.startswith("scaffold.discriminator.") for name in learned)
    after = moment.strategy.state_dict()  # BatchNorm's buffers among them
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("labels", [0, 10])
def test_the_critic_tells_source_from_unlabelled(labels):
    """Its loss by hand: domain 0 is the source, 1 what is unlabelled, target labels in neither."""
    (moment,) = Bench(DomainConfusion).moments(labels)
    strategy, batch = moment.strategy.eval(), moment.batch
    critic = strategy.scaffold["discriminator"]
    said = [critic(strategy.features(x)) for x in (batch.source[0].inputs, batch.unlabelled)]
    parts = [-part.log_softmax(1)[:, domain] for domain, part in enumerate(said)]
    expected = torch.cat(parts).mean().item()
    assert strategy.by_domain(batch, 0.5).item() == pytest.approx(expected, rel=1e-5)


def test_where_the_critic_is_undecided_features_learn_by_labels_alone():
    slopes = []
    for weight in (0.0, 5.0):
        (moment,) = Bench(DomainConfusion, {"weight": weight}).moments(0)
        strategy = moment.strategy.double().eval()
        undecided(strategy)
        for own in (moment.batch.source[0], moment.batch):
            name = "unlabelled" if own is moment.batch else "inputs"
            setattr(own, name, getattr(own, name).double())
        parameters = [*strategy.backbone.parameters()]
        slopes.append(torch.autograd.grad(strategy.loss(moment.batch, 0.5), parameters))
    assert all(torch.allclose(a, b, atol=1e-15) for a, b in zip(*slopes, strict=True))


@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (2, SourceAndTarget)])
def test_without_weight_it_is_its_baseline_bit_for_bit(labels, baseline):
    adapted = Bench(DomainConfusion, {"weight": 0.0}).run(labels)
    plain = Bench(baseline).run(labels)
    assert all(torch.equal(adapted.state[name], value) for name, value in plain.state.items())
    assert not torch.equal(
        Bench(DomainConfusion, {"weight": 1.0}).run(labels).predictions, plain.predictions
    )
