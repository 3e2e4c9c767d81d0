"""Staged and plain fine-tuning end where loops of plain torch end."""

import pytest
import torch
from plain_torch import adamw, cosine, set_rate
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.gradual_unfreezing import GradualUnfreezing
from transfergrid.strategies.fine_tuning.layerwise_lr import LayerwiseLR
from transfergrid.strategies.fine_tuning.linear_probe_then_finetuning import (
    LinearProbeThenFinetuning,
)

NETWORKS = pytest.mark.parametrize("on", ["images", "tokens", "texts"])


def step_of_all(net, optimiser, batch):
    optimiser.zero_grad()
    cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
    optimiser.step()


@pytest.mark.proves("trajectory_exact", "scratch")
@pytest.mark.proves("trajectory_exact", "full_finetuning")
@pytest.mark.parametrize("kind", [Scratch, FullFinetuning])
@NETWORKS
def test_all_weights_at_one_rate(kind, on):
    run = trajectory(kind, {"lr_factor": 0.5}, on)
    net = run.net()
    optimiser = adamw((net.parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        set_rate(optimiser, cosine(step, 20))
        step_of_all(net, optimiser, batch)
    same(run, net)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_by_sgd_with_a_clipped_gradient(accumulate):
    plan = {"optimizer": "sgd", "gradient_clip": 0.5, "accumulate": accumulate}
    run = trajectory(FullFinetuning, {"lr_factor": 0.5}, "texts", **plan)
    net = run.net()
    optimiser = torch.optim.SGD(
        net.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.05
    )
    for step, batch in enumerate(run.batches):
        optimiser.param_groups[0]["lr"] = 0.02 * 0.5 * cosine(step, 20)
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimiser.step()
    same(run, net)


@pytest.mark.proves("trajectory_exact", "feature_extraction")
@NETWORKS
def test_feature_extraction(on):
    run = trajectory(FeatureExtraction, {"lr_factor": 3.0}, on)
    net = run.net()
    net.backbone.eval().requires_grad_(False)
    optimiser = adamw((net.head.parameters(), 3.0))
    for step, batch in enumerate(run.batches):
        set_rate(optimiser, cosine(step, 20))
        step_of_all(net, optimiser, batch)
    same(run, net)


BLOCKS = {
    "images": (["conv1", "bn1"], ["conv2", "bn2"], ["dense"]),
    "texts": (["words"], ["body"], ["dense"]),
}
"""The layers of each coarse block, from the input on."""


def groups_of(net, on, decay):
    layers = dict(net.backbone.network.named_children())
    blocks = [torch.nn.ModuleList(layers[name] for name in own) for own in BLOCKS[on]]
    factors = [decay**3, decay**2, decay]
    return [(b.parameters(), f) for b, f in zip(blocks, factors, strict=True)], blocks


@pytest.mark.proves("trajectory_exact", "layerwise_lr")
@pytest.mark.parametrize("on", BLOCKS)
def test_layerwise_lr(on):
    run = trajectory(LayerwiseLR, {"lr_factor": 2.0, "decay": 0.4}, on)
    net = run.net()
    optimiser = adamw((net.head.parameters(), 1.0), *groups_of(net, on, 0.4)[0])
    for step, batch in enumerate(run.batches):
        set_rate(optimiser, 2.0 * cosine(step, 20))
        step_of_all(net, optimiser, batch)
    same(run, net)


@pytest.mark.proves("trajectory_exact", "gradual_unfreezing")
@pytest.mark.parametrize("on", BLOCKS)
def test_gradual_unfreezing(on):
    """Four steps of the head alone, then a block more every four steps; all learn in the last 8."""
    run = trajectory(GradualUnfreezing, {"lr_factor": 2.0, "decay": 0.4, "share": 0.6}, on)
    net = run.net()
    groups, blocks = groups_of(net, on, 0.4)
    optimiser = adamw((net.head.parameters(), 1.0), *groups)
    for block in blocks:
        block.eval().requires_grad_(False)
    for step, batch in enumerate(run.batches):
        if step in (4, 8, 12):
            blocks[3 - step // 4].train().requires_grad_(True)
        set_rate(optimiser, 2.0 * cosine(step, 20))
        step_of_all(net, optimiser, batch)
    same(run, net)


@pytest.mark.proves("trajectory_exact", "linear_probe_then_finetuning")
@NETWORKS
def test_linear_probe_then_finetuning(on):
    arguments = {"lr_factor": 3.0, "tuning_lr_factor": 0.5, "share": 0.4}
    run = trajectory(LinearProbeThenFinetuning, arguments, on)
    net = run.net()
    net.backbone.eval().requires_grad_(False)
    optimiser = adamw((net.head.parameters(), 3.0))
    for step, batch in enumerate(run.batches):
        if step == 8:
            net.train().requires_grad_(True)
            optimiser = adamw((net.parameters(), 0.5))
        set_rate(optimiser, cosine(step, 8) if step < 8 else cosine(step - 8, 12))
        step_of_all(net, optimiser, batch)
    same(run, net)
