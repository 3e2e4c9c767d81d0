"""Intervals for crossed blocks and items: by hand, by simulation, by symmetry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from transfergrid.evidence.statistics.intervals import (
    SEEDS_AND_GROUPS,
    SEEDS_AND_ITEMS,
    THIS_MODEL,
    THIS_TEST_SET,
    ItemVariances,
    by_cluster,
    each_over_blocks,
    each_over_blocks_and_items,
    over_blocks,
    over_blocks_and_clusters,
    over_blocks_and_items,
    over_blocks_and_resamples,
)

GAINS = np.array([[1.0, 0.0, 2.0], [3.0, 2.0, 1.0]])

# Computed by another program, of the gains that `golden_gains` makes.
CROSSED = {
    1: (4.333333333333333, 9.15147688573856, 4.422719198913882),
    2: (24.666666666666668, 8.485503313200859, 5.657089118855903),
    3: (18.666666666666668, 7.637502870321029, 7.978509039692824),
    4: (-12.333333333333334, 7.58144727275269, 5.846698035432836),
}
CLUSTERED = (18.666666666666664, 7.502684099712091, 7.36941796178545)  # of arm 3, 35 clusters
BLOCK_VARIANCES = (40.5555555556, 30.3703703704, 33.8425925926, 41.6203703704, 22.0370370370)
MEAN_VARIANCE, LEFT, LEFT_BY_ITEM = 20.414814814814815, 3.3175925925925904, 3.3738229755178906


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
    """Gains 1, 2, 3: A = 1/3. B = 1/6 and single blocks' 1/6, 1/3 and 1/2: C = (1/3 − 1/6)/2."""
    variances = ItemVariances(np.array([1 / 6, 1 / 3, 1 / 2]), 1 / 6, 11)
    estimate = over_blocks_and_resamples(np.array([1.0, 2.0, 3.0]), variances)
    a, b, c = 1 / 3, 1 / 6, 1 / 12
    assert (estimate.mean, estimate.scope) == (2, SEEDS_AND_ITEMS)
    assert estimate.se**2 == pytest.approx(a + b - c)
    assert estimate.df == pytest.approx((a + b - c) ** 2 / (a**2 / 2 + b**2 / 10 + c**2 / 20))
    assert estimate.by_items == pytest.approx(b - c)  # what endless seeds would leave


def test_one_block_with_resampled_items_speaks_of_one_model():
    one = ItemVariances(np.array([0.25]), 0.25, 11)
    estimate = over_blocks_and_resamples(np.array([2.0]), one)
    assert (estimate.scope, estimate.se, estimate.df) == (THIS_MODEL, 0.5, 10)
    alone = ItemVariances(np.array([0.25, 0.25]), 0.25, 1)
    gains = np.array([1.0, 2.0])
    assert over_blocks_and_resamples(gains, alone) == over_blocks(gains)


