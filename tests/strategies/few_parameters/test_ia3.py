"""l * (W x + b), or W (l * x) + b (Liu et al. 2022)."""

import math

import pytest
import torch
from networks import NETWORKS, added, attached, check_blocks, disturbed, made, sample, titles
from torch import nn
from torch.nn import functional
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.errors import BadInputError
from transfergrid.strategies.few_parameters.ia3 import IA3, scale_read
from transfergrid.strategies.few_parameters.layers import plain_state
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyBackbone


def rate(step):
    """Linear warm-up over the first of 20 steps, then half a cosine to zero."""
    return 0.05 if not step else 0.5 * (1 + math.cos(math.pi * (step / 20 - 0.05) / 0.95))


@pytest.fixture
def given():
    """A network of one linear layer, its factors and inputs, and what is expected of them."""
    told, expected, tolerance = golden("ia3", "non_feedforward")
    layer = nn.Linear(2, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(told["W"]))
        layer.bias.copy_(torch.tensor(told["b"]))
    backbone = TinyBackbone(1).double()
    backbone.network = nn.Sequential(nn.Linear(64, 2).double(), layer)
    backbone.embed = lambda inputs: backbone.network(inputs.flatten(1).double())
    backbone.blocks = lambda granularity="fine": []
    factors, inputs = (torch.tensor(told[key], dtype=torch.float64) for key in ("l", "x"))
    return backbone, factors, inputs, expected, tolerance


@pytest.mark.proves("formula_exact", "ia3")
@pytest.mark.parametrize("way", ["wrapped by peft", "read from outside"])
def test_outputs_are_scaled_and_the_bias_with_them(given, way):
    backbone, factors, inputs, expected, tolerance = given
    if way == "wrapped by peft":
        attached(IA3, backbone, {"targets": ["1"]})
        (learned,) = backbone.network[1].ia3_l.values()
    else:
        scale_read(backbone.network[1], "weight", feedforward=False)
        learned = backbone.network[1].parametrizations.weight[0].factor
    learned.data.copy_(factors.view_as(learned))
    output, state = backbone.network[1](inputs), plain_state(backbone.network)
    merged = [state["1.weight"], state["1.bias"]]
    told = [expected[key] for key in ("output", "merged_W", "merged_b")]
    for found, value in zip([output, *merged], told, strict=True):
        assert torch.allclose(found, torch.tensor(value).double(), rtol=0, atol=tolerance)


@pytest.mark.proves("formula_exact", "ia3")
@pytest.mark.parametrize("way", ["wrapped by peft", "read from outside"])
def test_inputs_are_scaled_in_feedforward_layers_and_the_bias_is_not(given, way):
    backbone, factors, inputs, _, tolerance = given
    if way == "wrapped by peft":
        attached(IA3, backbone, {"targets": ["1"], "feedforward": ["1"]})
        (learned,) = backbone.network[1].ia3_l.values()
    else:
        scale_read(backbone.network[1], "weight", feedforward=True)
        learned = backbone.network[1].parametrizations.weight[0].factor
    learned.data.copy_(factors.view_as(learned))
    # W = [[1, 2], [3, 4]], b = [.5, -.5], l = [2, .5], x = [[1, 1], [2, -1]] by hand
    expected = torch.tensor([[3.5, 7.5], [3.5, 9.5]], dtype=torch.float64)
    assert torch.allclose(backbone.network[1](inputs), expected, rtol=0, atol=tolerance)
    state = plain_state(backbone.network)
    assert state["1.weight"].tolist() == [[2.0, 1.0], [6.0, 2.0]]
    assert state["1.bias"].tolist() == [0.5, -0.5]


