"""Learning over episodes ends where loops of plain torch end."""

import copy

import pytest
import torch
from plain_torch import adamw, cosine, set_rate
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cosine_similarity, cross_entropy
from trajectories import same, trajectory

from transfergrid.strategies.few_examples.maml import MAML
from transfergrid.strategies.few_examples.matching_networks import MatchingNetworks
from transfergrid.strategies.few_examples.prototypical_networks import PrototypicalNetworks
from transfergrid.strategies.few_examples.reptile import Reptile
from transfergrid.strategies.few_examples.siamese import Siamese

EPISODE = (3, 5, 4)


def run_of(kind, on, **arguments):
    told = {"lr_factor": 0.5, **arguments}
    return trajectory(kind, told, on, reads=["episode"], episode=EPISODE)


def prototypes(support, labels, query, asked):
    """Squared distances to the means of the support, one by one."""
    means = torch.stack([support[labels == way].mean(0) for way in range(3)])
    return cross_entropy(-(query.unsqueeze(1) - means).pow(2).sum(-1), asked)


def attention(support, labels, query, asked):
    """The probability of a class is the sum of its examples' attention."""
    weights = cosine_similarity(query.unsqueeze(1), support.unsqueeze(0), dim=2).softmax(1)
    right = [row[labels == label].sum() for row, label in zip(weights, asked, strict=True)]
    return -torch.stack(right).log().mean()


def pairs(support, labels, query, asked):
    """Each pair of a query and an example of the support by itself, with a margin of 2."""
    found = []
    for point, own in zip(query, asked, strict=True):
        for other, label in zip(support, labels, strict=True):
            apart = (point - other).norm()
            found.append(apart**2 / 2 if own == label else torch.relu(2.0 - apart) ** 2 / 2)
    return torch.stack(found).mean()


BY_FEATURES = [
    pytest.param(
        PrototypicalNetworks,
        prototypes,
        {},
        marks=pytest.mark.proves("trajectory_exact", "prototypical_networks"),
    ),
    pytest.param(
        MatchingNetworks,
        attention,
        {},
        marks=pytest.mark.proves("trajectory_exact", "matching_networks"),
    ),
    pytest.param(
        Siamese, pairs, {"margin": 2.0}, marks=pytest.mark.proves("trajectory_exact", "siamese")
    ),
]


@pytest.mark.parametrize("on", ["images", "tokens", "texts"])
@pytest.mark.parametrize(("kind", "loss", "arguments"), BY_FEATURES)
def test_features_learned_over_episodes(kind, loss, arguments, on):
    run = run_of(kind, on, queries=4, **arguments)
    net = run.net()
    optimiser = adamw((net.backbone.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        support, query = batch.episode
        features = [net.features(part.inputs) for part in (support, query)]
        set_rate(optimiser, cosine(step, 20))
        optimiser.zero_grad()
        loss(features[0], support.labels, features[1], query.labels).backward()
        optimiser.step()
    state = {name: v for name, v in net.state_dict().items() if name.startswith("backbone.")}
    if kind is PrototypicalNetworks:
        with torch.no_grad():
            seen = net.eval().features(run.target.inputs)
        means = torch.stack([seen[run.target.labels == way].mean(0) for way in range(3)])
        state |= {"head.weight": 2 * means, "head.bias": -means.pow(2).sum(1)}
    same(run, state)


def called(net, weights, inputs, labels):
    """The loss of the network with these weights, as it stands in use."""
    with sdpa_kernel(SDPBackend.MATH):  # which has second derivatives
        return cross_entropy(functional_call(net.eval(), weights, (inputs,)), labels)


def finished(run, net, steps):
    """Let it take its steps on the target's examples."""
    weights = dict(net.named_parameters())
    for _ in range(steps):
        loss = called(net, weights, run.target.inputs, run.target.labels)
        slopes = torch.autograd.grad(loss, list(weights.values()))
        weights = {n: w - 0.1 * s for (n, w), s in zip(weights.items(), slopes, strict=True)}
    return {**net.state_dict(), **{name: value.detach() for name, value in weights.items()}}


@pytest.mark.proves("trajectory_exact", "maml")
@pytest.mark.parametrize("on", ["images", "tokens", "texts"])
@pytest.mark.parametrize("second", [True, False])
def test_a_start_for_few_steps(second, on):
    told = {"inner_lr": 0.1, "inner_steps": 2, "target_steps": 3, "second_order": second}
    run = run_of(MAML, on, queries=4, **told)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        support, query = batch.episode
        weights = dict(net.named_parameters())
        for _ in range(2):
            loss = called(net, weights, support.inputs, support.labels)
            slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            slopes = slopes if second else [slope.detach() for slope in slopes]
            weights = {n: w - 0.1 * s for (n, w), s in zip(weights.items(), slopes, strict=True)}
        set_rate(optimiser, cosine(step, 20))
        optimiser.zero_grad()
        called(net, weights, query.inputs, query.labels).backward()
        optimiser.step()
    same(run, finished(run, net, 3))


@pytest.mark.proves("trajectory_exact", "reptile")
@pytest.mark.parametrize("on", ["images", "tokens", "texts"])
def test_a_start_that_moves_to_where_steps_lead(on):
    run = run_of(Reptile, on, inner_lr=0.1, inner_steps=3, target_steps=2)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        support, other = batch.episode[0], copy.deepcopy(net).eval()
        inner = torch.optim.SGD(other.parameters(), lr=0.1)
        for _ in range(3):
            inner.zero_grad()
            cross_entropy(other(support.inputs), support.labels).backward()
            inner.step()
        for own, reached in zip(net.parameters(), other.parameters(), strict=True):
            own.grad = (own - reached).detach()
        set_rate(optimiser, cosine(step, 20))
        optimiser.step()
    same(run, finished(run, net, 2))


def test_modules_of_the_loops_are_in_training_mode_but_where_they_say_so():
    net = run_of(PrototypicalNetworks, "images", queries=4).net()
    assert all(module.training for module in net.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