def golden_gains(arm):
    """Return the gains (5 blocks, 60 items) that the golden values are of, in points."""
    accuracy = (0.7, 0.74, 0.9, 0.95, 0.62)
    i, b = np.arange(60)[None, :], np.arange(5)[:, None]

    def right(a):
        value = (
            ((i * 37) % 60) / 60
            + 0.35 * ((i * (a * a + 3 * a + 5)) % 29) / 29
            + 0.25 * ((7 * i + 13 * b + 5 * a * i + 3 * a * b + 11 * (i // 7)) % 23) / 23
        )
        return (value < accuracy[a] + 0.04 * ((3 * a + 5 * b + a * b * b) % 7)).astype(float)

    return 100.0 * (right(arm) - right(0))


@pytest.mark.parametrize("arm", [1, 2, 3, 4])
def test_the_crossed_estimate_is_the_golden_one(arm):
    found = over_blocks_and_items(golden_gains(arm))
    assert (found.mean, found.se, found.df) == pytest.approx(CROSSED[arm])


def test_the_estimate_over_clusters_is_the_golden_one():
    items, gains = np.arange(60), golden_gains(3)
    clusters = np.unique(items * items // 97, return_inverse=True)[1].astype(np.int32)
    found = over_blocks_and_clusters(gains, clusters)
    assert (found.mean, found.se, found.df) == pytest.approx(CLUSTERED)
    assert (found.items, found.scope) == (35, SEEDS_AND_GROUPS)
    assert over_blocks_and_clusters(gains, None).se == pytest.approx(CROSSED[3][1])


def test_c_from_the_variances_of_the_blocks_is_the_golden_one():
    found = ItemVariances(np.array(BLOCK_VARIANCES), MEAN_VARIANCE, 60)
    assert found.left == pytest.approx(LEFT)
    assert found.left == pytest.approx(LEFT_BY_ITEM * 59 / 60)
    gains = golden_gains(3)
    by_item = over_blocks_and_items(gains)
    resampled = over_blocks_and_resamples(gains.mean(axis=1), found)
    assert resampled.se == pytest.approx(by_item.se, rel=0.005)  # N − 1 beside N


def test_clusters_of_one_size_count_by_their_means_and_single_items_as_themselves():
    gains = np.random.default_rng(0).normal(size=(4, 12))
    alone = np.arange(12, dtype=np.int32)
    assert by_cluster(gains, alone) == pytest.approx(gains)
    pairs = (alone // 2)[::-1]
    assert by_cluster(gains, pairs) == pytest.approx(gains.reshape(4, 6, 2).mean(axis=2)[:, ::-1])


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(2, 30), st.integers(2, 9))
def test_clusters_leave_the_mean_as_it_is(seed, n, items, most):
    rng = np.random.default_rng(seed)
    gains = rng.normal(size=(n, items))
    clusters = np.unique(rng.integers(0, most, items), return_inverse=True)[1].astype(np.int32)
    found = over_blocks_and_clusters(gains, clusters)
    assert found.mean == pytest.approx(gains.mean())
    assert found.items == clusters.max() + 1 or found.items == 1


def test_false_alarms_where_items_come_in_clusters():
    """Planted: no gain over the population; ten items of a patient share most of their luck."""
    rng = np.random.default_rng(5)
    clusters = (np.arange(360) // 10).astype(np.int32)
    alarms = {"items": 0, "clusters": 0}
    studies, n = 1000, 5
    for _ in range(studies):
        patient = rng.normal(size=(1, 36)).repeat(10, axis=1)
        item = 0.3 * (0.9**0.5 * patient + 0.1**0.5 * rng.normal(size=(1, 360)))
        gains = item + rng.normal(0, 0.3, size=(n, 360)) + rng.normal(0, 0.01, size=(n, 1))
        for name, told in (("items", None), ("clusters", clusters)):
            low, high = over_blocks_and_clusters(gains, told).interval()
            alarms[name] += not low <= 0 <= high
    assert 0.03 <= alarms["clusters"] / studies <= 0.07
    assert alarms["items"] / studies > 0.15


def test_an_interval_that_tells_nothing_is_none():
    """Block means alike, item means alike, all else not: hardly any degrees of freedom are left."""
    gains = np.tile([[100.0, -100.0], [-100.0, 100.0]], (2, 20))
    gains[0, 0], gains[1, 1] = 0.0, 0.0
    estimate = over_blocks_and_items(gains)
    assert estimate.df < 0.1
    assert estimate.interval() == (None, None)


@pytest.mark.parametrize("shape", [(7, 5, 40), (3, 1, 9), (4, 12, 1), (2, 2, 130)])
def test_many_at_once_are_to_the_last_bit_those_of_one_after_the_other(shape):
    gains = np.random.default_rng(0).normal(size=shape)
    together = each_over_blocks_and_items(gains)
    assert together == [over_blocks_and_items(one) for one in gains]
    assert each_over_blocks(gains[:, :, 0]) == [over_blocks(one[:, 0]) for one in gains]


def test_what_items_alone_leave_is_the_items_component_of_a_two_way_analysis():
    """By mean squares: (MS of items − MS of what is left) / (blocks · items), t of 4 freedoms."""
    gains = np.array([[6.0, 0.0, 3.0, -1.0, 2.0], [8.0, 1.0, 2.0, 0.0, 4.0], [7.0, 2.0, 4.0, 1, 1]])
    blocks, items = gains.shape
    means = gains.mean(0)
    of_items = blocks * ((means - gains.mean()) ** 2).sum() / (items - 1)
    left = gains - means - gains.mean(1, keepdims=True) + gains.mean()
    of_left = (left**2).sum() / (blocks - 1) / (items - 1)
    by_hand = 2.776445 * ((of_items - of_left) / (blocks * items)) ** 0.5
    assert over_blocks_and_items(gains).items_floor == pytest.approx(by_hand, rel=1e-6)
    assert over_blocks_and_items(gains).times(100).items_floor == pytest.approx(100 * by_hand)


def test_more_blocks_bring_the_interval_down_to_what_items_alone_leave_and_no_further():
    random = np.random.default_rng(3)
    items = random.normal(0, 5, 40)
    floors, halves = [], []
    for blocks in (3, 30, 3000):
        noise = random.normal(0, 2, (blocks, 1)) + random.normal(0, 3, (blocks, 40))
        found = over_blocks_and_items(items + noise)
        floors.append(found.items_floor)
        halves.append(found.high - found.mean)
    assert halves[0] > halves[1] > halves[2] > floors[2]
    assert halves[2] == pytest.approx(floors[2], rel=0.01)
    assert floors[2] == pytest.approx(stats.t.ppf(0.975, 39) * stats.sem(items), rel=0.02)


def test_where_items_are_not_crossed_or_seeds_are_not_nothing_tells_what_items_alone_leave():
    assert over_blocks(np.array([1.0, 2.0, 4.0])).items_floor is None
    assert over_blocks_and_items(GAINS[:1]).items_floor is None
    assert over_blocks_and_items(GAINS[:, :1]).items_floor is None
    assert over_blocks_and_items(np.ones((3, 4))).items_floor is None
