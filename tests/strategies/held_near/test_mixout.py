"""((1 - m) w0 + m w - p w0) / (1 - p) at each step (Lee et al. 2020)."""

import pytest
import torch
from step_seeds import seed
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.errors import BadInputError
from transfergrid.records.training import Training
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.held_near.mixout import Mixout, matrices_of, mixed
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "mixout")
def test_mixed_weights_and_their_gradient():
    given, expected, tolerance = golden("mixout", "forward")
    names = ("weight", "source_weight", "mask_keep_current")
    w, start, kept = (torch.tensor(given[name], dtype=torch.float64) for name in names)
    w.requires_grad_(True)
    found = mixed(w, start, kept, given["p"])
    (gradient,) = torch.autograd.grad(found.sum(), w)
    for value, name in ((found, "mixed"), (gradient, "gradient_factor")):
        assert value.tolist() == [pytest.approx(row, abs=tolerance) for row in expected[name]]
    other = mixed(w, start, kept, given["p2"])
    assert other.tolist() == [pytest.approx(row, abs=tolerance) for row in expected["mixed_p_0p9"]]
    mean = (1 - given["p"]) * mixed(w, start, torch.ones(()), given["p"])
    mean = mean + given["p"] * mixed(w, start, torch.zeros(()), given["p"])
    assert mean.tolist() == [pytest.approx(row, abs=1e-9) for row in expected["expectation"]]


@pytest.mark.proves("trajectory_exact", "mixout")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_its_steps_are_those_of_a_plain_loop(on):
    run = trajectory(Mixout, {"p": 0.4, "lr_factor": 0.5}, on, schedule="constant")
    net, start = run.net(), run.net().requires_grad_(False)
    names = ["conv1", "conv2", "dense"] if on == "images" else ["body.0", "dense"]
    layers = [(net.backbone.network.get_submodule(n), start.backbone.network.get_submodule(n))
              for n in names]  # fmt: skip
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.05)
    for step, batch in enumerate(run.batches):
        now = seed(seed(run.strategy.block_seed, "dropout", step), "mixout")
        drawing = torch.Generator().manual_seed(now)
        keep = [layer.weight.detach().clone() for layer, _ in layers]
        masks = [torch.empty_like(w).bernoulli_(0.6, generator=drawing) for w in keep]
        for (layer, first), mask in zip(layers, masks, strict=True):
            w, w0 = layer.weight.data, first.weight.data
            layer.weight.data = torch.where(mask == 1, (w - 0.4 * w0) / 0.6, w0)
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        for (layer, _), mask, w in zip(layers, masks, keep, strict=True):
            layer.weight.data = w
            layer.weight.grad *= mask / 0.6
        optimiser.step()
    same(run, net)


def test_at_p_0_it_is_fine_tuning_bit_for_bit():
    plan = Training(steps=6, batch_size=8)
    plain = Bench(FullFinetuning, {"lr_factor": 0.3}, training=plan).run(5)
    unmixed = Bench(Mixout, {"p": 0.0, "lr_factor": 0.3}, training=plan).run(5)
    mixing = Bench(Mixout, {"p": 0.5, "lr_factor": 0.3}, training=plan).run(5)
    assert all(torch.equal(unmixed.state[name], value) for name, value in plain.state.items())
    assert not torch.equal(mixing.state["head.weight"], plain.state["head.weight"])


def test_each_number_is_drawn_for_itself_anew_at_each_step():
    (moment,) = Bench(Mixout, {"p": 0.5}).moments(10)
    strategy = moment.strategy
    start = dict(strategy.scaffold["start"].named_parameters())
    found = []
    for at in (1, 1, 2):
        with torch.no_grad():
            strategy.backbone.network.dense.weight.copy_(start["network.dense.weight"] + 1)
        torch.manual_seed(at)
        found.append(strategy._mixed())
    one, again, other = (weights["backbone.network.dense.weight"] for weights in found)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    kept = one > start["network.dense.weight"] + 0.5
    assert 0.3 < kept.float().mean() < 0.7
    assert not torch.equal(kept[0], kept[1])  # no row of one mask for all
    moved = {"conv1.weight", "conv2.weight", "dense.weight"}
    assert {name.removeprefix("backbone.network.") for name in found[0]} == moved


def test_matrices_and_kernels_are_mixed_and_neither_tokens_nor_positions_nor_scales():
    strategy = Bench(Mixout).on_tokens().set_up(10).strategy
    layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    matrices = {f"blocks.{i}.{layer}.weight" for i in (0, 1) for layer in layers}
    assert {name.removeprefix("backbone.network.") for name in strategy._mixed()} == {
        "patch_embed.proj.weight",
        *matrices,
    }


def test_attention_that_keeps_its_matrices_itself_is_mixed_too():
    of_one = torch.nn.MultiheadAttention(4, 2)
    of_three = torch.nn.MultiheadAttention(4, 2, kdim=3, vdim=3)
    assert [w.shape for w in matrices_of(of_one)] == [(12, 4)]
    assert [w.shape for w in matrices_of(of_three)] == [(4, 4), (4, 3), (4, 3)]
    assert not matrices_of(torch.nn.LayerNorm((2, 3)))


def test_the_start_stands_still_and_a_chance_of_1_is_refused():
    setup = Bench(Mixout).set_up(5)
    start = {name: w.clone() for name, w in setup.backbone.state_dict().items()}
    state = Bench(Mixout).run(5).state
    held = {name: state[f"scaffold.start.{name}"] for name in start}
    assert all(torch.equal(held[name], start[name]) for name in start)
    with pytest.raises(BadInputError, match="below 1"):
        Mixout(p=1.0)
