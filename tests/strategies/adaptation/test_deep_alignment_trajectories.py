"""Deep alignments of two domains end where loops of plain torch end."""

import math

import numpy as np
import pytest
import torch
from plain_torch import adamw, annealed, set_rate, unrecorded
from scipy.optimize import linprog
from torch import nn
from torch.nn.functional import cross_entropy, logsigmoid
from trajectories import same, trajectory

from transfergrid.strategies.adaptation.bsp import Bsp
from transfergrid.strategies.adaptation.cdan import Cdan
from transfergrid.strategies.adaptation.deep_jdot import DeepJdot
from transfergrid.strategies.adaptation.domain_confusion import DomainConfusion
from transfergrid.strategies.adaptation.jan import Jan
from transfergrid.strategies.adaptation.mdd import Mdd
from transfergrid.strategies.adaptation.mmd import Mmd

LABELS = pytest.mark.parametrize("labels", [0, 5])
NETWORKS = pytest.mark.parametrize("on", ["images", "tokens"])


def labelled(batch):
    """Return the inputs and labels of the source, and behind them those of the target, if any."""
    parts = [*batch.source, *([batch.target] if batch.target is not None else [])]
    return torch.cat([p.inputs for p in parts]), torch.cat([p.labels for p in parts])


def sum_of_kernels(points, multiples):
    near = (points[:, None] - points[None]).square().sum(2)
    return sum((-near / (2 * a * near.mean().detach())).exp() for a in multiples)


def contrast(kernel, n, estimator):
    """Return sum c_ij k_ij, each estimator being other weights c of the pairs."""
    m = len(kernel) - n
    within = torch.block_diag(torch.ones(n, n) / n**2, torch.ones(m, m) / m**2).double()
    weights = within.clone()
    if estimator == "unbiased":
        weights[:n, :n] *= n / (n - 1)
        weights[n:, n:] *= m / (m - 1)
        weights.fill_diagonal_(0)
    weights[:n, n:] = weights[n:, :n] = -1 / (n * m)
    return (weights * kernel).sum()


@pytest.mark.proves("trajectory_exact", "mmd")
@LABELS
@NETWORKS
@pytest.mark.parametrize(("estimator", "layers"), [("unbiased", "features"), ("biased", "both")])
def test_mmd(on, labels, estimator, layers):
    own = {"weight": 2.0, "multiples": [0.5, 2.0], "estimator": estimator, "layers": layers}
    run = trajectory(Mmd, {"lr_factor": 0.5, **own}, on, labels=labels)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        inputs, classes = labelled(batch)
        features, n = net.features(inputs), len(batch.source[0].labels)
        both = torch.cat([features[:n], unrecorded(net, batch.unlabelled)])
        apart = contrast(sum_of_kernels(both, [0.5, 2.0]), n, estimator)
        if layers == "both":
            apart = apart + contrast(sum_of_kernels(net.head(both), [0.5, 2.0]), n, estimator)
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        (cross_entropy(net.head(features), classes) + 2.0 * apart).backward()
        optimiser.step()
    same(run, net)


@pytest.mark.proves("trajectory_exact", "jan")
@LABELS
@NETWORKS
def test_jan(on, labels):
    own = {"weight": 2.0, "multiples": [0.5, 2.0], "sigma": 0.3}
    run = trajectory(Jan, {"lr_factor": 0.5, **own}, on, labels=labels)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        inputs, classes = labelled(batch)
        features, n = net.features(inputs), len(batch.source[0].labels)
        both = torch.cat([features[:n], unrecorded(net, batch.unlabelled)])
        said = net.head(both).softmax(1)
        near = (said[:, None] - said[None]).square().sum(2)
        joint = sum_of_kernels(both, [0.5, 2.0]) * (-near / (2 * 0.09)).exp()
        loss = cross_entropy(net.head(features), classes) + 2.0 * contrast(joint, n, "unbiased")
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    same(run, net)


def critic_of(run, wide, outputs=1):
    """Return the discriminator as it starts, with the names of its tensors in the strategy."""
    layers = [nn.Linear(wide, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, outputs)]
    critic, inside = nn.Sequential(*layers).double(), "scaffold.discriminator."
    critic.load_state_dict({n: run.start[inside + n] for n in critic.state_dict()})
    return critic


