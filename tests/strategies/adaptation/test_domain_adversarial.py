"""DANN (Ganin et al. 2016): schedules, reversal, and its two baselines at weight 0."""

import numpy as np
import pytest
import torch

from transfergrid.data.task import Classification
from transfergrid.records.training import Training
from transfergrid.strategies.adaptation.domain_adversarial import (
    DomainAdversarial,
    GradientReversal,
    reversal_strength,
)
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.modes import unrecorded_statistics
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import CLASSES, TinyArchitecture
from watched_rates import rates_of


@pytest.mark.proves("formula_exact", "domain_adversarial")
@pytest.mark.parametrize(
    ("progress", "strength"),
    [
        (0.0, 0.0),
        (0.1, 0.462117),
        (0.25, 0.848284),
        (0.5, 0.986614),
        (0.75, 0.998894),
        (1.0, 0.999909),
    ],
)
def test_strength_of_the_reversal(progress, strength):
    assert reversal_strength(progress) == pytest.approx(strength, abs=5e-7)


@pytest.mark.proves("formula_exact", "domain_adversarial")
def test_learning_rate_is_annealed_as_in_the_paper(monkeypatch):
    plan = Training(steps=20, batch_size=8, lr=0.01)
    bench = Bench(DomainAdversarial, {"lr_factor": 1.0}, training=plan)
    rates = [set(row) for row in rates_of(bench, 0, monkeypatch)]
    found = [rates[step].pop() for step in (0, 2, 5, 10, 15)]
    assert found == pytest.approx([0.01, 0.005946, 0.003908, 0.002608, 0.002009], abs=5e-7)


@pytest.fixture
def strategy():
    torch.manual_seed(0)
    made = DomainAdversarial(hidden=8)
    made.attach(TinyArchitecture().build(), Classification(CLASSES), Training(), 0)
    return made.double()


@pytest.fixture
def features():
    rng = torch.Generator().manual_seed(1)
    return [torch.randn(5, 12, generator=rng, dtype=torch.float64) for _ in range(2)]


def slope(function, tensor, index, step=1e-6):
    """Return the central difference of a function in one entry of a tensor."""
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            tensor[index] += sign * step
            values.append(function().item())
            tensor[index] -= sign * step
    return (values[0] - values[1]) / (2 * step)


@pytest.mark.parametrize("progress", [0.1, 0.5])
def test_gradient_into_features_is_the_reversed_slope(strategy, features, progress):
    source, target = [part.clone().requires_grad_() for part in features]
    strategy.domain_loss(source, target, progress).backward()
    for index in [(0, 0), (2, 7), (4, 11)]:
        forward = slope(lambda: strategy.domain_loss(*features, progress), features[0], index)
        expected = -reversal_strength(progress) * forward
        assert source.grad[index].item() == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_discriminator_follows_its_own_slope_unscaled(strategy, features):
    gradients = []
    for progress in (0.1, 0.5):
        strategy.zero_grad()
        strategy.domain_loss(*features, progress).backward()
        gradients.append([p.grad.clone() for p in strategy.scaffold["discriminator"].parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    weight = strategy.scaffold["discriminator"][0].weight
    for index in [(0, 0), (3, 5), (7, 11)]:
        forward = slope(lambda: strategy.domain_loss(*features, 0.5), weight, index)
        assert gradients[0][0][index].item() == pytest.approx(forward, rel=1e-5, abs=1e-12)


def test_reversal_changes_nothing_on_the_way_forward(features):
    assert torch.equal(GradientReversal.apply(features[0], 0.3), features[0])


def test_whole_gradient_is_that_of_class_loss_minus_domain_loss(strategy):
    """d(class loss)/dw - weight * lambda * d(domain loss)/dw, by finite differences."""
    bench = Bench(DomainAdversarial)
    batch = bench.batch(bench.set_up(0).data)
    (source,) = batch.source
    source.inputs, batch.unlabelled = source.inputs.double(), batch.unlabelled.double()
    strategy.eval()  # no dropout; BatchNorm on fixed statistics
    strategy.weight = 0.7
    strategy.loss(batch, 0.25).backward()
    parameter = strategy.backbone.network.conv2.weight

    def classes():
        logits = strategy.predict(source.inputs)
        return torch.nn.functional.cross_entropy(logits, source.labels)

    def domains():
        embed = strategy.backbone.embed
        return strategy.domain_loss(embed(source.inputs), embed(batch.unlabelled), 0.25)

    for index in [(0, 0, 1, 1), (3, 2, 0, 1), (5, 5, 2, 2)]:
        expected = slope(classes, parameter, index)
        expected -= 0.7 * reversal_strength(0.25) * slope(domains, parameter, index)
        assert parameter.grad[index].item() == pytest.approx(expected, rel=1e-4, abs=1e-10)


# Its baselines ----------------------------------------------------------------------------------

PLAIN = {"lr_factor": 1.0}
NO_WEIGHT = {"lr_factor": 1.0, "weight": 0.0}
PLANS = [
    Training(steps=12, batch_size=8, lr=0.01, validations=3),
    Training(steps=12, batch_size=8, lr=0.01, optimizer="sgd", schedule="constant"),
]


@pytest.mark.parametrize("plan", PLANS, ids=["adamw", "sgd"])
@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (2, SourceAndTarget)])
def test_without_weight_it_is_its_baseline_bit_for_bit(plan, labels, baseline):
    adapted = Bench(DomainAdversarial, NO_WEIGHT, training=plan).run(labels)
    plain = Bench(baseline, PLAIN, training=plan).run(labels)
    assert {*plain.state} < {*adapted.state}
    for name, tensor in plain.state.items():
        assert torch.equal(adapted.state[name], tensor), name
    assert torch.equal(adapted.predictions, plain.predictions)


