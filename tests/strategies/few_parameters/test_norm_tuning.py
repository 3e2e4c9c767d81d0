"""Scales and shifts of norm layers learn, and the head (Frankle et al. 2021)."""

import math

import pytest
import timm
import torch
import torchvision
import transformers
from torch import nn
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.errors import ImpossibleError
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.strategies.few_parameters.norm_tuning import NormTuning
from transfergrid.strategies.few_parameters.parts import norms_of
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench


def rate(step):
    """Linear warm-up over the first of 20 steps, then half a cosine to zero."""
    return 0.05 if not step else 0.5 * (1 + math.cos(math.pi * (step / 20 - 0.05) / 0.95))


@pytest.mark.proves("formula_exact", "norm_tuning")
def test_the_parameters_of_norms_are_counted():
    _, expected, _ = golden("norm_tuning", "counts")
    with torch.device("meta"):
        config = transformers.BertConfig(
            hidden_size=384, num_hidden_layers=6, intermediate_size=8, vocab_size=9
        )
        networks = [
            torchvision.models.resnet18(),
            transformers.BertModel(config),
            timm.create_model("vit_small_patch16_224", num_classes=0),
        ]
    assert [sum(p.numel() for p in norms_of(net)) for net in networks] == expected["counts"]


def test_norms_of_any_library_are_norms():
    class OwnRMSNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(5))

    parts = [nn.GroupNorm(2, 4), nn.RMSNorm(3), OwnRMSNorm(), timm.layers.BatchNormAct2d(6)]
    without = nn.LayerNorm(9, elementwise_affine=False)
    own = norms_of(nn.Sequential(*parts, nn.Linear(7, 7), without))
    assert [p.numel() for p in own] == [4, 4, 3, 5, 6, 6]


@pytest.mark.proves("trajectory_exact", "norm_tuning")
@pytest.mark.parametrize("on", ["images", "texts"])
@pytest.mark.parametrize("statistics", ["move", "kept"])
def test_it_ends_where_plain_torch_ends(on, statistics):
    run = trajectory(NormTuning, {"lr_factor": 2.0, "statistics": statistics}, on)
    net = run.net()
    layers = net.backbone.network
    norms = [layers["body"][1]] if on == "texts" else [layers.bn1, layers.bn2]
    if statistics == "kept":
        for norm in norms:
            norm.eval()
    groups = [
        {"params": net.head.parameters(), "weight_decay": 0.05},
        {"params": [p for norm in norms for p in norm.parameters()], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups)
    for step, batch in enumerate(run.batches):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * 2.0 * rate(step)
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    same(run, net)


@pytest.mark.parametrize("statistics", ["move", "kept"])
def test_all_else_keeps_its_bits(statistics):
    bench = Bench(NormTuning, {"statistics": statistics})
    start, end = bench.set_up(10).strategy.state_dict(), bench.run(10).state
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    norms = {f"backbone.network.{bn}.{p}" for bn in ("bn1", "bn2") for p in ("weight", "bias")}
    buffers = {name for name in start if "running" in name or "num_batches" in name}
    learned = norms | {"head.weight", "head.bias"}
    assert moved == (learned | buffers if statistics == "move" else learned)


def test_it_predicts_otherwise_than_full_finetuning():
    rates = {"lr_factor": 1.0}
    one, other = (Bench(kind, rates).run(10).predictions for kind in (NormTuning, FullFinetuning))
    assert (one - other).abs().max() > 1e-3


def test_a_network_without_norms_is_refused():
    bench = Bench(NormTuning)
    task = bench.set_up(10).strategy.task
    with pytest.raises(ImpossibleError, match=r"small_cnn .* has no norm layer"):
        NormTuning().attach(SmallCNN(size=16).build(), task, bench.training, 0)
