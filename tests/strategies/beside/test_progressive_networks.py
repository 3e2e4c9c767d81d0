"""A new column that looks at the frozen source's hidden states (Rusu et al. 2016)."""

import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from beside_loops import adamw, leaves, rate
from torch.nn.functional import batch_norm, conv2d, cross_entropy, layer_norm, relu
from trajectories import same, trajectory

from golden import golden
from transfergrid.data.regression import task_of
from transfergrid.records.errors import ImpossibleError
from transfergrid.records.training import Training
from transfergrid.sources.backbone import Backbone
from transfergrid.sources.torchvision import TorchvisionArchitecture
from transfergrid.strategies.base import Sizes
from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.beside.progressive_networks import Lateral, ProgressiveNetworks
from transfergrid.strategies.phases import Objective, Phase
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyBackbone

sys.path.append(str(Path(__file__).parents[2] / "sources"))
import small_torchvision  # noqa: F401  registers small models


def tensors(given, *names):
    return [torch.tensor(given[name], dtype=torch.float64) for name in names]


def entered(given, lateral, weights, source=None):
    """Return W (h + lateral of the source) + b, U being what W makes of the lateral's own."""
    w, b, h = tensors(given, "W", "b", "h_own_previous")
    theirs = tensors(given, "h_source_previous")[0] if source is None else source
    lateral = lateral.double()
    with torch.no_grad():
        lateral.u.weight.copy_(torch.linalg.solve(w, weights.pop("u")))
        for name, value in weights.items():
            lateral.get_parameter(name).copy_(value)
        return (h + lateral(theirs)) @ w.T + b


@pytest.mark.proves("formula_exact", "progressive_networks")
def test_a_layer_adds_what_it_makes_of_the_layer_before_in_the_source():
    given, expected, tolerance = golden("progressive_networks", "layer")
    linear, u, v = tensors(given, "U_linear", "adapter_U", "adapter_V")
    adapter = {"u": u, "v.weight": v, "alpha": torch.tensor(given["adapter_alpha"])}
    found = {
        "linear_lateral": entered(given, Lateral(2, False), {"u": linear}),
        "adapter_lateral": entered(given, Lateral(2, True).apply(narrow), dict(adapter)),
        "zero_lateral": entered(given, Lateral(2, False), {"u": torch.zeros(2, 2).double()}),
    }
    for name, value in found.items():
        assert relu(value)[0].tolist() == pytest.approx(expected[name][0], abs=tolerance)
    # by hand, before the rectifier: W h + b = (.6, -.95), U (1, 2) = (-1.8, .6)
    assert found["linear_lateral"][0].tolist() == pytest.approx([-1.2, -0.35])
    # with (2, 0) in the source V gives .7 * 2 = 1.4, of which U makes (2.8, -1.4)
    other = torch.tensor([[2.0, 0.0]]).double()
    moved = entered(given, Lateral(2, True).apply(narrow), dict(adapter), other)
    assert moved[0].tolist() == pytest.approx([3.4, -2.35])


def narrow(module):
    """Give an adapter of two channels an inside of one."""
    if isinstance(module, Lateral):
        assert module.v.weight.shape == (1, 2)


def test_maps_and_tokens_are_mapped_at_each_place():
    lateral = Lateral(8, True)
    with torch.no_grad():
        lateral.u.weight.normal_()
    maps = torch.randn(2, 8, 3, 5)
    by_place = lateral(maps.permute(0, 2, 3, 1).flatten(1, 2)).unflatten(1, (3, 5))
    assert torch.allclose(lateral(maps), by_place.permute(0, 3, 1, 2), atol=1e-6)


def test_of_maps_with_channels_last_channels_are_mapped():
    swin = TorchvisionArchitecture("swin_small_test", size=64).build()
    strategy = ProgressiveNetworks()
    task = task_of(("a", "b"), ())
    strategy.attach(swin, task, Training(), 0, sizes=Sizes(), fresh=lambda _: deepcopy(swin))
    # 64 pixels in patches of 2: maps of (32, 32, 16), of which each stage doubles the channels
    widths = [lateral.u.weight.shape[0] for lateral in strategy.laterals]
    assert widths[0] == 16
    assert {*widths} == {16, 32, 64}
    maps = torch.randn(2, 32, 32, 16)
    lateral, other = strategy.laterals[0], Lateral(16, True)
    with torch.no_grad():
        lateral.u.weight.normal_()
        other.load_state_dict(lateral.state_dict())
        assert torch.allclose(lateral(maps), other(maps.movedim(3, 1)).movedim(1, 3), atol=1e-5)
        assert strategy.predict(swin.example(2)).shape == (2, 2)


