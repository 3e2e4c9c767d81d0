"""Strategies of several sources end where loops of plain torch end."""

import pytest
import torch
from plain_torch import adamw, annealed, set_rate, unrecorded
from torch import nn
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.strategies.several_sources.m3sda import M3sda
from transfergrid.strategies.several_sources.mdan import Mdan
from transfergrid.strategies.several_sources.weighted_sources import WeightedSources

LABELS = pytest.mark.parametrize("labels", [0, 5])
NETWORKS = pytest.mark.parametrize("on", ["images", "tokens"])


def passed(net, batch):
    """Return features and losses of each source, and loss and size of the target, of one pass."""
    parts = [*batch.source, *([batch.target] if batch.target is not None else [])]
    features = net.features(torch.cat([p.inputs for p in parts])).split(
        [len(p.labels) for p in parts]
    )
    losses = [cross_entropy(net.head(f), p.labels) for f, p in zip(features, parts, strict=True)]
    many = len(batch.source)
    own = (losses[many], len(parts[many].labels)) if len(parts) > many else (0.0, 0)
    return features[:many], torch.stack(losses[:many]), own


def joined(loss, own, size=8):
    return (size * loss + own[1] * own[0]) / (size + own[1])


@pytest.mark.proves("trajectory_exact", "m3sda")
@LABELS
@NETWORKS
def test_m3sda(on, labels):
    run = trajectory(M3sda, {"lr_factor": 0.5, "weight": 0.3}, on, labels=labels)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        (one, two), losses, own = passed(net, batch)
        other = unrecorded(net, batch.unlabelled)
        far = 0.0
        for k in (1, 2):
            m = [(x**k).mean(0) for x in (one, two, other)]
            norms = [(m[i] - m[j]).square().sum().sqrt() for i, j in ((0, 2), (1, 2), (0, 1))]
            far = far + (norms[0] + norms[1]) / 2 + norms[2]
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        (joined(losses.mean(), own) + 0.3 * far).backward()
        optimiser.step()
    same(run, net)


@pytest.mark.proves("trajectory_exact", "mdan")
@LABELS
@NETWORKS
def test_mdan(on, labels):
    """Two gradients instead of reversals: features climb what the discriminators descend."""
    arguments = {"lr_factor": 0.5, "weight": 0.4, "gamma": 2.0, "hidden": 4}
    run = trajectory(Mdan, arguments, on, labels=labels)
    net, inside = run.net(), "scaffold.discriminators."
    dim = net.head.in_features

    def critic():
        layers = [nn.Linear(dim, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)]
        return nn.Sequential(*layers).double()

    critics = nn.ModuleList([critic(), critic()])
    critics.load_state_dict({n: run.start[inside + n] for n in critics.state_dict()})
    optimiser = adamw(([*net.parameters(), *critics.parameters()], 0.5))
    for step, batch in enumerate(run.batches):
        features, losses, own = passed(net, batch)
        other = unrecorded(net, batch.unlabelled)
        d = torch.stack(
            [
                -c(f).sigmoid().log().mean() - (1 - c(other).sigmoid()).log().mean()
                for c, f in zip(critics, features, strict=True)
            ]
        )
        weights = (2.0 * (losses + 0.4 * d)).softmax(0).detach()
        descended = joined(weights @ (losses + 0.4 * d), own)
        climbed = joined(weights @ (losses - 0.4 * d), own)
        optimiser.zero_grad()
        slopes = torch.autograd.grad(descended, [*critics.parameters()], retain_graph=True)
        climbed.backward()
        for parameter, slope in zip(critics.parameters(), slopes, strict=True):
            parameter.grad = slope
        set_rate(optimiser, annealed(step, 20))
        optimiser.step()
    same(run, {**net.state_dict(), **{inside + n: v for n, v in critics.state_dict().items()}})


@pytest.mark.proves("trajectory_exact", "weighted_sources")
@LABELS
@NETWORKS
def test_weighted_sources(on, labels):
    run = trajectory(WeightedSources, {"lr_factor": 0.5, "temperature": 0.5}, on, labels=labels)
    alpha = run.end["scaffold.alpha"].double()
    assert not torch.equal(alpha, run.start["scaffold.alpha"]), "they were scored"
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        _, losses, own = passed(net, batch)
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        joined(alpha[0] * losses[0] + alpha[1] * losses[1], own).backward()
        optimiser.step()
    same(run, net)
