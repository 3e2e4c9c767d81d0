"""Tasks that are weighed, or brought to one step, end where loops of plain torch end."""

import pytest
import torch
from plain_torch import adamw, cosine, set_rate
from torch import nn
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.strategies.tasks.cagrad import CAGrad
from transfergrid.strategies.tasks.gradnorm import Gradnorm
from transfergrid.strategies.tasks.uncertainty_weighting import UncertaintyWeighting

INSIDE = "scaffold.source."


def begun(run):
    """Return the network, the source's head, and what of both learns."""
    net = run.net()
    own = nn.Linear(*run.start[f"{INSIDE}weight"].T.shape).double()
    own.load_state_dict({n: run.start[INSIDE + n] for n in ("weight", "bias")})
    return net, own, [*net.head.parameters(), *net.backbone.parameters(), *own.parameters()]


def losses_of(net, own, batch):
    """Return the target's loss, then the source's; both passes move BatchNorm's statistics."""
    source = batch.source[0]
    target = cross_entropy(net(batch.target.inputs), batch.target.labels)
    return target, cross_entropy(own(net.features(source.inputs)), source.labels)


def slopes_of(loss, parameters):
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if s is None else s for p, s in zip(parameters, found, strict=True)]


def ended(run, net, own):
    same(run, {**net.state_dict(), **{INSIDE + n: v for n, v in own.state_dict().items()}})


@pytest.mark.proves("trajectory_exact", "uncertainty_weighting")
def test_uncertainties_learn_beside_the_network():
    run = trajectory(UncertaintyWeighting, {"lr_factor": 0.5, "weights_rate": 3.0})
    net, own, both = begun(run)
    s = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser, other = adamw((both, 0.5)), torch.optim.AdamW([s], lr=0.06, weight_decay=0.0)
    for step, batch in enumerate(run.batches):
        target, source = losses_of(net, own, batch)
        loss = (-s[0]).exp() * target + (-s[1]).exp() * source + s.sum() / 2
        for one in (optimiser, other):
            one.zero_grad()
        loss.backward()
        set_rate(optimiser, cosine(step, 20))
        other.param_groups[0]["lr"] = 0.06 * cosine(step, 20)
        optimiser.step()
        other.step()
    ended(run, net, own)
    assert torch.allclose(run.end["scaffold.s"].double(), s.detach(), atol=1e-6)
    assert s.abs().min() > 0.1


@pytest.mark.proves("trajectory_exact", "gradnorm")
def test_weights_follow_the_lengths_of_gradients():
    run = trajectory(Gradnorm, {"lr_factor": 0.5, "weights_rate": 0.1, "alpha": 1.5})
    net, own, both = begun(run)
    last = [*net.backbone.network.dense.parameters()]
    weights, first = torch.ones(2, dtype=torch.float64), None
    optimiser = adamw((both, 0.5))
    for step, batch in enumerate(run.batches):
        losses = losses_of(net, own, batch)
        each = [slopes_of(loss, both) for loss in losses]
        for parameter, g, h in zip(both, *each, strict=True):
            parameter.grad = weights[0] * g + weights[1] * h
        place = [next(i for i, p in enumerate(both) if p is q) for q in last]
        ends = [torch.cat([slopes[i].flatten() for i in place]) for slopes in each]
        now = torch.stack([loss.detach() for loss in losses])
        first = now if first is None else first
        pace = now / first / (now / first).mean()
        moving = weights.clone().requires_grad_()
        lengths = torch.stack([end.norm() for end in ends])
        aim = (weights * lengths).mean() * pace**1.5
        (slope,) = torch.autograd.grad((moving * lengths - aim).abs().sum(), moving)
        weights = weights - 0.1 * slope
        weights = 2 * weights / weights.sum()
        set_rate(optimiser, cosine(step, 20))
        optimiser.step()
    ended(run, net, own)
    assert torch.allclose(run.end["scaffold.weights"].double(), weights, atol=1e-6)
    assert (weights - 1).abs().min() > 0.05


@pytest.mark.proves("trajectory_exact", "cagrad")
def test_the_trunk_goes_the_way_of_the_worse_off():
    run = trajectory(CAGrad, {"lr_factor": 0.5, "c": 0.7, "weight": 0.6})
    net, own, both = begun(run)
    heads = {id(p) for p in (*net.head.parameters(), *own.parameters())}
    optimiser = adamw((both, 0.5))
    for step, batch in enumerate(run.batches):
        target, source = losses_of(net, own, batch)
        each = [slopes_of(loss, both) for loss in (target, 0.6 * source)]
        trunk = [i for i, p in enumerate(both) if id(p) not in heads]
        g, h = (torch.cat([slopes[i].flatten() for i in trunk]) for slopes in each)
        mean, low, high = (g + h) / 2, 0.0, 1.0
        for _ in range(200):  # the least of a convex function of one share
            left, right = low + (high - low) / 3, high - (high - low) / 3
            worth = [
                (w * g + (1 - w) * h) @ mean + 0.7 * mean.norm() * (w * g + (1 - w) * h).norm()
                for w in (left, right)
            ]
            low, high = (low, right) if worth[0] < worth[1] else (left, high)
        worst = low * g + (1 - low) * h
        way = 2 * (mean + 0.7 * mean.norm() * worst / worst.norm())
        for parameter, one, other in zip(both, *each, strict=True):
            parameter.grad = one + other
        for i, part in zip(trunk, way.split([both[i].numel() for i in trunk]), strict=True):
            both[i].grad = part.view_as(both[i])
        set_rate(optimiser, cosine(step, 20))
        optimiser.step()
    ended(run, net, own)
