"""h + U relu(D h + d) + u behind each block (Houlsby et al. 2019)."""

import math

import pytest
import torch
from networks import NETWORKS, added, attached, check_blocks, disturbed, made, sample, titles
from torch.nn import functional
from trajectories import same, trajectory

from golden import golden
from small_models import pretrained
from transfergrid.records.errors import ImpossibleError
from transfergrid.sources.transformers import TransformersArchitecture
from transfergrid.strategies.few_parameters.bottleneck_adapters import (
    Bottleneck,
    BottleneckAdapters,
)
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench


def rate(step):
    """Linear warm-up over the first of 20 steps, then half a cosine to zero."""
    return 0.05 if not step else 0.5 * (1 + math.cos(math.pi * (step / 20 - 0.05) / 0.95))


@pytest.mark.proves("formula_exact", "bottleneck_adapters")
def test_its_parameters_are_counted_and_begin_near_zero():
    given, expected, _ = golden("peft_counts", "numbers")
    made = Bottleneck(given["d"], given["adapter_bottleneck"], -1)
    assert sum(p.numel() for p in made.parameters()) == expected["one_bottleneck_adapter"]
    for layer in (made.down, made.up):
        assert layer.weight.abs().max() <= 0.02
        assert 0.008 < layer.weight.std() < 0.01  # of a normal one cut off at two deviations: .0088
        assert not layer.bias.any()


@pytest.mark.proves("formula_exact", "bottleneck_adapters")
def test_it_adds_what_the_formula_says_along_its_axis():
    adapter = Bottleneck(2, 1, axis=1)
    with torch.no_grad():
        adapter.down.weight.copy_(torch.tensor([[1.0, -2.0]]))
        adapter.down.bias.fill_(0.5)
        adapter.up.weight.copy_(torch.tensor([[3.0], [0.0]]))
        adapter.up.bias.copy_(torch.tensor([0.0, 1.0]))
    maps = torch.tensor([[1.0, 4.0], [1.0, 1.0]]).view(1, 2, 1, 2)  # two places: (1, 1), (4, 1)
    # 1 - 2 + .5 < 0 adds (0, 1); 4 - 2 + .5 = 2.5 adds (7.5, 1)
    assert adapter(maps).flatten(1).tolist() == [[1.0, 11.5, 2.0, 2.0]]


def test_where_all_axes_are_as_long_layers_tell_which_holds_channels(tmp_path):
    swin = attached(BottleneckAdapters, made("torchvision swin", tmp_path), {})
    adapters = [m for m in swin.backbone.modules() if isinstance(m, Bottleneck)]
    assert adapters[0].down.in_features == 16  # of maps (16, 16, 16)
    assert {adapter.axis for adapter in adapters} == {3}


@pytest.mark.proves("trajectory_exact", "bottleneck_adapters")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_it_ends_where_plain_torch_ends(on):
    run = trajectory(BottleneckAdapters, {"lr_factor": 1.0, "width": 5}, on)
    state, start = {**run.start}, "backbone.network."
    news = [name for name in state if "bottleneck" in name or name.startswith("head.")]
    assert len(news) == 2 + 4 * (2 if on == "texts" else 4)

    def adapted(hidden, name, axis=-1):
        d, u = (f"{start}{name}.bottleneck.{part}" for part in ("down", "up"))
        h = hidden.transpose(axis, -1)
        h = torch.relu(h @ state[f"{d}.weight"].T + state[f"{d}.bias"])
        return hidden + (h @ state[f"{u}.weight"].T + state[f"{u}.bias"]).transpose(axis, -1)

    def norm(hidden, bn):
        own = (state[f"{start}{bn}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        return adapted(functional.batch_norm(hidden, *own), bn, 1).relu()

    def logits(x):
        conv = [state.get(f"{start}conv{k}.weight") for k in (1, 2)]
        if on == "images":
            h = norm(functional.conv2d(x, conv[0], stride=2, padding=1), "bn1")
            h = adapted(functional.conv2d(h, conv[1], stride=2, padding=1), "conv2", 1)
            h = norm(h, "bn2").flatten(1)
        else:
            h = state[f"{start}words.weight"][x["input_ids"]]
            h = functional.linear(h, *(state[f"{start}body.0.{n}"] for n in ("weight", "bias")))
            own = (state[f"{start}body.1.{n}"] for n in ("weight", "bias"))
            h = adapted(functional.layer_norm(h, h.shape[-1:], *own).relu(), "body")
            real = x["attention_mask"].unsqueeze(-1)
            h = (h * real).sum(1) / real.sum(1)
        h = functional.linear(h, *(state[f"{start}dense.{n}"] for n in ("weight", "bias")))
        return functional.linear(adapted(h, "dense"), state["head.weight"], state["head.bias"])

    state |= {name: state[name].clone().requires_grad_() for name in news}
    optimiser = torch.optim.AdamW([state[name] for name in news], weight_decay=0.05)
    for step, batch in enumerate(run.batches):
        optimiser.param_groups[0]["lr"] = 0.02 * rate(step)
        optimiser.zero_grad()
        functional.cross_entropy(logits(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    same(run, state)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_all_libraries(name, tmp_path):
    backbone = made(name, tmp_path)
    before, inputs = titles(backbone), sample(backbone)
    with torch.no_grad():
        start = backbone.embed(inputs)
        strategy = attached(BottleneckAdapters, backbone, {"width": 16})
        assert torch.allclose(backbone.embed(inputs), start, atol=0.05)
    assert len(added(strategy)) == 4 * (len(before["fine"]) - 1)
    check_blocks(backbone, before)
    disturbed(strategy)
    found = torch.autograd.grad(strategy.predict(inputs).square().sum(), added(strategy))
    assert all(gradient.any() for gradient in found)
    again = attached(BottleneckAdapters, made(name, tmp_path), {"width": 16}, target=0)
    again.restore(strategy.kept_state())
    with torch.no_grad():
        assert torch.equal(again.predict(inputs), strategy.predict(inputs))
        assert torch.equal(backbone.suffix(2)(backbone.prefix(2)(inputs)), backbone.embed(inputs))
        for p in added(strategy):
            p.zero_()
        assert torch.equal(backbone.embed(inputs), start)  # a bottleneck of zeros is none


def test_all_else_keeps_its_bits_and_no_statistic_moves():
    bench = Bench(BottleneckAdapters)
    start, end = bench.set_up(10).strategy.state_dict(), bench.run(10).state
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved == {name for name in start if "bottleneck" in name or name.startswith("head.")}


@pytest.mark.parametrize("other", [FullFinetuning, FeatureExtraction])
def test_it_predicts_otherwise(other):
    rates = {"lr_factor": 1.0}
    one, two = (Bench(kind, rates).run(10).predictions for kind in (BottleneckAdapters, other))
    assert (one - two).abs().max() > 1e-3


def test_a_network_whose_blocks_end_in_something_else_is_refused(tmp_path):
    backbone = TransformersArchitecture(folder=str(pretrained(tmp_path, "albert"))).build()
    with pytest.raises(ImpossibleError, match="no block of it ends in one tensor"):
        attached(BottleneckAdapters, backbone, {})