def learn(optimiser, loss, domain, body, critic, strength):
    """Step: all descend the loss, the critic descends the domain loss, the body climbs it."""
    optimiser.zero_grad()
    (loss + 0 * domain).backward(retain_graph=True)
    for part, sign in ((body, -strength), (critic, 1.0)):
        own = [*part.parameters()]
        for parameter, slope in zip(
            own, torch.autograd.grad(domain, own, retain_graph=True), strict=True
        ):
            parameter.grad += sign * slope
    optimiser.step()


def strength_at(step, gamma):
    return 2 / (1 + math.exp(-gamma * step / 20)) - 1


def whole(net, critic):
    return {
        **net.state_dict(),
        **{f"scaffold.discriminator.{n}": v for n, v in critic.state_dict().items()},
    }


@pytest.mark.proves("trajectory_exact", "cdan")
@LABELS
@pytest.mark.parametrize(
    ("on", "entropy", "randomised"),
    [
        ("images", None, None),
        ("tokens", "per_domain", None),
        ("images", "joint", None),
        ("images", "per_domain", 6),
    ],
)
def test_cdan(on, labels, entropy, randomised):
    own = {"weight": 0.7, "gamma": 5.0, "hidden": 4, "entropy": entropy, "randomised": randomised}
    run = trajectory(Cdan, {"lr_factor": 0.5, **own}, on, labels=labels)
    net = run.net()
    critic = critic_of(run, randomised or 3 * net.head.in_features)
    maps = [run.start[f"scaffold.of_{n}"] for n in ("features", "classes")] if randomised else None
    optimiser = adamw(([*net.parameters(), *critic.parameters()], 0.5))
    for step, batch in enumerate(run.batches):
        inputs, classes = labelled(batch)
        features, n = net.features(inputs), len(batch.source[0].labels)
        both = torch.cat([features[:n], unrecorded(net, batch.unlabelled)])
        said = net.head(both).softmax(1).detach()
        if randomised:
            seen = (both @ maps[0]) * (said @ maps[1]) / math.sqrt(6)
        else:
            seen = torch.cat([said[:, k, None] * both for k in range(3)], 1)
        sure = 1 + (said * said.log()).sum(1).exp() if entropy else torch.ones(len(both)).double()
        if entropy == "per_domain":
            share = torch.cat([sure[:n] / sure[:n].sum() / 2, sure[n:] / sure[n:].sum() / 2])
        else:
            share = sure / sure.sum()
        truth = critic(seen)[:, 0] * torch.cat([torch.ones(n), -torch.ones(len(both) - n)]).double()
        domain = -0.7 * (share * logsigmoid(truth)).sum()
        set_rate(optimiser, annealed(step, 20))
        loss = cross_entropy(net.head(features), classes)
        learn(optimiser, loss, domain, net.backbone, critic, strength_at(step, 5.0))
    same(run, whole(net, critic))
    if randomised:
        assert all(torch.equal(run.end[n], run.start[n]) for n in run.end if "scaffold.of" in n)


@pytest.mark.proves("trajectory_exact", "bsp")
@LABELS
@pytest.mark.parametrize(
    ("on", "base"), [("images", "domain_adversarial"), ("tokens", "cdan"), ("images", "cdan")]
)
def test_bsp(on, labels, base):
    """The k largest eigenvalues of F F' are the squares of the k largest singular values of F."""
    own = {"weight": 0.7, "gamma": 5.0, "hidden": 4, "base": base, "penalty": 0.03, "k": 2}
    run = trajectory(Bsp, {"lr_factor": 0.5, **own}, on, labels=labels)
    net = run.net()
    critic = critic_of(run, (3 if base == "cdan" else 1) * net.head.in_features)
    optimiser = adamw(([*net.parameters(), *critic.parameters()], 0.5))
    for step, batch in enumerate(run.batches):
        inputs, classes = labelled(batch)
        features, n = net.features(inputs), len(batch.source[0].labels)
        both = torch.cat([features[:n], unrecorded(net, batch.unlabelled)])
        said = net.head(both).softmax(1).detach()
        seen = torch.cat([said[:, k, None] * both for k in range(3)], 1) if base == "cdan" else both
        truth = critic(seen)[:, 0] * torch.cat([torch.ones(n), -torch.ones(len(both) - n)]).double()
        strong = [torch.linalg.eigvalsh(f @ f.T)[-2:].sum() for f in (both[:n], both[n:])]
        loss = cross_entropy(net.head(features), classes) + 0.03 * sum(strong)
        set_rate(optimiser, annealed(step, 20))
        domain = -0.7 * logsigmoid(truth).mean()
        learn(optimiser, loss, domain, net.backbone, critic, strength_at(step, 5.0))
    same(run, whole(net, critic))