def lateral_of(w, number, hidden):
    u, v = (w[f"laterals.{number}.{name}.weight"] for name in "uv")
    if hidden.ndim == 4:
        return conv2d(
            relu(conv2d(w[f"laterals.{number}.alpha"] * hidden, v[..., None, None])),
            u[..., None, None],
        )
    return relu(w[f"laterals.{number}.alpha"] * hidden @ v.T) @ u.T


def images(w, net, x):
    """Return logits: the source's layers are of `net`, in eval mode, the column's are in `w`."""
    layers, own = net.backbone.network, {n.removeprefix("own.network."): t for n, t in w.items()}
    theirs = [layers[:3](x)]
    theirs.append(layers[3:8](theirs[0]))
    theirs.append(layers[8:](theirs[1]))

    def block(h, i):
        h = conv2d(h, own[f"conv{i}.weight"], stride=2, padding=1)
        return relu(batch_norm(h, None, None, own[f"bn{i}.weight"], own[f"bn{i}.bias"], True))

    h = block(x, 1) + lateral_of(w, 0, theirs[0].detach())
    h = block(h, 2).flatten(1) + lateral_of(w, 1, theirs[1].detach())
    h = h @ own["dense.weight"].T + own["dense.bias"] + lateral_of(w, 2, theirs[2].detach())
    return h @ w["head.weight"].T + w["head.bias"]


def texts(w, net, x):
    layers, own = net.backbone.network, {n.removeprefix("own.network."): t for n, t in w.items()}
    real = x["attention_mask"].unsqueeze(-1).double()
    words = layers["words"](x["input_ids"])
    body = layers["body"](words)
    theirs = [words, body, layers["dense"]((body * real).sum(1) / real.sum(1))]
    h = own["words.weight"][x["input_ids"]] + lateral_of(w, 0, theirs[0].detach())
    h = h @ own["body.0.weight"].T + own["body.0.bias"]
    h = relu(layer_norm(h, h.shape[-1:], own["body.1.weight"], own["body.1.bias"]))
    h = h + lateral_of(w, 1, theirs[1].detach())
    h = (h * real).sum(1) / real.sum(1)
    h = h @ own["dense.weight"].T + own["dense.bias"] + lateral_of(w, 2, theirs[2].detach())
    return h @ w["head.weight"].T + w["head.bias"]


@pytest.mark.proves("trajectory_exact", "progressive_networks")
@pytest.mark.parametrize("said", [images, texts])
def test_its_steps_are_those_of_a_plain_loop(said):
    run = trajectory(ProgressiveNetworks, {"lr_factor": 0.5}, said.__name__)
    source = run.net().eval()
    learning = dict(run.strategy.named_parameters())
    w = leaves({n: t for n, t in run.start.items() if n in learning}, "own.", "laterals.", "head.")
    optimiser = adamw(w)
    for step, batch in enumerate(run.batches):
        optimiser.param_groups[0]["lr"] = 0.02 * 0.5 * rate(step, 20)
        optimiser.zero_grad()
        cross_entropy(said(w, source, batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    still = {name: value for name, value in run.start.items() if name.startswith("backbone.")}
    same(run, {**still, **w})
    assert all(torch.equal(run.end[name].double(), value) for name, value in still.items())


@pytest.mark.parametrize("on", ["images", "texts"])
def test_with_laterals_that_stay_at_zero_it_is_scratch_bit_for_bit(on, monkeypatch):
    def without_laterals(self):
        head, column, _ = ProgressiveNetworks.all_of(self)
        return [Phase("train", [Objective(self.loss, [head, column])], cached=False)]

    plan = Training(steps=6, batch_size=8)
    told = {"lr_factor": 1.0}
    benches = {k: Bench(k, told, training=plan) for k in (ProgressiveNetworks, Scratch)}
    if on == "texts":
        benches = {kind: bench.on_texts() for kind, bench in benches.items()}
    learned = benches[ProgressiveNetworks].run(5).state
    own = ProgressiveNetworks.phases
    monkeypatch.setattr(
        ProgressiveNetworks, "all_of", lambda self: own(self)[0].objectives[0].learns, raising=False
    )
    monkeypatch.setattr(ProgressiveNetworks, "phases", without_laterals)
    still = benches[ProgressiveNetworks].run(5).state
    for name, value in benches[Scratch].run(5).state.items():
        assert torch.equal(still[name.replace("backbone.", "own.")], value)
    assert not torch.equal(still["head.weight"], learned["head.weight"])


def test_a_network_with_nothing_between_its_blocks_is_refused(monkeypatch):
    monkeypatch.setattr(TinyBackbone, "steered", Backbone.steered)
    with pytest.raises(ImpossibleError, match="nothing can come between its blocks"):
        Bench(ProgressiveNetworks).set_up(5)
