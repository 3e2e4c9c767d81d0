"""Biases learn, and the head (Ben Zaken et al. 2022)."""

import math
from collections import OrderedDict

import pytest
import timm
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.errors import ImpossibleError
from transfergrid.strategies.few_parameters.bitfit import Bitfit
from transfergrid.strategies.few_parameters.parts import biases_of
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyBackbone


def rate(step):
    """Linear warm-up over the first of 20 steps, then half a cosine to zero."""
    return 0.05 if not step else 0.5 * (1 + math.cos(math.pi * (step / 20 - 0.05) / 0.95))


def size(parameters):
    return sum(p.numel() for p in parameters)


@pytest.mark.proves("formula_exact", "bitfit")
def test_biases_are_counted():
    _, expected, _ = golden("bitfit", "counts")
    body, head = nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Linear(8, 3)
    biases = size(biases_of(body))
    assert biases + size(biases_of(head)) == expected["bias_parameters_incl_head"]
    weights = size([*body.parameters(), *head.parameters()]) - biases - size(biases_of(head))
    assert weights == expected["weights_frozen"]
    assert biases + size(head.parameters()) == expected["trainable_with_new_head_weights"]


def test_a_convolutional_network_has_the_shifts_of_its_norms():
    with torch.device("meta"):
        network = timm.create_model("resnet18", num_classes=0)
    assert size(biases_of(network)) == 4800  # half of 9600 scales and shifts


def test_biases_without_a_layer_of_their_own_count_and_tables_do_not():
    attention = nn.MultiheadAttention(8, 2)
    assert size(biases_of(attention)) == 3 * 8 + 8
    attention.relative_position_bias = nn.Parameter(torch.zeros(3, 2))
    assert size(biases_of(attention)) == 3 * 8 + 8


@pytest.mark.proves("trajectory_exact", "bitfit")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_it_ends_where_plain_torch_ends(on):
    run = trajectory(Bitfit, {"lr_factor": 2.0}, on)
    net = run.net()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # the source's statistics
    named = net.backbone.named_parameters()
    groups = [
        {"params": net.head.parameters(), "weight_decay": 0.05},
        {"params": [p for name, p in named if name.endswith(".bias")], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups)
    for step, batch in enumerate(run.batches):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * 2.0 * rate(step)
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    same(run, net)


def test_all_else_keeps_its_bits():
    bench = Bench(Bitfit)
    start, end = bench.set_up(10).strategy.state_dict(), bench.run(10).state
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    biases = {f"backbone.network.{layer}.bias" for layer in ("bn1", "bn2", "dense")}
    assert moved == biases | {"head.weight", "head.bias"}


def test_it_predicts_otherwise_than_full_finetuning():
    rates = {"lr_factor": 1.0}
    one, other = (Bench(kind, rates).run(10).predictions for kind in (Bitfit, FullFinetuning))
    assert (one - other).abs().max() > 1e-3


def test_a_network_without_biases_is_refused():
    backbone = TinyBackbone(6)
    layers = [("flatten", nn.Flatten()), ("dense", nn.Linear(64, 12, bias=False))]
    backbone.network = nn.Sequential(OrderedDict(layers))
    bench = Bench(Bitfit)
    task = bench.set_up(10).strategy.task
    with pytest.raises(ImpossibleError, match="tiny width=6 has no biases"):
        Bitfit().attach(backbone, task, bench.training, 0)
