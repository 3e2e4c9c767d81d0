"""W + alpha / r * B A (Hu et al. 2021), its scale by rsLoRA, its size by DoRA."""

import math
import sys

import pytest
import torch
from networks import NETWORKS, added, attached, check_blocks, disturbed, made, sample, titles
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.runs.cell import judge
from transfergrid.strategies.base import Sizes
from transfergrid.strategies.few_parameters.ia3 import IA3
from transfergrid.strategies.few_parameters.lora import Change, Lora
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyBackbone


def rate(step):
    """Linear warm-up over the first of 20 steps, then half a cosine to zero."""
    return 0.05 if not step else 0.5 * (1 + math.cos(math.pi * (step / 20 - 0.05) / 0.95))


@pytest.mark.proves("formula_exact", "lora")
@pytest.mark.parametrize("outside", [False, True], ids=["wrapped by peft", "read from outside"])
def test_it_begins_as_published(outside):
    given, expected, tolerance = golden("lora", "init")
    layer = nn.Linear(given["in_features"], given["out_features"])
    if outside:
        change = Change(layer.weight, given["r"], given["alpha"] / given["r"], dora=False)
        a, b, scale = change.down, change.up, change.scale
    else:
        own = tiny(layer, {"r": given["r"], "alpha": given["alpha"]})
        a, b, scale = own.lora_A.default.weight, own.lora_B.default.weight, own.scaling["default"]
    bound = expected["A_uniform_bound"]
    assert a.numel() + b.numel() == expected["extra_parameters"]
    assert 0.99 * bound < a.abs().max() <= bound + tolerance
    assert a.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)  # uniform
    assert not b.any()
    assert scale == expected["scaling"]
    stable = tiny(nn.Linear(9, 9), {"r": given["r"], "alpha": given["alpha"], "rslora": True})
    assert stable.scaling["default"] == pytest.approx(expected["scaling_rslora"], abs=tolerance)


def tiny(layer, arguments):
    """Return what a layer has become in a network of nothing else."""
    backbone = TinyBackbone(1)
    backbone.network = nn.Sequential(nn.Flatten(), nn.Linear(64, layer.in_features), layer)
    backbone.blocks = lambda granularity="fine": []
    return attached(Lora, backbone, arguments).backbone.network[2]


@pytest.mark.proves("formula_exact", "lora")
@pytest.mark.parametrize("dora", [False, True])
def test_a_weight_that_others_read_is_changed_by_the_same_formula(dora):
    weight = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    change = Change(weight, r=1, scale=2.0, dora=dora)
    with torch.no_grad():
        change.down.copy_(torch.tensor([[0.0, 1.0]]))
        change.up.copy_(torch.tensor([[-2.0], [1.0]]))
    # rows before: lengths 5 and 2; with 2 * B A they are (3, 0) and (0, 4)
    rows = [[5.0, 0.0], [0.0, 2.0]] if dora else [[3.0, 0.0], [0.0, 4.0]]
    assert torch.allclose(change(weight), torch.tensor(rows))


@pytest.mark.parametrize("name", ["torchvision vit", "timm mobilenet", "gpt2"])
def test_sizes_of_weights_that_have_moved_are_taken_anew(name, tmp_path):
    strategy = attached(Lora, made(name, tmp_path), {"r": 2, "dora": True})
    inside = dict(strategy.backbone.named_parameters())
    sizes = {n: p.clone() for n, p in inside.items() if "magnitude" in n or n.endswith(".0.size")}
    with torch.no_grad():
        for parameter in (inside[n] for n in inside.keys() - {*strategy.added}):
            parameter.mul_(2.0)
    strategy.start_again()
    assert sizes
    assert any(n.endswith(".size") for n in sizes) == (name == "torchvision vit")
    assert all(torch.equal(inside[n], 2.0 * size) for n, size in sizes.items())


