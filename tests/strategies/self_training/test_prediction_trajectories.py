"""Strategies that learn from their own predictions end where loops of plain torch end."""

import copy
import math

import pytest
import torch
from plain_torch import adamw, annealed, set_rate, unrecorded
from torch import nn
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.strategies.self_training.bnm import Bnm
from transfergrid.strategies.self_training.entropy_minimization import EntropyMinimization
from transfergrid.strategies.self_training.fixmatch import Fixmatch
from transfergrid.strategies.self_training.information_maximization import (
    InformationMaximization,
)
from transfergrid.strategies.self_training.mcc import Mcc
from transfergrid.strategies.self_training.mean_teacher import MeanTeacher
from transfergrid.strategies.self_training.mme import Mme
from transfergrid.strategies.self_training.pseudo_labels import PseudoLabels

STREAMS = ("target", "unlabelled", "source", "views")
BOTH = pytest.mark.parametrize("on", ["images", "tokens"])
SURE = pytest.mark.parametrize(("on", "threshold"), [("images", 0.45), ("tokens", 0.6)])
"""Thresholds that some predictions of these networks pass, and some do not."""
LABELS = pytest.mark.parametrize("labels", [0, 5])


def fit(net, batch):
    """Return the loss of the source's examples and, behind them, the target's, if any."""
    parts = [*batch.source, *([batch.target] if batch.target is not None else [])]
    inputs, labels = (torch.cat([getattr(p, n) for p in parts]) for n in ("inputs", "labels"))
    return cross_entropy(net(inputs), labels)


def ends_where(run, loss):
    """Fail unless plain steps of a loss of (net, batch) end where the run did."""
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        (fit(net, batch) + loss(net, batch)).backward()
        optimiser.step()
    same(run, net)


def said(net, inputs):
    """Return probabilities by the batch's own statistics, which nobody records."""
    return net.head(unrecorded(net, inputs)).softmax(1)


@pytest.mark.proves("trajectory_exact", "entropy_minimization")
@BOTH
@LABELS
def test_entropy_minimization(on, labels):
    def loss(net, batch):
        p = said(net, batch.unlabelled)
        return -0.7 * (p * p.log()).sum() / len(p)

    arguments = {"lr_factor": 0.5, "weight": 0.7}
    ends_where(trajectory(EntropyMinimization, arguments, on, labels=labels), loss)


@pytest.mark.proves("trajectory_exact", "information_maximization")
@BOTH
@LABELS
def test_information_maximization(on, labels):
    def loss(net, batch):
        p = said(net, batch.unlabelled)
        mean = p.mean(0)
        return 0.7 * ((mean * mean.log()).sum() - (p * p.log()).sum(1).mean())

    arguments = {"lr_factor": 0.5, "weight": 0.7}
    ends_where(trajectory(InformationMaximization, arguments, on, labels=labels), loss)


@pytest.mark.proves("trajectory_exact", "bnm")
@BOTH
@LABELS
def test_bnm(on, labels):
    """The nuclear norm is written as the trace of the root of P'P, by its eigenvalues."""

    def loss(net, batch):
        p = said(net, batch.unlabelled)
        return -0.7 * torch.linalg.eigvalsh(p.T @ p).sqrt().sum() / len(p)

    arguments = {"lr_factor": 0.5, "weight": 0.7}
    ends_where(trajectory(Bnm, arguments, on, labels=labels), loss)


@pytest.mark.proves("trajectory_exact", "mcc")
@BOTH
@LABELS
def test_mcc(on, labels):
    """Class by class; the columns are made to shares here, the rows in the product."""

    def loss(net, batch):
        p = (net.head(unrecorded(net, batch.unlabelled)) / 1.5).softmax(1)
        sure = 1 + (p * p.log()).sum(1).exp().detach()
        sure = sure / sure.mean()
        kept = 0.0
        for own in p.unbind(1):
            of_class = [(sure * own * other).sum() for other in p.unbind(1)]
            kept = kept + (sure * own * own).sum() / sum(of_class)
        return 0.7 * (1 - kept / 3)

    arguments = {"lr_factor": 0.5, "weight": 0.7, "temperature": 1.5}
    ends_where(trajectory(Mcc, arguments, on, labels=labels), loss)


