"""The largest singular values of each domain's features, squared (Chen et al. 2019)."""

import math

import pytest
import torch

from golden import golden
from transfergrid.records.errors import BadInputError
from transfergrid.strategies.adaptation.bsp import Bsp, most_squares
from transfergrid.strategies.adaptation.cdan import Cdan
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench

BASES = pytest.mark.parametrize(
    ("base", "kind"), [("domain_adversarial", DomainAdversarial), ("cdan", Cdan)]
)


@pytest.mark.proves("formula_exact", "bsp")
def test_the_penalty_is_the_largest_value_squared_of_each_domain():
    given, expected, tolerance = golden("bsp", "penalty")
    source, target = (
        torch.tensor(given[f"{n}_features"], dtype=torch.float64) for n in ("source", "target")
    )
    penalty = (most_squares(source, given["k"]) + most_squares(target, given["k"])).item()
    assert penalty == pytest.approx(expected["penalty"], abs=tolerance)
    assert given["weight"] * penalty == pytest.approx(expected["weighted"], abs=tolerance)
    for wrong in ("unsquared_WRONG", "smallest_instead_WRONG"):
        assert abs(penalty - expected[wrong]) > 1


@pytest.mark.proves("formula_exact", "bsp")
@pytest.mark.parametrize(("k", "expected"), [(1, 9.0), (2, 13.0), (3, 13.25), (9, 13.25)])
def test_k_values_are_summed_and_no_more_than_there_are(k, expected):
    """Singular values 3, 2 and .5, turned: of a square no smaller than the sum of them all."""
    turn, _ = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double()
    )
    features = turn @ torch.diag(torch.tensor([2.0, 0.5, 3.0], dtype=torch.float64))
    assert most_squares(features, k).item() == pytest.approx(expected, abs=1e-12)


def test_features_are_not_centred_and_more_rows_weigh_more():
    """Four rows of 2 have the value 4, eight have 4 sqrt(2); centred they would have none."""
    found = [most_squares(torch.full((n, 1), 2.0), 1).item() for n in (4, 8)]
    assert found == pytest.approx([16.0, 32.0], rel=1e-6)


def test_what_is_added_is_of_each_domain_by_itself_and_not_reversed():
    """Domains in one line with each other: jointly their value would be that of both together."""
    (moment,) = Bench(Bsp, {"weight": 0.0, "penalty": 0.1}).moments(0)
    one = torch.zeros(2, 12)
    one[0, 0] = 3.0
    source, target = one.clone().requires_grad_(), (2 * one).requires_grad_()
    other = torch.zeros(2, 12)
    other[0, 1] = 6.0
    added = moment.strategy.alignment(source, target, 0.5)
    assert added.item() == pytest.approx(0.1 * (9 + 36), rel=1e-6)
    crossed = moment.strategy.alignment(source, other, 0.5).item()
    assert crossed == pytest.approx(0.1 * (9 + 36), rel=1e-6)  # jointly 0.1 * 36
    added.backward()
    assert source.grad[0, 0].item() == pytest.approx(0.1 * 2 * 3, rel=1e-6)
    assert target.grad[0, 0].item() == pytest.approx(0.1 * 2 * 6, rel=1e-6)


def test_its_gradient_is_the_slope():
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    own = features.clone().requires_grad_()
    most_squares(own, 2).backward()
    for place in [(0, 0), (3, 1), (4, 2)]:
        moved = torch.zeros_like(features)
        moved[place] = 1e-6
        slope = (most_squares(features + moved, 2) - most_squares(features - moved, 2)) / 2e-6
        assert own.grad[place].item() == pytest.approx(slope.item(), rel=1e-6, abs=1e-8)


def test_of_nothing_at_all_the_gradient_is_nothing():
    features = torch.zeros(4, 3, requires_grad=True)
    most_squares(features, 1).backward()
    assert torch.equal(features.grad, torch.zeros(4, 3))
    assert math.isfinite(most_squares(torch.tensor([[math.nan, 1.0]]), 1).item())


@BASES
@pytest.mark.parametrize("labels", [0, 2])
def test_without_penalty_it_is_its_base_bit_for_bit(base, kind, labels):
    held, plain = Bench(Bsp, {"penalty": 0.0, "base": base}).run(labels), Bench(kind).run(labels)
    assert {*held.state} == {*plain.state}
    assert all(torch.equal(held.state[name], value) for name, value in plain.state.items())
    strong = Bench(Bsp, {"penalty": 0.01, "base": base}).run(labels)
    assert not torch.equal(strong.predictions, plain.predictions)


@BASES
@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (2, SourceAndTarget)])
def test_without_both_weights_it_is_its_baseline_bit_for_bit(base, kind, labels, baseline):
    held = Bench(Bsp, {"weight": 0.0, "penalty": 0.0, "base": base}).run(labels)
    plain = Bench(baseline).run(labels)
    assert all(torch.equal(held.state[name], value) for name, value in plain.state.items())


@pytest.mark.parametrize("option", [{"entropy": "joint"}, {"randomised": 8}])
def test_what_only_cdan_has_is_refused_on_another_base(option):
    with pytest.raises(BadInputError, match=r"strategy\.base=cdan"):
        Bench(Bsp, option).set_up(0)
    assert Bench(Bsp, {"base": "cdan", **option}).set_up(0).strategy.base == "cdan"