@pytest.mark.proves("trajectory_exact", "lora")
@pytest.mark.parametrize("on", ["images", "texts"])
@pytest.mark.parametrize(("dora", "rslora"), [(False, False), (True, True)])
def test_it_ends_where_plain_torch_ends(on, dora, rslora):
    arguments = {"r": 4, "alpha": 6.0, "lr_factor": 1.0, "dora": dora, "rslora": rslora}
    run = trajectory(Lora, arguments, on)
    state, start = {**run.start}, "backbone.network."
    news = [name for name in state if "lora_" in name or name.startswith("head.")]
    scale = 6 / 2 if rslora else 6 / 4

    def weight(layer):
        own = start + layer
        w, a, b = (
            state[f"{own}.{n}.weight"] for n in ("base_layer", "lora_A.default", "lora_B.default")
        )
        rows = w.flatten(1) + scale * b.flatten(1) @ a.flatten(1)
        if dora:
            size = state[f"{own}.lora_magnitude_vector.default.weight"].view(-1, 1)
            rows = size * rows / rows.norm(dim=1, keepdim=True).detach()
        return rows.view_as(w)

    def norm(hidden, bn):
        own = (state[f"{start}{bn}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(hidden, *own).relu()

    def logits(x):
        if on == "images":
            h = norm(functional.conv2d(x, weight("conv1"), stride=2, padding=1), "bn1")
            h = norm(functional.conv2d(h, weight("conv2"), stride=2, padding=1), "bn2").flatten(1)
        else:
            h = state[f"{start}words.weight"][x["input_ids"]]
            h = functional.linear(h, weight("body.0"), state[f"{start}body.0.base_layer.bias"])
            own = (state[f"{start}body.1.{n}"] for n in ("weight", "bias"))
            h = functional.layer_norm(h, h.shape[-1:], *own).relu()
            real = x["attention_mask"].unsqueeze(-1)
            h = (h * real).sum(1) / real.sum(1)
        h = functional.linear(h, weight("dense"), state[f"{start}dense.base_layer.bias"])
        return functional.linear(h, state["head.weight"], state["head.bias"])

    state |= {name: state[name].clone().requires_grad_() for name in news}
    sizes = {name for name in news if "magnitude" in name}  # a layer of size 0 is no layer
    groups = [
        {"params": [state[name] for name in news if name not in sizes], "weight_decay": 0.05},
        {"params": [state[name] for name in sizes], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW([group for group in groups if group["params"]])
    for step, batch in enumerate(run.batches):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * rate(step)
        optimiser.zero_grad()
        functional.cross_entropy(logits(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    same(run, state)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dora", [False, True])
def test_networks_of_all_libraries_merged_and_not(name, dora, tmp_path):
    backbone = made(name, tmp_path)
    before, inputs = titles(backbone), sample(backbone)
    with torch.no_grad():
        start = backbone.embed(inputs)
        strategy = attached(Lora, backbone, {"dora": dora})
        assert torch.allclose(backbone.embed(inputs), start, atol=1e-5)  # B is zero
    check_blocks(backbone, before)
    disturbed(strategy)
    found = torch.autograd.grad(strategy.predict(inputs).square().sum(), added(strategy))
    assert all(gradient.any() for gradient in found)
    with torch.no_grad():
        expected = strategy.predict(inputs)
        assert torch.equal(backbone.suffix(1)(backbone.prefix(1)(inputs)), backbone.embed(inputs))
    state, plain = strategy.kept_state(), made(name, tmp_path)
    assert {n for n in state if n.startswith("backbone.")} == {
        f"backbone.{n}" for n in plain.state_dict()
    }
    merged = attached(Lora, plain, {"dora": dora}, target=0)
    merged.restore(state)
    with torch.no_grad():
        assert torch.allclose(merged.predict(inputs), expected, rtol=1e-5, atol=1e-5)


def test_a_merged_model_needs_no_peft_and_another_does(tmp_path, monkeypatch):
    kept = {}
    for merge in (True, False):
        strategy = disturbed(attached(Lora, made("bert", tmp_path), {"merge": merge}))
        kept[merge] = strategy.kept_state()
    assert any("lora_A" in name for name in kept[False])
    for name in [name for name in sys.modules if name.partition(".")[0] == "peft"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "peft", None)
    attached(Lora, made("bert", tmp_path), {}, target=0).restore(kept[True])
    with pytest.raises(ImportError, match="peft"):
        attached(Lora, made("bert", tmp_path), {"merge": False}, target=0)


def test_all_else_keeps_its_bits_and_no_statistic_moves():
    bench = Bench(Lora)
    start, end = bench.set_up(10).strategy.state_dict(), bench.run(10).state
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved == {name for name in start if "lora_" in name or name.startswith("head.")}


def test_a_source_is_known_by_its_own_weights():
    cards = [
        Bench(kind).set_up(10).source_card["fingerprint"] for kind in (Lora, FeatureExtraction)
    ]
    assert cards[0] == cards[1]


@pytest.mark.parametrize("other", [FullFinetuning, FeatureExtraction])
def test_it_predicts_otherwise(other):
    rates = {"lr_factor": 1.0}
    one, two = (Bench(kind, rates).run(10).predictions for kind in (Lora, other))
    assert (one - two).abs().max() > 1e-3


def test_layers_are_chosen_by_the_ends_of_their_paths(tmp_path):
    strategy = attached(
        Lora, made("bert", tmp_path), {"targets": ["query", "attention.self.value"]}
    )
    assert len(added(strategy)) == 3 * 2 * 2
    assert sum(p.numel() for p in added(strategy)) == 3 * 2 * 2 * 16 * 8
    strategy = attached(Lora, made("torchvision vit", tmp_path), {"targets": ["in_proj"]})
    assert [tuple(p.shape) for p in added(strategy)] == [(8, 32), (96, 8)] * 3


def test_a_depthwise_convolution_is_no_target(tmp_path):
    backbone = made("timm mobilenet", tmp_path)
    wide = [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.groups == 1]
    assert len(added(attached(Lora, backbone, {}))) == 2 * len(wide)


def test_what_cannot_be_is_told(tmp_path):
    with pytest.raises(BadInputError, match="has no layer 'querry'; did you mean query"):
        attached(Lora, made("bert", tmp_path), {"targets": ["querry"]})
    backbone = TinyBackbone(6)
    backbone.network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64))
    task = attached(FeatureExtraction, TinyBackbone(6), {}).task
    with pytest.raises(ImpossibleError, match="has no layer that lora could be put into"):
        Lora().attach(backbone, task, Bench(Lora).training, 0, sizes=Sizes(target=1))


@pytest.mark.parametrize("kind", [Lora, IA3])
def test_weights_that_others_read_cost_what_they_cost_the_kept_model(tmp_path, kind):
    strategy = disturbed(attached(kind, made("torchvision vit", tmp_path), {}))
    plain = attached(kind, made("torchvision vit", tmp_path), {}, target=0)
    plain.restore(strategy.kept_state())
    before = {name: value.clone() for name, value in strategy.state_dict().items()}
    inputs = sample(plain.backbone)
    with torch.no_grad(), strategy.in_use():
        assert torch.equal(strategy.predict(inputs), plain.predict(inputs))
        assert operations(strategy, inputs) == operations(plain, inputs)
    assert sum(p.numel() for p in strategy.parameters_in_use()) == sum(
        p.numel() for p in plain.parameters()
    )
    after = strategy.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_weights_that_the_source_makes_of_others_stay_as_they_are():
    def backbone():
        torch.manual_seed(0)
        made, layer = TinyBackbone(1), nn.utils.parametrizations.weight_norm(nn.Linear(64, 6))
        made.network = nn.Sequential(nn.Flatten(), layer, nn.Linear(6, 6))
        made.blocks = lambda granularity="fine": []
        return made

    strategy = disturbed(attached(Lora, backbone(), {}))
    plain = attached(Lora, backbone(), {}, target=0)
    plain.restore(strategy.kept_state())
    inputs = plain.backbone.example(2) + 1
    assert torch.allclose(strategy.predict(inputs), plain.predict(inputs), atol=1e-6)


class Operations(TorchDispatchMode):
    """Notes the names of what is computed, in order."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def operations(strategy, inputs):
    """Return what is computed in a prediction."""
    with Operations() as noted:
        strategy.predict(inputs)
    return noted.names


@pytest.mark.parametrize("dora", [False, True])
def test_no_size_of_a_weight_decays_and_all_else_does(tmp_path, dora):
    strategy = attached(Lora, made("torchvision vit", tmp_path), {"dora": dora})
    (phase,) = strategy.phases()
    still = [p for group in phase.learning() if not group.decay for p in group.parameters]
    network = strategy.backbone.named_parameters()
    sizes = {id(p) for name, p in network if "magnitude" in name or name.endswith("size")}
    assert {id(p) for p in still} == sizes
    assert len(sizes) == (len(added(strategy)) // 3 if dora else 0)


def test_dropout_where_a_weight_is_read_by_others_is_refused(tmp_path):
    backbone, told = made("torchvision vit", tmp_path), {"dropout": 0.1}
    with pytest.raises(ImpossibleError, match=r"no dropout can be put before .*in_proj"):
        attached(Lora, backbone, told, target=0)  # as a grid is checked
    attached(Lora, backbone, {**told, "targets": ["mlp.0"]})


def test_what_is_asked_for_beside_it_keeps_no_merged_model_from_predicting(tmp_path):
    asked = {"layer_decay": 0.5, "weight_averaging": 0.5, "label_smoothing": 0.1}
    strategy = disturbed(attached(Lora, made("bert", tmp_path), asked))
    again = attached(Lora, made("bert", tmp_path), asked, target=0)
    again.restore(strategy.kept_state())
    inputs = sample(again.backbone)
    assert torch.allclose(again.predict(inputs), strategy.predict(inputs), atol=1e-5)
    with pytest.raises(ImpossibleError, match="the source's weights stand still"):
        attached(Lora, made("bert", tmp_path), {"l2_sp": 0.1})


def test_layers_that_are_not_there_are_told_before_anything_runs(tmp_path):
    with pytest.raises(BadInputError, match="has no layer 'querry'"):  # as a grid is checked
        attached(Lora, made("bert", tmp_path), {"targets": ["querry"]}, target=0)


@pytest.mark.parametrize("merge", [True, False])
def test_a_prediction_costs_what_it_costs_the_kept_model(merge):
    bench = Bench(Lora, {"merge": merge})
    setup = bench.learn(bench.set_up(10)).setup
    before = {name: value.clone() for name, value in setup.strategy.state_dict().items()}
    flops = judge(setup, bench.machine).flops
    plain = Bench(FeatureExtraction)
    least = judge(plain.set_up(10), plain.machine).flops
    assert flops == least if merge else flops > least
    after = setup.strategy.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    inputs = setup.strategy.backbone.example(2) + 1
    with torch.no_grad():
        apart = setup.strategy.predict(inputs)
        with setup.strategy.in_use():
            assert torch.allclose(setup.strategy.predict(inputs), apart, atol=1e-5)