def learnt(logits, p, threshold, counted):
    """Return the loss with the classes of the p that are sure; count who is and who is not."""
    total = 0.0
    for own, row in zip(logits, p.tolist(), strict=True):
        sure = max(row) > threshold
        counted[sure] += 1
        if sure:
            total = total - own.log_softmax(0)[row.index(max(row))]
    return total / len(p)


@pytest.mark.proves("trajectory_exact", "pseudo_labels")
@SURE
@LABELS
def test_pseudo_labels(on, threshold, labels):
    counted = {True: 0, False: 0}

    def loss(net, batch):
        logits = net.head(unrecorded(net, batch.unlabelled))
        return 0.7 * learnt(logits, logits.softmax(1), threshold, counted)

    arguments = {"lr_factor": 0.5, "weight": 0.7, "threshold": threshold}
    ends_where(trajectory(PseudoLabels, arguments, on, labels=labels), loss)
    assert min(counted.values()) > 10


@pytest.mark.proves("trajectory_exact", "fixmatch")
@SURE
@LABELS
def test_fixmatch(on, threshold, labels):
    counted = {True: 0, False: 0}

    def loss(net, batch):
        weak, strong = batch.views
        p = net.eval()(weak).softmax(1)
        net.train()
        return 0.7 * learnt(net.head(unrecorded(net, strong)), p, threshold, counted)

    arguments = {"lr_factor": 0.5, "weight": 0.7, "threshold": threshold}
    ends_where(trajectory(Fixmatch, arguments, on, labels, STREAMS), loss)
    assert min(counted.values()) > 10


@pytest.mark.proves("trajectory_exact", "mean_teacher")
@BOTH
@LABELS
def test_mean_teacher(on, labels):
    """The teacher is what is left; its statistics are means of the student's."""
    arguments = {"lr_factor": 0.5, "weight": 2.0, "momentum": 0.8, "warm_up": 0.4}
    run = trajectory(MeanTeacher, arguments, on, labels, STREAMS)
    net = run.net()
    mean = copy.deepcopy(net)
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        set_rate(optimiser, annealed(step, 20))
        optimiser.zero_grad()
        weak, strong = batch.views
        rise = math.exp(-5 * (1 - min(step / 8, 1)) ** 2)
        loss = fit(net, batch)
        apart = (said(net, strong) - said(mean, weak).detach()) ** 2
        (loss + 2.0 * rise * apart.sum() / len(apart)).backward()
        optimiser.step()
        keep = min((step + 1) / (step + 2), 0.8)
        own = net.state_dict()
        for name, value in mean.state_dict().items():
            moves = value.is_floating_point()
            value.copy_(keep * value + (1 - keep) * own[name] if moves else own[name])
    same(run, mean)


class Cosine(nn.Module):
    """Similarities to the rows of W, over a temperature of .5."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, features):
        return features @ self.weight.T / features.square().sum(1, keepdim=True).sqrt() / 0.5


@pytest.mark.proves("trajectory_exact", "mme")
@BOTH
@pytest.mark.parametrize("labels", [0, 5])
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_mme(on, labels, weight):
    """The minimax is written as two gradients: the head climbs what the features descend."""
    run = trajectory(
        Mme, {"lr_factor": 0.5, "weight": weight, "temperature": 0.5}, on, labels=labels
    )
    net = run.net()
    net.head = Cosine(run.start["head.weight"])
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        optimiser.zero_grad()
        fit(net, batch).backward()
        p = said(net, batch.unlabelled)
        unsure = -(p * p.log()).sum() / len(p)
        body = [*net.backbone.parameters()]
        *down, up = torch.autograd.grad(unsure, [*body, net.head.weight])
        for parameter, slope in zip(body, down, strict=True):
            parameter.grad += weight * slope
        net.head.weight.grad -= weight * up
        set_rate(optimiser, annealed(step, 20))
        optimiser.step()
    same(run, net)
