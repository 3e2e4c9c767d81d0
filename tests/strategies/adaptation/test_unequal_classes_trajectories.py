"""Adaptation between domains of unequal classes ends where loops of plain torch end."""

import math

import pytest
import torch
from plain_torch import adamw, annealed, set_rate, unrecorded
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from trajectories import same, trajectory

from transfergrid.strategies.adaptation.iwan import Iwan
from transfergrid.strategies.adaptation.osbp import Osbp
from transfergrid.strategies.adaptation.pada import Pada

LABELS = pytest.mark.parametrize("labels", [0, 5])
NETWORKS = pytest.mark.parametrize("on", ["images", "tokens"])


def labelled(batch):
    """Return the inputs and labels of the source, and behind them those of the target, if any."""
    parts = [*batch.source, *([batch.target] if batch.target is not None else [])]
    return torch.cat([p.inputs for p in parts]), torch.cat([p.labels for p in parts])


def critic_of(run, name):
    """Return a discriminator of width 4 as the run began with it."""
    layers = [nn.Linear(run.head.in_features, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU()]
    critic = nn.Sequential(*layers, nn.Linear(4, 1)).double()
    critic.load_state_dict({n: run.start[f"scaffold.{name}.{n}"] for n in critic.state_dict()})
    return critic


def state_of(critic, name):
    return {f"scaffold.{name}.{n}": value for n, value in critic.state_dict().items()}


def ramp(step):
    return 2 / (1 + math.exp(-5.0 * step / 20)) - 1


def told_apart(critic, source, target, weights):
    said = critic(torch.cat([source, target]))[:, 0]
    truth = torch.cat([torch.ones(len(source)), torch.zeros(len(target))]).double()
    each = binary_cross_entropy_with_logits(said, truth, reduction="none")
    return (each * torch.cat([weights, torch.ones(len(target)).double()])).mean()


def learn(parts, losses, optimiser):
    """Take a step; each loss has a factor for each of the parts, by which its gradient counts."""
    optimiser.zero_grad()
    for loss, factors in losses:
        for part, factor in zip(parts, factors, strict=True):
            own = [*part.parameters()]
            slopes = torch.autograd.grad(loss, own, retain_graph=True, allow_unused=True)
            for parameter, slope in zip(own, slopes, strict=True):
                if slope is not None and factor is not None:
                    before = 0 if parameter.grad is None else parameter.grad
                    parameter.grad = before + factor * slope
    optimiser.step()


@pytest.mark.proves("trajectory_exact", "pada")
@LABELS
@NETWORKS
def test_pada(on, labels):
    """Its weights are 1 for six steps, and then of what is said of the whole target."""
    told = {"lr_factor": 0.5, "weight": 0.7, "temperature": 0.4, "gamma": 5.0, "hidden": 4}
    run = trajectory(Pada, told | {"wait": 0.3, "every": 0.43}, on, labels=labels)
    net, critic, classes = run.net(), critic_of(run, "discriminator"), torch.ones(5).double()
    optimiser = adamw(([*net.parameters(), *critic.parameters()], 0.5))
    for step, batch in enumerate(run.batches):
        if step in (6, 12, 18):
            net.eval()
            with torch.no_grad():
                mean = (net(run.unlabelled) / 0.4).softmax(1).mean(0)
            classes = mean / mean.max()
            net.train()
        inputs, y = labelled(batch)
        weights = classes[y].clone()
        n = len(batch.source[0].labels)
        weights[n:] = 1.0
        features = net.features(inputs)
        own = cross_entropy(net.head(features), y, reduction="none")
        other = unrecorded(net, batch.unlabelled)
        domain = 0.7 * told_apart(critic, features[:n], other, weights[:n])
        set_rate(optimiser, annealed(step, 20))
        losses = [((weights * own).sum() / weights.sum(), (1, None)), (domain, (-ramp(step), 1))]
        learn((net, critic), losses, optimiser)
    kept = {"scaffold.weights": classes}
    same(run, net.state_dict() | state_of(critic, "discriminator") | kept)


@pytest.mark.proves("trajectory_exact", "iwan")
@LABELS
@NETWORKS
def test_iwan(on, labels):
    told = {"lr_factor": 0.5, "weight": 2.0, "entropy": 0.3, "gamma": 5.0, "hidden": 4}
    run = trajectory(Iwan, told, on, labels=labels)
    net, first, second = run.net(), critic_of(run, "weighs"), critic_of(run, "meets")
    parts = (net, first, second)
    optimiser = adamw(([p for part in parts for p in part.parameters()], 0.5))
    for step, batch in enumerate(run.batches):
        inputs, y = labelled(batch)
        features, n = net.features(inputs), len(batch.source[0].labels)
        loss = cross_entropy(net.head(features), y)
        other = unrecorded(net, batch.unlabelled)
        p = net.head(other).softmax(1)
        loss = loss - 0.3 * (p * p.log()).sum(1).mean()
        source = features[:n]
        unlike = 1 - first(source.detach())[:, 0].sigmoid().detach()
        alone = told_apart(first, source.detach(), other.detach(), torch.ones(n).double())
        domain = 2.0 * told_apart(second, source, other, unlike / unlike.mean())
        losses = [(loss, (1, None, None)), (alone, (None, 1, None))]
        set_rate(optimiser, annealed(step, 20))
        learn(parts, [*losses, (domain, (-ramp(step), None, 1))], optimiser)
    same(run, net.state_dict() | state_of(first, "weighs") | state_of(second, "meets"))


@pytest.mark.proves("trajectory_exact", "osbp")
@NETWORKS
def test_osbp(on):
    run = trajectory(Osbp, {"lr_factor": 0.5, "weight": 0.6, "t": 0.4}, on)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        loss = cross_entropy(net(batch.source[0].inputs), batch.source[0].labels)
        p = net.head(unrecorded(net, batch.unlabelled)).softmax(1)[:, -1]
        drawn = -(0.4 * p.log() + 0.6 * (1 - p).log()).mean()
        set_rate(optimiser, annealed(step, 20))
        parts = (net.backbone, net.head)
        learn(parts, [(loss, (1, 1)), (0.6 * drawn, (-1, 1))], optimiser)
    same(run, net)
