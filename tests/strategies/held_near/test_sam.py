"""The gradient at w + rho g / |g| (Foret et al. 2021)."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.held_near import sam
from transfergrid.strategies.held_near.sam import Sam, ascent
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "sam")
def test_the_gradient_is_that_of_a_step_uphill():
    given, expected, tolerance = golden("sam", "gradient")
    h, w = (torch.tensor(given[name], dtype=torch.float64) for name in ("h", "w"))
    way = ascent([*(h * w).split(1)], given["rho"])  # two tensors: their length is one
    assert torch.cat(way).tolist() == pytest.approx(expected["perturbation"], abs=tolerance)
    used = h * (w + torch.cat(way))
    assert used.tolist() == pytest.approx(expected["gradient_used"], abs=tolerance)


def test_the_way_is_as_long_as_asked_whatever_the_gradient():
    way = ascent([torch.tensor([3.0]), None, torch.tensor([[0.0, 4.0]])], 0.5)
    assert way[1] is None
    assert torch.cat([way[0], way[2][0]]).tolist() == pytest.approx([0.3, 0.0, 0.4])
    assert ascent([torch.zeros(2)], 0.5)[0].tolist() == [0.0, 0.0]


@pytest.mark.proves("trajectory_exact", "sam")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_its_steps_are_those_of_a_plain_loop(on):
    plan = {"optimizer": "sgd", "schedule": "constant", "momentum": 0.0, "weight_decay": 0.1}
    run = trajectory(Sam, {"rho": 0.3, "lr_factor": 2.0}, on, **plan)
    net = run.net()
    weights = list(net.parameters())
    for batch in run.batches:
        x, y = batch.target.inputs, batch.target.labels
        start = [w.detach().clone() for w in weights]
        gradients = torch.autograd.grad(cross_entropy(net(x), y), weights)
        length = sum(g.square().sum() for g in gradients).sqrt()
        noted = {name: value.clone() for name, value in net.named_buffers()}
        for w, g in zip(weights, gradients, strict=True):
            w.data += 0.3 * g / length
        gradients = torch.autograd.grad(cross_entropy(net(x), y), weights)
        net.load_state_dict(noted, strict=False)  # as the first pass left it
        for w, w0, g in zip(weights, start, gradients, strict=True):
            w.data = w0 - 0.04 * (g + 0.1 * w0)
    same(run, net)


def test_half_precision_does_not_lose_the_way_uphill(monkeypatch):
    (moment,) = Bench(Sam).moments(10)
    strategy, seen = moment.strategy, moment.batch.target
    with torch.no_grad():  # logits so sure that their gradients are no half-precision numbers
        strategy.head.weight.mul_(1e-3)
        strategy.head.bias.copy_(torch.tensor([17.0, 0.0, 0.0]))
    sure = replace(moment.batch, target=replace(seen, labels=torch.zeros_like(seen.labels)))
    lengths = []

    def noted(gradients, rho):
        way = ascent(gradients, rho)
        lengths.append(float(sum(part.square().sum() for part in way).sqrt()))
        return way

    monkeypatch.setattr(sam, "ascent", noted)
    with torch.autocast("cpu", torch.float16):
        strategy.loss(sure, 0.0)
    assert lengths == [pytest.approx(0.05, rel=1e-3)]


def test_without_a_step_uphill_it_is_fine_tuning_bit_for_bit():
    plan = Training(steps=6, batch_size=8)
    plain = Bench(FullFinetuning, {"lr_factor": 0.3}, training=plan).run(10)
    flat = Bench(Sam, {"rho": 0.0, "lr_factor": 0.3}, training=plan).run(10)
    steep = Bench(Sam, {"rho": 0.05, "lr_factor": 0.3}, training=plan).run(10)
    assert all(torch.equal(flat.state[name], value) for name, value in plain.state.items())
    assert not torch.equal(steep.state["head.weight"], plain.state["head.weight"])


def test_statistics_are_of_the_first_pass_and_dropout_the_same_in_both():
    (moment,) = Bench(Sam).moments(10)
    strategy = moment.strategy
    norm, drawn = strategy.backbone.network.bn1, []
    strategy.backbone.network.dropout.register_forward_hook(
        lambda module, given, out: drawn.append(out == 0)
    )
    counted = norm.num_batches_tracked.item()
    strategy.loss(moment.batch, 0.0)
    assert norm.num_batches_tracked.item() == counted + 1
    first, second = drawn
    off = ~(first | second).logical_xor(first & second)  # relu gives zeros of its own
    assert off.float().mean() > 0.9
