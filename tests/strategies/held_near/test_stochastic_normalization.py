"""Channels normalised by the batch or by the past, at random (Kou et al. 2020)."""

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.sources.timm import TimmArchitecture
from transfergrid.strategies import ImpossibleError
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.held_near import stochastic_normalization
from transfergrid.strategies.held_near.stochastic_normalization import (
    StochasticNormalization,
    normalised,
)
from transfergrid.testing.bench import Bench


def layer_of(given):
    layer = nn.BatchNorm1d(2, given["eps"], given["momentum"]).double().train()
    for name in ("running_mean", "running_var", "weight", "bias"):
        getattr(layer, name).data.copy_(torch.tensor(given[name], dtype=torch.float64))
    return layer


@pytest.mark.proves("formula_exact", "stochastic_normalization")
def test_each_channel_takes_its_statistics():
    given, expected, tolerance = golden("stochastic_normalization", "train_step")
    layer = layer_of(given)
    x = torch.tensor(given["x"], dtype=torch.float64)
    found = normalised(layer, layer.forward, x, torch.tensor(given["s"]) == 1.0)
    for name, value in (
        ("output", found),
        ("new_running_mean", layer.running_mean),
        ("new_running_var", layer.running_var),
    ):
        wanted = torch.tensor(expected[name], dtype=torch.float64)
        assert (value - wanted).abs().max() <= tolerance, name
    assert layer.training


@pytest.mark.proves("formula_exact", "stochastic_normalization")
def test_all_by_the_batch_is_batch_norm_and_none_is_its_eval_mode():
    layer = nn.BatchNorm2d(3).train()
    layer.running_mean += 0.5
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    plain, past = copy.deepcopy(layer), copy.deepcopy(layer).eval()
    for by_batch, wanted in ((True, plain), (False, past)):
        own = copy.deepcopy(layer)
        found = normalised(own, own.forward, x, torch.full((3,), by_batch))
        assert torch.equal(found, wanted(x))
        assert own.num_batches_tracked == 1


def test_gradients_are_of_the_statistics_before_the_batch():
    layer = nn.BatchNorm1d(2).double().train()
    layer.running_var.fill_(4.0)
    x = torch.tensor([[1.0, 2.0], [30.0, -1.0]], dtype=torch.float64, requires_grad=True)
    normalised(layer, layer.forward, x, torch.tensor([False, False])).sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx(4 * [1 / 4.00001**0.5], rel=1e-12)
    assert layer.running_var[0] != 4.0


def test_p_1_is_full_finetuning():
    mixed, plain = (
        Bench(kind, {**told, "lr_factor": 0.3}).run(10)
        for kind, told in ((StochasticNormalization, {"p": 1.0}), (FullFinetuning, {}))
    )
    assert all(torch.equal(value, mixed.state[name]) for name, value in plain.state.items())


def test_other_p_end_elsewhere_and_dropout_is_that_of_full_finetuning():
    mixed, plain = Bench(StochasticNormalization).run(10), Bench(FullFinetuning).run(10)
    assert not torch.equal(mixed.predictions, plain.predictions)
    for moments in zip(*(b.moments(10) for b in BENCHES), strict=True):
        states = []
        for moment in moments:
            torch.manual_seed(5)
            moment.strategy.loss(moment.batch, 0.0)
            states.append(torch.get_rng_state())
        assert torch.equal(*states)


BENCHES = [Bench(StochasticNormalization), Bench(FullFinetuning)]


def test_after_a_loss_the_layers_are_plain_again():
    (moment,) = BENCHES[0].moments(10)
    moment.strategy.loss(moment.batch, 0.0)
    assert all("forward" not in vars(layer) for layer in moment.strategy.norms())


def test_a_network_without_batch_norm_is_impossible():
    with pytest.raises(ImpossibleError, match="no BatchNorm"):
        Bench(StochasticNormalization).on_texts().set_up(10)


def test_norms_that_hold_an_activation_are_mixed_behind_it():
    """timm's layers do the activation themselves; outputs are mixed channel by channel."""
    network = TimmArchitecture("test_efficientnet", 32).build().train()
    layer = next(m for m in network.modules() if isinstance(m, BatchNormAct2d))
    x = torch.randn(4, layer.num_features, 3, 3, generator=torch.Generator().manual_seed(0))
    by_batch = torch.arange(layer.num_features) % 2 == 0
    past, own = copy.deepcopy(layer).eval()(x), copy.deepcopy(layer)(x)
    found = normalised(layer, layer.forward, x, by_batch)
    assert torch.equal(found[:, 0::2], own[:, 0::2])
    assert torch.equal(found[:, 1::2], past[:, 1::2])


@pytest.mark.proves("trajectory_exact", "stochastic_normalization")
def test_twenty_steps_are_those_of_plain_torch(monkeypatch):
    draws = []
    draw = stochastic_normalization.drawn
    monkeypatch.setattr(
        stochastic_normalization, "drawn", lambda *a: draws.append(draw(*a)) or draws[-1]
    )
    run = trajectory(StochasticNormalization, {"lr_factor": 0.5}, schedule="constant")
    assert len(draws) == 2 * 20
    assert 0.3 < torch.cat(draws).double().mean() < 0.7
    assert len({tuple(draw.tolist()) for draw in draws}) > 10
    net, masks = run.net(), iter(draws)
    optimiser = torch.optim.AdamW(net.parameters(), 0.01, weight_decay=0.05)

    def norm(x, bn):
        by_batch, n = next(masks), x.numel() / x.shape[1]
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        m = torch.where(by_batch, mean, bn.running_mean)[:, None, None]
        v = torch.where(by_batch, var, bn.running_var)[:, None, None]
        with torch.no_grad():
            bn.running_mean += 0.1 * (mean - bn.running_mean)
            bn.running_var += 0.1 * (var * n / (n - 1) - bn.running_var)
            bn.num_batches_tracked += 1
        return (x - m) / (v + bn.eps).sqrt() * bn.weight[:, None, None] + bn.bias[:, None, None]

    for batch in run.batches:
        optimiser.zero_grad()
        x = batch.target.inputs
        for layer in net.backbone.network:
            x = norm(x, layer) if isinstance(layer, nn.BatchNorm2d) else layer(x)
        cross_entropy(net.head(x), batch.target.labels).backward()
        optimiser.step()
    same(run, net)