def test_clipped_without_weight_it_is_its_baseline_to_the_last_digits():
    """The discriminator's zeros only change the order in which the norm is summed up."""
    plan = Training(steps=12, batch_size=8, lr=0.01, optimizer="sgd", gradient_clip=0.5)
    adapted = Bench(DomainAdversarial, NO_WEIGHT, training=plan).run(0)
    plain = Bench(SourceOnly, PLAIN, training=plan).run(0)
    for name, tensor in plain.state.items():
        assert torch.allclose(adapted.state[name], tensor, atol=1e-6), name


def test_without_weight_it_also_chooses_the_step_of_its_baseline():
    adapted = Bench(DomainAdversarial, NO_WEIGHT, training=PLANS[0]).run(10)
    plain = Bench(SourceAndTarget, PLAIN, training=PLANS[0]).run(10)
    assert adapted.fitted.chosen_by == "validation"
    assert adapted.fitted.chosen_step == plain.fitted.chosen_step
    for name in ("train_loss", "validation_score", "validation_loss"):
        assert np.array_equal(adapted.fitted.curves[name], plain.fitted.curves[name])
    assert torch.equal(adapted.predictions, plain.predictions)


def test_by_default_it_learns_at_the_rate_of_its_baselines():
    made = [strategy().hparams for strategy in (DomainAdversarial, SourceOnly, SourceAndTarget)]
    assert len({(arguments["lr_factor"], arguments["schedule"]) for arguments in made}) == 1


def test_with_weight_it_is_another():
    adapted, plain = Bench(DomainAdversarial, PLAIN).run(0), Bench(SourceOnly, PLAIN).run(0)
    assert not torch.equal(adapted.predictions, plain.predictions)


def test_unlabelled_inputs_leave_no_trace_in_the_statistics():
    backbone = TinyArchitecture().build().train()
    inputs = 3.0 + torch.randn(8, 1, 8, 8)
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    with unrecorded_statistics(backbone):
        first = backbone.network.bn1(backbone.network.conv1(inputs))
    assert all(torch.equal(before[n], b) for n, b in backbone.named_buffers())
    assert first.mean(dim=(0, 2, 3)).abs().max() < 1e-5  # normalised by its own batch
    backbone(inputs)
    assert not torch.equal(before["network.bn1.running_mean"], backbone.network.bn1.running_mean)
