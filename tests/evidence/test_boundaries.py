"""Boundaries of several looks: golden values, and what simulation says of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from transfergrid.evidence.statistics.boundaries import hwang_shih_decani, nominal_levels, pocock

# Computed by another program, for looks at 3, 5, 10 and 20 of 20 seeds at 5 %.
LOOKS = (3, 5, 10, 20)
OBRIEN_FLEMING = (
    (4.179276857306396e-07, 8.85754383214038e-05, 0.005574596680784415, 0.05),
    (4.179276857306396e-07, 8.84024641562773e-05, 0.00553794654809091, 0.04777414151423527),
)
POCOCK = (
    (0.011465913393450993, 0.01786870097543942, 0.031005725347913876, 0.05),
    (0.011465913393450987, 0.009633300385662137, 0.016973221276631294, 0.025660634390402486),
)
HWANG_SHIH_DECANI = (
    (0.0027379537928502442, 0.00507681620457759, 0.013447071068499754, 0.05),
    (0.002737953792850245, 0.003051990662415396, 0.009618890180006107, 0.042033440799704565),
)


@pytest.mark.parametrize(("spent", "levels"), [OBRIEN_FLEMING, POCOCK, HWANG_SHIH_DECANI])
def test_levels_are_the_golden_ones(spent, levels):
    assert nominal_levels(LOOKS, spent) == pytest.approx(levels, rel=1e-6)


def test_two_looks_by_obrien_and_fleming():
    told = [0.005574596680784402, 0.047780963321594074]
    assert nominal_levels((10, 20), OBRIEN_FLEMING[0][2:]) == pytest.approx(told, rel=1e-6)


@pytest.mark.parametrize(
    ("function", "spent"), [(pocock, POCOCK[0]), (hwang_shih_decani, HWANG_SHIH_DECANI[0])]
)
def test_what_may_be_spent_is_golden_and_all_of_it_at_the_end(function, spent):
    assert [0.05 * function(n / 20) for n in LOOKS] == pytest.approx(spent)
    assert (function(0.0), function(1.0), function(1.7)) == pytest.approx((0, 1, 1))


def test_levels_do_not_depend_on_the_unit_of_evidence():
    once, twice = (nominal_levels(np.array(LOOKS) * unit, POCOCK[0]) for unit in (1, 0.01))
    assert once == pytest.approx(twice)


def test_a_look_that_may_spend_nothing_decides_nothing_and_costs_nothing():
    levels = nominal_levels((5, 6, 10), (0.02, 0.02, 0.05))
    assert levels[1] == 0
    assert levels[2] == pytest.approx(nominal_levels((5, 10), (0.02, 0.05))[-1], rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(2, 60), min_size=1, max_size=6, unique=True))
def test_each_level_lies_between_what_is_new_and_what_is_spent(looks):
    """At least what this look may spend, for what others rejected is part of it."""
    looks = sorted(looks)
    spent = [0.05 * pocock(n / 60) for n in looks]
    levels = np.array(nominal_levels(looks, spent))
    assert (levels >= np.diff([0, *spent]) - 1e-9).all()
    assert (levels <= np.array(spent) + 1e-9).all()


def test_simulated_looks_spend_what_they_may():
    runs = np.random.default_rng(0).normal(size=(60_000, 20))
    wrong = np.zeros(len(runs), dtype=bool)
    for n, level, spent in zip(LOOKS, POCOCK[1], POCOCK[0], strict=True):
        z = runs[:, :n].sum(axis=1) / n**0.5
        wrong |= 2 * stats.norm.sf(np.abs(z)) <= level
        assert wrong.mean() == pytest.approx(spent, abs=0.003)
