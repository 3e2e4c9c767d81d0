"""Discriminative rates (Howard & Ruder 2018, section 3.2)."""

import pytest
import torch

import watched_rates
from transfergrid.records.training import Training
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.layerwise_lr import LayerwiseLR
from transfergrid.testing.bench import Bench


def rates_of(patch, plan, **arguments):
    """Return the rate of each group at each step, by the optimiser itself."""
    bench = Bench(LayerwiseLR, {"lr_factor": 1.0, **arguments}, training=plan)
    names = ["head", "stem", "body", "neck"]
    return [dict(zip(names, row, strict=True)) for row in watched_rates.rates_of(bench, 10, patch)]


@pytest.mark.proves("formula_exact", "layerwise_lr")
def test_rates_of_ulmfit_for_four_layers(monkeypatch):
    rates = rates_of(monkeypatch, Training(steps=2, lr=0.01, schedule="constant"))
    found = [rates[1][name] for name in ("head", "neck", "body", "stem")]
    assert found == pytest.approx([0.01, 0.003846, 0.001479, 0.000569], abs=5e-7)


def test_rates_follow_the_slanted_triangle(monkeypatch):
    rates = rates_of(monkeypatch, Training(steps=20, lr=0.01), schedule="slanted_triangular")
    head = [rate["head"] for rate in rates]
    assert head[0] == pytest.approx(0.0003125)
    assert head[1] == pytest.approx(0.00515625)
    assert head[2] == pytest.approx(0.01)
    assert head[10] == pytest.approx(0.00569444, abs=5e-9)
    assert all(rate["stem"] == pytest.approx(rate["head"] / 2.6**3) for rate in rates)


@pytest.mark.parametrize(("granularity", "depth"), [("coarse", 3), ("fine", 5)])
def test_every_parameter_is_in_one_group_at_its_depth(granularity, depth):
    strategy = Bench(LayerwiseLR, {"decay": 0.5, "granularity": granularity}).set_up(10).strategy
    head, *blocks = strategy.phases()[0].learning()
    groups = [head, *blocks[::-1]]
    owned = [id(p) for group in groups for p in group.parameters]
    assert sorted(owned) == sorted(id(p) for p in strategy.parameters())
    assert [group.factor for group in groups] == [0.5**d for d in range(depth + 1)]
    first = strategy.backbone.network.conv1.weight
    assert any(p is first for p in groups[-1].parameters)


def test_decay_of_one_is_plain_finetuning():
    layered = Bench(LayerwiseLR, {"decay": 1.0, "lr_factor": 1.0}).run(10)
    plain = Bench(FullFinetuning, {"lr_factor": 1.0}).run(10)
    assert all(torch.equal(tensor, plain.state[name]) for name, tensor in layered.state.items())