@pytest.mark.proves("trajectory_exact", "ia3")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_it_ends_where_plain_torch_ends(on):
    inner = "body.0" if on == "texts" else "conv2"
    run = trajectory(IA3, {"lr_factor": 2.0, "feedforward": [inner]}, on)
    state, start = {**run.start}, "backbone.network."
    factors = [name for name in state if "ia3_l" in name]
    heads = ["head.weight", "head.bias"]

    def layer(x, name, function, **options):
        own = f"{start}{name}."
        bias, factor = state.get(f"{own}base_layer.bias"), state[f"{own}ia3_l.default"]
        shape = [1, -1, 1, 1] if function is functional.conv2d else [1, -1]
        weight, factor = state[f"{own}base_layer.weight"], factor.view(shape)
        if name == inner:
            return function(x * factor, weight, bias, **options)
        return function(x, weight, bias, **options) * factor

    def norm(hidden, bn):
        own = (state[f"{start}{bn}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(hidden, *own).relu()

    def logits(x):
        conv = {"function": functional.conv2d, "stride": 2, "padding": 1}
        if on == "images":
            h = norm(layer(x, "conv1", **conv), "bn1")
            h = norm(layer(h, "conv2", **conv), "bn2").flatten(1)
        else:
            h = layer(state[f"{start}words.weight"][x["input_ids"]], inner, functional.linear)
            own = (state[f"{start}body.1.{n}"] for n in ("weight", "bias"))
            h = functional.layer_norm(h, h.shape[-1:], *own).relu()
            real = x["attention_mask"].unsqueeze(-1)
            h = (h * real).sum(1) / real.sum(1)
        h = layer(h, "dense", functional.linear)
        return functional.linear(h, state["head.weight"], state["head.bias"])

    state |= {name: state[name].clone().requires_grad_() for name in [*factors, *heads]}
    groups = [{"params": [state[n] for n in names]} for names in (factors, heads)]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
    optimiser.param_groups[1]["weight_decay"] = 0.05
    for step, batch in enumerate(run.batches):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * 2.0 * rate(step)
        optimiser.zero_grad()
        functional.cross_entropy(logits(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    same(run, state)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_all_libraries_merged_and_not(name, tmp_path):
    backbone = made(name, tmp_path)
    before, inputs = titles(backbone), sample(backbone)
    with torch.no_grad():
        start = backbone.embed(inputs)
        strategy = attached(IA3, backbone, {})
        assert torch.equal(backbone.embed(inputs), start)  # every factor is 1
    check_blocks(backbone, before)
    disturbed(strategy)
    found = torch.autograd.grad(strategy.predict(inputs).square().sum(), added(strategy))
    assert all(gradient.any() for gradient in found)
    merged = attached(IA3, made(name, tmp_path), {}, target=0)
    merged.restore(strategy.kept_state())
    with torch.no_grad():
        expected = strategy.predict(inputs)
        assert torch.allclose(merged.predict(inputs), expected, rtol=1e-5, atol=1e-5)


def test_the_papers_layers_can_be_chosen(tmp_path):
    told = {"targets": ["key", "value", "output.dense"], "feedforward": ["layer.0.output.dense"]}
    own = [tuple(p.shape) for p in added(attached(IA3, made("bert", tmp_path), told))]
    first = [(16, 1), (16, 1), (16, 1), (1, 24)]  # key, value, attention's output, inputs of 24
    assert own == first + [(16, 1)] * 8
    told = {"targets": ["dense"], "feedforward": ["query"]}
    with pytest.raises(BadInputError, match=r"feedforward: .* no layer 'query'; there is dense"):
        attached(IA3, made("bert", tmp_path), told, target=0)  # as a grid is checked


def test_factors_on_weights_that_others_read_are_kept_and_restored(tmp_path):
    told = {"merge": False, "targets": ["in_proj"]}
    strategy = disturbed(attached(IA3, made("torchvision vit", tmp_path), told))
    again = attached(IA3, made("torchvision vit", tmp_path), told, target=0)
    again.restore(strategy.kept_state())
    inputs = sample(again.backbone)
    with torch.no_grad():
        assert torch.equal(again.predict(inputs), strategy.predict(inputs))
    lost = strategy.kept_state()
    lost.pop(next(name for name in lost if "in_proj_bias.0" in name))
    with pytest.raises(ValueError, match="it lacks"):
        again.restore(lost)


def test_all_else_keeps_its_bits_and_no_factor_decays():
    bench = Bench(IA3)
    start, end = bench.set_up(10).strategy.state_dict(), bench.run(10).state
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved == {name for name in start if "ia3_l" in name or name.startswith("head.")}


@pytest.mark.parametrize("other", [FullFinetuning, FeatureExtraction])
def test_it_predicts_otherwise(other):
    rates = {"lr_factor": 1.0}
    one, two = (Bench(kind, rates).run(10).predictions for kind in (IA3, other))
    assert (one - two).abs().max() > 1e-3
