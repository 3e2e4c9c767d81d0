"""Intervals for crossed blocks and items: by hand, by simulation, by symmetry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from transfergrid.evidence.intervals import (
    SEEDS_AND_ITEMS,
    THIS_MODEL,
    THIS_TEST_SET,
    over_blocks,
    over_blocks_and_items,
    over_blocks_and_resamples,
)

GAINS = np.array([[1.0, 0.0, 2.0], [3.0, 2.0, 1.0]])


def test_two_blocks_by_three_items_by_hand():
    """Block means 1, 2: A = 1/4. Item means 2, 1, 1.5: B = 1/12. Left ±.5, ±.5, ±1: C = 1.5/2/6."""
    estimate = over_blocks_and_items(GAINS)
    a, b, c = 1 / 4, 1 / 12, 3 / 2 / 6
    assert (estimate.mean, estimate.scope) == (1.5, SEEDS_AND_ITEMS)
    assert estimate.se == pytest.approx((a + b - c) ** 0.5)
    assert estimate.df == pytest.approx(b**2 / (a**2 / 1 + b**2 / 2 + c**2 / 2))


def test_the_error_is_never_under_that_of_the_items():
    """Blocks that agree by chance leave A < C; SE² falls to B, and never to zero or below."""
    gains = np.array([[1.0, 0.0, 2.0, 1.0], [2.0, 1.0, 0.0, 1.0]])  # equal block means: A = 0
    b = np.var([1.5, 0.5, 1.0, 1.0], ddof=1) / 4
    assert over_blocks_and_items(gains).se == pytest.approx(b**0.5)


def test_one_block_speaks_of_one_model_by_its_items():
    estimate = over_blocks_and_items(GAINS[:1])
    assert (estimate.scope, estimate.df) == (THIS_MODEL, 2)
    assert estimate.se == pytest.approx(stats.sem(GAINS[0]))


def test_seeds_alone_are_the_paired_t_interval():
    """scipy's one-sample interval, which knows nothing of this code."""
    gains = np.array([1.0, 2.5, -0.5, 3.0])
    expected = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    assert over_blocks(gains).interval() == pytest.approx(tuple(expected))
    assert over_blocks(gains).scope == THIS_TEST_SET
    assert over_blocks_and_items(gains[:, None]) == over_blocks(gains)  # a test set of one item


@pytest.mark.parametrize("gains", [np.zeros((3, 4)), np.ones((3, 4)), np.zeros((1, 4))])
def test_without_any_variation_there_is_no_interval(gains):
    estimate = over_blocks_and_items(gains)
    assert estimate.interval() == (None, None)
    assert estimate.mean == gains.mean()


def test_one_number_has_no_interval():
    assert over_blocks(np.array([2.0])).interval() == (None, None)


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 9), st.floats(-50, 50))
def test_shifting_all_gains_shifts_the_interval_and_swapping_arms_turns_it(seed, n, items, shift):
    gains = np.random.default_rng(seed).normal(size=(n, items))
    low, high = over_blocks_and_items(gains).interval()
    if low is None or high is None:
        return
    assert over_blocks_and_items(gains + shift).interval() == pytest.approx(
        (low + shift, high + shift), rel=1e-6, abs=1e-6
    )
    assert over_blocks_and_items(-gains).interval() == pytest.approx((-high, -low))


@pytest.mark.parametrize(("n", "items"), [(5, 360), (10, 360)])
def test_false_alarms_stay_at_five_percent_where_seeds_alone_raise_many(n, items):
    """Planted truth: no gain over the population of seeds and items, but luck with these items.

    Seeds alone mistake that luck for a gain, the more surely the more seeds there are.
    """
    rng = np.random.default_rng(7)
    alarms = {"crossed": 0, "seeds": 0}
    studies = 2000
    for _ in range(studies):
        block = rng.normal(0, 0.01, size=(n, 1))
        item = rng.normal(0, 0.3, size=(1, items))
        gains = block + item + rng.normal(0, 0.3, size=(n, items))
        for name, estimate in (
            ("crossed", over_blocks_and_items(gains)),
            ("seeds", over_blocks(gains.mean(axis=1))),
        ):
            low, high = estimate.interval()
            alarms[name] += not low <= 0 <= high
    assert 0.035 <= alarms["crossed"] / studies <= 0.065
    assert alarms["seeds"] / studies > 0.15


@pytest.mark.parametrize("n", [3, 5, 10])
def test_false_alarms_with_predictions_that_are_right_or_wrong(n):
    """The same with hits and misses: items differ in difficulty by arm, runs in luck."""
    rng = np.random.default_rng(3)
    studies, items = 1000, 360
    alarms = 0
    for _ in range(studies):
        difficulty = rng.normal(0, 0.7, size=(2, 1, items))
        luck = rng.normal(0, 0.06, size=(2, n, 1))
        right = difficulty + luck + rng.normal(0, 0.7, size=(2, n, items)) > -1
        low, high = over_blocks_and_items(right[0].astype(float) - right[1]).interval()
        alarms += not low <= 0 <= high
    assert 0.035 <= alarms / studies <= 0.065


def test_blocks_and_resampled_items_add_up_by_hand():
    """Gains 1, 2, 3: A = 1/3. B = 1/6 is given, of 11 items."""
    estimate = over_blocks_and_resamples(np.array([1.0, 2.0, 3.0]), 1 / 6, 11)
    assert (estimate.mean, estimate.scope) == (2, SEEDS_AND_ITEMS)
    assert estimate.se == pytest.approx(0.5**0.5)
    assert estimate.df == pytest.approx(0.25 / (1 / 9 / 2 + 1 / 36 / 10))


def test_one_block_with_resampled_items_speaks_of_one_model():
    estimate = over_blocks_and_resamples(np.array([2.0]), 0.25, 11)
    assert (estimate.scope, estimate.se, estimate.df) == (THIS_MODEL, 0.5, 10)
    alone = over_blocks_and_resamples(np.array([1.0, 2.0]), 0.25, 1)
    assert alone == over_blocks(np.array([1.0, 2.0]))


def test_an_interval_that_tells_nothing_is_none():
    """Block means alike, item means alike, all else not: hardly any degrees of freedom are left."""
    gains = np.tile([[100.0, -100.0], [-100.0, 100.0]], (2, 20))
    gains[0, 0], gains[1, 1] = 0.0, 0.0
    estimate = over_blocks_and_items(gains)
    assert estimate.df < 0.1
    assert estimate.interval() == (None, None)
