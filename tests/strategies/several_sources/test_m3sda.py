"""Moments of sources and target, entry by entry, norms not squared (Peng et al. 2019)."""

import pytest
import torch

from golden import golden
from transfergrid.data.several_domains import SeveralDomains
from transfergrid.strategies.several_sources.m3sda import M3sda, apart
from transfergrid.strategies.several_sources.weighted_sources import WeightedSources
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyDomain, TinySource


@pytest.mark.proves("formula_exact", "m3sda")
def test_the_distance_of_moments():
    given, expected, tolerance = golden("m3sda", "moments")
    first, target = (torch.tensor(given[n], dtype=torch.float64) for n in ("source1", "target"))
    sources = [first, 0.5 * first + 1]
    found = [apart(sources, target, order).item() for order in (1, 2)]
    assert found[0] == pytest.approx(expected["order1"], abs=tolerance)
    assert found[1] == pytest.approx(expected["order2_raw"], abs=tolerance)
    assert sum(found) == pytest.approx(expected["sum"], abs=tolerance)


@pytest.mark.proves("formula_exact", "m3sda")
def test_three_sources_make_three_pairs_each_counted_once():
    """Means 1, 4 and 9 on one entry, target 0: (1 + 4 + 9) / 3 + (3 + 8 + 5) / 3."""
    sources = [torch.full((2, 1), value) for value in (1.0, 4.0, 9.0)]
    assert apart(sources, torch.zeros(5, 1), 1).item() == pytest.approx(10.0)
    assert apart(sources[::-1], torch.zeros(5, 1), 1).item() == pytest.approx(10.0)
    assert apart(sources[:1], torch.zeros(5, 1), 1).item() == pytest.approx(1.0)


def test_where_moments_agree_the_gradient_is_nothing_and_no_nan():
    same = torch.ones(3, 2, requires_grad=True)
    apart([same, torch.ones(3, 2)], torch.ones(4, 2), 1).backward()
    assert same.grad.tolist() == [[0.0, 0.0]] * 3


@pytest.mark.parametrize("labels", [0, 10])
def test_without_its_weight_it_is_equal_weights_bit_for_bit(labels):
    one = Bench(M3sda, {"weight": 0.0, "lr_factor": 1.0}, source=three()).run(labels)
    other = Bench(WeightedSources, {"by": "equal", "lr_factor": 1.0}, source=three()).run(labels)
    assert torch.equal(one.predictions, other.predictions)
    for name, value in other.state.items():
        if not name.startswith("scaffold."):
            assert torch.equal(value, one.state[name]), name


def three():
    return TinySource(domain=SeveralDomains(parts=[TinyDomain(shift=s) for s in (0.3, 0.5, 0.7)]))


def test_the_order_in_which_sources_are_named_is_no_matter():
    parts = [TinyDomain(shift=s) for s in (0.3, 0.5, 0.7)]
    runs = [
        Bench(M3sda, source=TinySource(domain=SeveralDomains(parts=order))).run(0)
        for order in (parts, parts[::-1])
    ]
    assert torch.equal(runs[0].predictions, runs[1].predictions)


def test_each_source_has_a_batch_of_its_own():
    run = Bench(M3sda, source=three()).run(0)
    assert run.fitted.taken["source"] == 3 * run.fitted.steps
    assert len(run.setup.data.source) == 3
    shifts = [view.prepared.place["content"] for view in run.setup.data.source]
    assert len(set(shifts)) == 3