@pytest.mark.proves("trajectory_exact", "domain_confusion")
@LABELS
@NETWORKS
def test_domain_confusion(on, labels):
    """The network's step, then the critic's on the features that it left."""
    run = trajectory(DomainConfusion, {"lr_factor": 0.5, "weight": 0.8, "hidden": 4}, on, labels)
    net = run.net()
    critic = critic_of(run, net.head.in_features, outputs=2)
    learns, judges = adamw((net.parameters(), 0.5)), adamw((critic.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        inputs, classes = labelled(batch)
        features, n = net.features(inputs), len(batch.source[0].labels)
        both = torch.cat([features[:n], unrecorded(net, batch.unlabelled)])
        uniform = torch.full((len(both), 2), 0.5).double()
        loss = cross_entropy(net.head(features), classes) + 0.8 * cross_entropy(
            critic(both), uniform
        )
        set_rate(learns, annealed(step, 20))
        learns.zero_grad()
        loss.backward()
        learns.step()
        both = torch.cat([unrecorded(net, inputs)[:n], unrecorded(net, batch.unlabelled)])
        domains = torch.tensor([0] * n + [1] * (len(both) - n))
        set_rate(judges, annealed(step, 20))
        judges.zero_grad()
        cross_entropy(critic(both.detach()), domains).backward()
        judges.step()
    same(run, whole(net, critic))


@pytest.mark.proves("trajectory_exact", "deep_jdot")
@LABELS
@pytest.mark.parametrize(
    ("on", "plan"),
    [("images", "cross_entropy"), ("tokens", "cross_entropy"), ("images", "squared_error")],
)
def test_deep_jdot(on, labels, plan):
    """The plan as a linear programme over all transports."""
    own = {"weight": 0.6, "alpha": 0.05, "plan": plan}
    run = trajectory(DeepJdot, {"lr_factor": 0.5, **own}, on, labels=labels)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        inputs, classes = labelled(batch)
        features, n = net.features(inputs), len(batch.source[0].labels)
        other = unrecorded(net, batch.unlabelled)
        logits, m = net.head(other), len(other)
        said = logits.softmax(1)
        near = (features[:n, None] - other[None]).square().sum(2)
        log_loss = torch.stack([-said[:, k].log() for k in classes[:n]])
        true = torch.eye(3).double()[classes[:n]]
        squares = (true[:, None] - said[None]).square().sum(2)
        told = 0.05 * near + (log_loss if plan == "cross_entropy" else squares)
        rows, columns = np.repeat(np.eye(n), m, 1), np.tile(np.eye(m), n)
        sums = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
        found = linprog(
            told.detach().numpy().ravel(), A_eq=np.concatenate([rows, columns]), b_eq=sums
        )
        cost = torch.from_numpy(found.x.reshape(n, m)) * (0.05 * near + log_loss)
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        (cross_entropy(net.head(features), classes) + 0.6 * cost.sum()).backward()
        optimiser.step()
    same(run, net)


@pytest.mark.proves("trajectory_exact", "mdd")
@LABELS
@NETWORKS
def test_mdd(on, labels):
    own = {"weight": 0.6, "margin": 3.0, "reversal": 0.5, "ramp": 5.0}
    run = trajectory(Mdd, {"lr_factor": 0.5, **own}, on, labels=labels)
    net = run.net()
    second, inside = nn.Linear(net.head.in_features, 3).double(), "scaffold.second."
    second.load_state_dict({n: run.start[inside + n] for n in ("weight", "bias")})
    optimiser = adamw(([*net.parameters(), *second.parameters()], 0.5))
    for step, batch in enumerate(run.batches):
        inputs, classes = labelled(batch)
        features, n = net.features(inputs), len(batch.source[0].labels)
        both = torch.cat([features[:n], unrecorded(net, batch.unlabelled)])
        said = net.head(both).argmax(1)
        p = second(both).softmax(1)[range(len(both)), said]
        apart = 0.6 * (-3.0 * p[:n].log().mean() - (1 - p[n:]).log().mean())
        set_rate(optimiser, annealed(step, 20))
        loss = cross_entropy(net.head(features), classes)
        learn(optimiser, loss, apart, net.backbone, second, 0.5 * strength_at(step, 5.0))
    same(run, {**net.state_dict(), **{inside + n: v for n, v in second.state_dict().items()}})
