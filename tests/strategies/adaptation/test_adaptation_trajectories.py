"""Adaptation, and what it is compared with, end where loops of plain torch end."""

import math

import pytest
import torch
from plain_torch import adamw, annealed, set_rate, unrecorded
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize
from trajectories import same, trajectory

from transfergrid.strategies.adaptation.coral import Coral
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial
from transfergrid.strategies.adaptation.mcd import MCD
from transfergrid.strategies.adaptation.shot import SHOT
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly

NETWORKS = pytest.mark.parametrize("on", ["images", "tokens", "texts"])
LABELS = pytest.mark.parametrize("labels", [0, 5])


def labelled(batch):
    """Return the inputs and labels of the source, and behind them those of the target, if any."""
    parts = [*batch.source, *([batch.target] if batch.target is not None else [])]
    return torch.cat([p.inputs for p in parts]), torch.cat([p.labels for p in parts])


@pytest.mark.proves("trajectory_exact", "source_only")
@NETWORKS
def test_source_only(on):
    run = trajectory(SourceOnly, {"lr_factor": 0.5}, on)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        cross_entropy(net(batch.source[0].inputs), batch.source[0].labels).backward()
        optimiser.step()
    same(run, net)


@pytest.mark.proves("trajectory_exact", "source_and_target")
@pytest.mark.parametrize("on", ["images", "tokens"])
def test_source_and_target(on):
    run = trajectory(SourceAndTarget, {"lr_factor": 0.5}, on)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        inputs, labels = labelled(batch)
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        cross_entropy(net(inputs), labels).backward()
        optimiser.step()
    same(run, net)


def covariance(features):
    centred = features - features.mean(0)
    return centred.T @ centred / (len(features) - 1)


@pytest.mark.proves("trajectory_exact", "coral")
@LABELS
@pytest.mark.parametrize("on", ["images", "tokens"])
def test_coral(on, labels):
    run = trajectory(Coral, {"lr_factor": 0.5, "weight": 5.0}, on, labels=labels)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        inputs, classes = labelled(batch)
        features = net.features(inputs)
        other = unrecorded(net, batch.unlabelled)
        apart = covariance(features[: len(batch.source[0].labels)]) - covariance(other)
        loss = cross_entropy(net.head(features), classes)
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        (loss + 5.0 * apart.square().sum() / (4 * features.shape[1] ** 2)).backward()
        optimiser.step()
    same(run, net)


@pytest.mark.proves("trajectory_exact", "domain_adversarial")
@LABELS
@pytest.mark.parametrize("on", ["images", "tokens"])
def test_domain_adversarial(on, labels):
    """The reversal is written as two gradients: features climb what the discriminator descends."""
    arguments = {"lr_factor": 0.5, "weight": 0.7, "gamma": 5.0, "hidden": 4}
    run = trajectory(DomainAdversarial, arguments, on, labels=labels)
    net = run.net()
    own = net.head.in_features
    layers = [nn.Linear(own, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)]
    critic, inside = nn.Sequential(*layers).double(), "scaffold.discriminator."
    critic.load_state_dict({n: run.start[inside + n] for n in critic.state_dict()})
    both = [*net.parameters(), *critic.parameters()]
    optimiser = adamw((both, 0.5))
    for step, batch in enumerate(run.batches):
        inputs, classes = labelled(batch)
        features = net.features(inputs)
        loss = cross_entropy(net.head(features), classes)
        source = features[: len(batch.source[0].labels)]
        other = unrecorded(net, batch.unlabelled)
        said = critic(torch.cat([source, other]))[:, 0]
        truth = torch.cat([torch.ones(len(source)), torch.zeros(len(other))]).double()
        domain = 0.7 * binary_cross_entropy_with_logits(said, truth)
        strength = 2 / (1 + math.exp(-5.0 * step / 20)) - 1
        optimiser.zero_grad()
        loss.backward(retain_graph=True)
        for part, sign in ((net, -strength), (critic, 1.0)):
            slopes = torch.autograd.grad(
                domain, [*part.parameters()], retain_graph=True, allow_unused=True
            )
            for parameter, slope in zip(part.parameters(), slopes, strict=True):
                if slope is not None:
                    parameter.grad = sign * slope + (
                        parameter.grad if parameter.grad is not None else 0
                    )
        set_rate(optimiser, annealed(step, 20))
        optimiser.step()
    same(run, {**net.state_dict(), **{inside + n: v for n, v in critic.state_dict().items()}})


