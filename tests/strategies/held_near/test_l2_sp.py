"""a/2 |w - w0|^2 + b/2 |head|^2 (Li et al. 2018)."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.held_near.l2_sp import L2SP, half_square
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "l2_sp")
def test_the_penalty_is_half_the_square():
    given, expected, tolerance = golden("l2_sp", "penalty")
    way, head = (
        torch.tensor(given[name], dtype=torch.float64, requires_grad=True)
        for name in ("backbone", "head")
    )
    start = torch.tensor(given["backbone_start"], dtype=torch.float64)
    penalty = given["alpha"] * half_square([way - start]) + given["beta"] * half_square([head])
    penalty.backward()
    assert penalty.item() == pytest.approx(expected["penalty_half"], abs=tolerance)
    assert way.grad.tolist() == pytest.approx(expected["grad_backbone"], abs=tolerance)
    assert head.grad.tolist() == pytest.approx(expected["grad_head"], abs=tolerance)
    at_start = given["alpha"] * half_square([start - start]) + given["beta"] * half_square([head])
    assert at_start.item() == pytest.approx(expected["penalty_at_start"], abs=tolerance)


def test_the_first_gradient_is_that_of_fine_tuning():
    (anchored,) = Bench(L2SP, {"beta": 0.0}).moments(10)
    (plain,) = Bench(FullFinetuning).moments(10)
    for moment in (anchored, plain):
        torch.manual_seed(0)  # of dropout
        moment.strategy.loss(moment.batch, 0.0).backward()
    ours, theirs = (m.strategy.backbone.parameters() for m in (anchored, plain))
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True))


def test_without_weights_it_is_fine_tuning_without_decay():
    plan = Training(steps=6, batch_size=8, weight_decay=0.0)
    rate = {"lr_factor": 0.3}
    anchored = Bench(L2SP, {"alpha": 0.0, "beta": 0.0, **rate}, training=plan).run(10)
    plain = Bench(FullFinetuning, rate, training=plan).run(10)
    assert all(torch.equal(anchored.state[name], value) for name, value in plain.state.items())


def test_nothing_but_the_pull_decays():
    one, other = (
        Bench(L2SP, training=Training(steps=6, batch_size=8, weight_decay=decay)).run(10).state
        for decay in (0.0, 0.5)
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_strong_pull_stays_at_the_start():
    near, far = (Bench(L2SP, {"alpha": alpha}).run(10) for alpha in (100.0, 1e-4))

    def way(run):
        start = dict(run.setup.strategy.scaffold["start"].named_parameters())
        now = run.setup.backbone.named_parameters()
        return sum((value - start[name]).square().sum().item() for name, value in now)

    assert way(near) < 0.5 * way(far)


@pytest.mark.proves("trajectory_exact", "l2_sp")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_twenty_steps_are_those_of_plain_torch(on):
    weights = {"alpha": 0.4, "beta": 0.2, "lr_factor": 0.5}
    run = trajectory(L2SP, weights, on, schedule="constant", weight_decay=0.5)
    net = run.net()
    start = [weight.detach().clone() for weight in net.backbone.parameters()]
    optimiser = torch.optim.AdamW(net.parameters(), 0.01, weight_decay=0.0)
    for batch in run.batches:
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        with torch.no_grad():
            for weight, origin in zip(net.backbone.parameters(), start, strict=True):
                weight.grad += 0.4 * (weight - origin)
            for weight in net.head.parameters():
                weight.grad += 0.2 * weight
        optimiser.step()
    same(run, net)
