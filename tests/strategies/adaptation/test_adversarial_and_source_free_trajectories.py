"""Adversaries beside the encoder, and methods without a source: loops of plain torch end alike."""

import copy

import pytest
import torch
from plain_torch import adamw, annealed, set_rate, unrecorded
from step_seeds import seed
from torch import nn
from torch.nn.functional import cross_entropy, logsigmoid
from trajectories import same, trajectory

from transfergrid.strategies.adaptation.adda import Adda
from transfergrid.strategies.adaptation.afn import Afn
from transfergrid.strategies.adaptation.tent import Tent
from transfergrid.strategies.adaptation.wdgrl import Wdgrl
from transfergrid.testing.bench import SEED


def labelled(batch):
    """Return the inputs and labels of the source, and behind them those of the target, if any."""
    parts = [*batch.source, *([batch.target] if batch.target is not None else [])]
    return torch.cat([p.inputs for p in parts]), torch.cat([p.labels for p in parts])


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
    told = {"lr_factor": 0.5, "share": 0.4, "adapt_rate": 0.6, "hidden": 5}
    run = trajectory(Adda, told, on)
    net = run.net()
    critic, name = critic_of(run, net.head.in_features, (5, 5))
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches[:8]):
        set_rate(optimiser, annealed(step, 8))
        optimiser.zero_grad()
        cross_entropy(net(batch.source[0].inputs), batch.source[0].labels).backward()
        optimiser.step()
    still, encoder = copy.deepcopy(net).eval(), [*net.backbone.parameters()]
    optimiser = adamw((critic.parameters(), 0.3), (encoder, 0.3))
    for step, batch in enumerate(run.batches[8:]):
        set_rate(optimiser, annealed(step, 12))
        real = critic(still.features(batch.source[0].inputs).detach())
        fake = critic(unrecorded(net, batch.unlabelled).detach())
        loss = -(logsigmoid(real).mean() + (1 - fake.sigmoid()).log().mean()) / 2
        learn(optimiser, loss, [*critic.parameters()])
        fooled = -critic(net.features(batch.unlabelled)).sigmoid().log().mean()
        learn(optimiser, fooled, encoder)
    same(run, {**net.state_dict(), **{f"{name}.{n}": v for n, v in critic.state_dict().items()}})


@pytest.mark.proves("trajectory_exact", "wdgrl")
@pytest.mark.parametrize("labels", [0, 5])
@pytest.mark.parametrize("on", ["images", "tokens"])
def test_wdgrl(on, labels):
    """Points are drawn after each step's seed, which nothing else has drawn from: no dropout."""
    told = {"lr_factor": 0.5, "weight": 0.7, "penalty": 3.0, "steps": 2, "hidden": 4}
    run = trajectory(Wdgrl, told, on, labels=labels)
    net = run.net()
    critic, name = critic_of(run, net.head.in_features, (4, 4))
    body, own = [*net.parameters()], [*critic.parameters()]
    optimiser = adamw((body, 0.5), (own, 0.5))
    for step, batch in enumerate(run.batches):
        set_rate(optimiser, annealed(step, 20))
        inputs, classes = labelled(batch)
        features, seen = net.features(inputs), batch.source[0].inputs
        apart = (
            critic(features[: len(seen)]).mean() - critic(unrecorded(net, batch.unlabelled)).mean()
        )
        learn(optimiser, cross_entropy(net.head(features), classes) + 0.7 * apart, body)
        torch.manual_seed(seed(SEED, "dropout", step))
        for _ in range(2):
            real, fake = (unrecorded(net, x).detach() for x in (seen, batch.unlabelled))
            mix = torch.rand(len(real), 1, dtype=torch.float64)
            points = torch.cat([mix * real + (1 - mix) * fake, real, fake]).requires_grad_()
            (slope,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
            held = ((slope.norm(dim=1) - 1) ** 2).mean()
            learn(optimiser, 3.0 * held - critic(real).mean() + critic(fake).mean(), own)
    same(run, {**net.state_dict(), **{f"{name}.{n}": v for n, v in critic.state_dict().items()}})


@pytest.mark.proves("trajectory_exact", "afn")
@pytest.mark.parametrize("labels", [0, 5])
@pytest.mark.parametrize("form", ["stepwise", "hard"])
def test_afn(form, labels):
    """The gradient alone: along each feature, by its own step or by how far their mean is."""
    told = {"lr_factor": 0.5, "weight": 0.3, "delta": 0.8, "radius": 6.0, "limit": 0.7}
    run = trajectory(Afn, {**told, "form": form}, labels=labels)
    net = run.net()
    optimiser, stopped = adamw((net.parameters(), 0.5)), 0
    for step, batch in enumerate(run.batches):
        inputs, classes = labelled(batch)
        features = net.features(inputs)
        parts = (features[: len(batch.source[0].labels)], unrecorded(net, batch.unlabelled))
        loss = cross_entropy(net.head(features), classes)
        for part in parts:
            norms = part.norm(dim=1)
            small = norms.detach() < 0.7 * features.shape[1] ** 0.5
            stopped += int((~small).sum())
            pull = -2 * 0.8 * small / len(part)
            if form == "hard":
                pull = 2 * (norms.detach().mean() - 6.0) / len(part)
            loss = loss + 0.3 * (pull * norms).sum()
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    same(run, net)
    assert 0 < stopped < 20 * 16  # some have come to the end, and not all


@pytest.mark.proves("trajectory_exact", "tent")
@pytest.mark.parametrize(("passes", "steps"), [(1, 7), (4, 20)])
def test_tent(passes, steps):
    """Sixty inputs in batches of eight; then statistics of all of them, at the last weights."""
    run = trajectory(Tent, {"lr_factor": 0.5, "passes": passes})
    net = run.net()
    layers = net.backbone.network
    own = [*layers.bn1.parameters(), *layers.bn2.parameters()]
    optimiser = torch.optim.AdamW(own, lr=0.01, weight_decay=0)
    for batch in run.batches[:steps]:
        said = net(batch.unlabelled).softmax(1)
        learn(optimiser, -(said * said.log()).sum() / len(said), own)
    whole = copy.deepcopy(layers)
    whole.bn1.momentum = whole.bn2.momentum = 1.0
    whole(run.unlabelled)
    for norm, taken in ((layers.bn1, whole.bn1), (layers.bn2, whole.bn2)):
        norm.running_mean, norm.running_var = taken.running_mean, taken.running_var
    same(run, net)