@pytest.mark.proves("trajectory_exact", "mcd")
@LABELS
def test_mcd(labels):
    run = trajectory(MCD, {"lr_factor": 0.5, "repeat": 3}, labels=labels)
    net, second = run.net(), nn.Linear(12, 3).double()
    second.load_state_dict({n: run.start[f"second.{n}"] for n in ("weight", "bias")})
    heads, body = [*net.head.parameters(), *second.parameters()], [*net.backbone.parameters()]
    optimiser = adamw((heads + body, 0.5))

    def learn(loss, who):
        for parameter in heads + body:
            parameter.grad = None
        for parameter, slope in zip(who, torch.autograd.grad(loss, who), strict=True):
            parameter.grad = slope
        optimiser.step()

    def of_labels(batch):
        inputs, classes = labelled(batch)
        features = net.features(inputs)
        return cross_entropy(net.head(features), classes) + cross_entropy(second(features), classes)

    def apart(batch):
        features = unrecorded(net, batch.unlabelled)
        return (net.head(features).softmax(1) - second(features).softmax(1)).abs().mean()

    for step, batch in enumerate(run.batches):
        set_rate(optimiser, annealed(step, 20))
        learn(of_labels(batch), heads + body)
        learn(of_labels(batch) - apart(batch), heads)
        for _ in range(3):
            learn(apart(batch), body)
    same(run, {**net.state_dict(), **{f"second.{n}": v for n, v in second.state_dict().items()}})


def nearest_centroids(net, inputs):
    """Return the pseudo labels of section 3.3: weighted centroids, then once more by labels."""
    net.eval()
    with torch.no_grad():
        features = net.features(inputs)
        said = net.head(features).softmax(1)
    net.train()
    long = normalize(torch.cat([features, torch.ones(len(features), 1).double()], 1))
    labels = said.argmax(1)
    for _ in range(2):
        there = [k for k in range(3) if (labels == k).any()]
        centres = normalize(torch.stack([(said[:, k, None] * long).sum(0) for k in there]))
        labels = torch.tensor(there)[(long @ centres.T).argmax(1)]
        said = nn.functional.one_hot(labels, 3).double()
    return labels


@pytest.mark.proves("trajectory_exact", "shot")
@pytest.mark.parametrize("on", ["images", "tokens"])
def test_shot(on):
    """Ten steps on the source, labels smoothed; ten on the target, labelled anew every other."""
    run = trajectory(SHOT, {"lr_factor": 0.5, "weight": 0.4, "share": 0.5}, on)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches[:10]):
        set_rate(optimiser, annealed(step, 10))
        optimiser.zero_grad()
        own = batch.source[0]
        cross_entropy(net(own.inputs), own.labels, label_smoothing=0.1).backward()
        optimiser.step()
    optimiser = adamw((net.backbone.parameters(), 0.5))
    for step, batch in enumerate(run.batches[10:]):
        if step % 2 == 0:
            pseudo = nearest_centroids(net, run.unlabelled)
        logits = net(batch.unlabelled)
        said, mean = logits.softmax(1), logits.softmax(1).mean(0)
        sure = -(said * said.log()).sum(1).mean() + (mean * mean.log()).sum()
        set_rate(optimiser, annealed(step, 10))
        optimiser.zero_grad()
        (sure + 0.4 * cross_entropy(logits, pseudo[batch.rows])).backward()
        optimiser.step()
    same(run, net)
    assert torch.equal(run.end["scaffold.pseudo"], pseudo)
