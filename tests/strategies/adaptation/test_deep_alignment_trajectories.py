"""Deep alignments of two domains end where loops of plain torch end."""

import pytest
import torch
from plain_torch import adamw, annealed, set_rate, unrecorded
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.strategies.adaptation.jan import Jan
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
