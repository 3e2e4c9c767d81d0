"""Adversaries beside the encoder, and methods without a source: loops of plain torch end alike."""

import copy

import pytest
import torch
from plain_torch import adamw, annealed, set_rate, unrecorded
from torch import nn
from torch.nn.functional import cross_entropy, logsigmoid
from trajectories import same, trajectory

from transfergrid.strategies.adaptation.adda import Adda


def critic_of(run, width, sizes):
    """Return a critic with the weights of the run's start, and their names."""
    layers = [nn.Linear(a, b) for a, b in zip([width, *sizes], [*sizes, 1], strict=True)]
    inside = [part for layer in layers for part in (layer, nn.ReLU())][:-1]
    critic = nn.Sequential(*inside).double()
    (name,) = {n.rpartition(".0.weight")[0] for n in run.start if n.endswith(".0.weight")}
    critic.load_state_dict({n: run.start[f"{name}.{n}"] for n in critic.state_dict()})
    return critic, name


def learn(optimiser, loss, who):
    """Take a step of some parameters alone."""
    optimiser.zero_grad()
    for parameter, slope in zip(who, torch.autograd.grad(loss, who), strict=True):
        parameter.grad = slope
    optimiser.step()


@pytest.mark.proves("trajectory_exact", "adda")
@pytest.mark.parametrize("on", ["images", "tokens"])
def test_adda(on):
    """Eight steps on the source; twelve of a copy that is to look like what the source's sees."""
    run = trajectory(Adda, {"lr_factor": 0.5, "share": 0.4, "hidden": 5}, on)
    net = run.net()
    critic, name = critic_of(run, net.head.in_features, (5, 5))
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches[:8]):
        set_rate(optimiser, annealed(step, 8))
        optimiser.zero_grad()
        cross_entropy(net(batch.source[0].inputs), batch.source[0].labels).backward()
        optimiser.step()
    still, encoder = copy.deepcopy(net).eval(), [*net.backbone.parameters()]
    optimiser = adamw((critic.parameters(), 0.5), (encoder, 0.5))
    for step, batch in enumerate(run.batches[8:]):
        set_rate(optimiser, annealed(step, 12))
        real = critic(still.features(batch.source[0].inputs).detach())
        fake = critic(unrecorded(net, batch.unlabelled).detach())
        loss = -(logsigmoid(real).mean() + (1 - fake.sigmoid()).log().mean()) / 2
        learn(optimiser, loss, [*critic.parameters()])
        fooled = -critic(net.features(batch.unlabelled)).sigmoid().log().mean()
        learn(optimiser, fooled, encoder)
    same(run, {**net.state_dict(), **{f"{name}.{n}": v for n, v in critic.state_dict().items()}})
