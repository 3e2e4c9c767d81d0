"""Jumpstart, slope, asymptote, area and transfer ratio of curves whose answers are known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curve_pairs import both_noisy, pair, swapped
from transfergrid.evidence.curves import measures as cm
from transfergrid.evidence.curves.measures import Axis, Both
from transfergrid.evidence.statistics.intervals import SEEDS_AND_ITEMS, THIS_TEST_SET

HAND = pair([[60, 70, 90], [64, 74, 94]], [[40, 60, 90], [42, 62, 92]], (2, 4, 16))


def test_jumpstart_is_the_gain_at_the_first_point_by_a_paired_t():
    found = cm.jumpstart(HAND)
    assert found.value == pytest.approx(21)
    assert (found.low, found.high) == pytest.approx((21 - 12.7062, 21 + 12.7062), abs=1e-3)
    assert (found.n, found.scope) == (2, THIS_TEST_SET)


def test_slope_is_the_early_rise_per_doubling():
    found = cm.slope(HAND)  # the first two of three points, one doubling apart
    assert (found.arm.value, found.baseline.value, found.gain.value) == pytest.approx((10, 20, -10))
    line = pair([[0, 3, 6, 9]], [[0, 0, 0, 0]], (1, 2, 4, 8))
    assert cm.slope(line).arm.value == pytest.approx(3)


def test_the_end_is_a_third_of_the_points_one_to_three():
    assert [cm.last_points(n) for n in (2, 3, 5, 6, 9, 30)] == [1, 1, 1, 2, 3, 3]
    x = range(1, 7)
    found = cm.asymptote(pair([[0, 0, 0, 0, 6, 8]], [[0, 0, 0, 0, 5, 5]], x, Axis.STEPS))
    assert found.gain.value == pytest.approx(2)


def test_area_is_the_trapezoid_over_log_labels_but_over_plain_steps():
    scores = [[0, 10, 20]], [[0, 0, 0]]
    # log2: widths 1 and 2, areas 5 and 30; plain: widths 2 and 12, areas 10 and 180
    assert cm.area(pair(*scores, (2, 4, 16))).arm.value == pytest.approx(35 / 3)
    assert cm.area(pair(*scores, (2, 4, 16), Axis.STEPS)).arm.value == pytest.approx(190 / 14)


def test_transfer_ratio_is_of_areas_above_chance():
    both = pair([[75, 75], [77, 77], [73, 73]], [[65, 65], [66, 66], [64, 64]])
    found = cm.transfer_ratio(both, classes=2)  # .5 above chance against .3
    assert found.value == pytest.approx(2 / 3)
    assert found.low < 2 / 3 < found.high


def test_transfer_ratio_agrees_with_fiellers_formula():
    both = both_noisy()
    found = cm.transfer_ratio(both, classes=10)
    w = cm.area_weights(both)
    a, b = (((v @ w)[:, 0] / 100 - 0.1) / 0.9 for v in (both.arm, both.baseline))
    n, t = len(a), 2.7764451
    (saa, sab), (_, sbb) = np.cov(a, b) / n
    roots = np.roots([b.mean() ** 2 - t**2 * sbb, -2 * (a.mean() * b.mean() - t**2 * sab),
                      a.mean() ** 2 - t**2 * saa])  # fmt: skip
    assert (found.low, found.high) == pytest.approx(tuple(sorted(roots - 1)), abs=1e-5)


def test_transfer_ratio_is_undefined_unless_the_baseline_lies_above_chance():
    near = pair([[75, 75], [80, 80]], [[51, 51], [60, 60]])
    found = cm.transfer_ratio(near, classes=2)
    assert found.value is None
    assert "not shown to lie above chance" in found.note
    alone = cm.transfer_ratio(pair([[75, 75]], [[65, 65]]), classes=2)
    assert alone.value is None
    assert "no interval" in alone.note


def test_items_that_all_blocks_share_count_as_a_source_of_error():
    rng = np.random.default_rng(0)
    right = [100.0 * (rng.random((4, 60, 2)) < share) for share in (0.9, 0.6)]
    both = Both(Axis.LABELS, np.array([2.0, 20.0]), *right)
    seeds = replace(both, arm=both.arm.mean(1, keepdims=True),
                    baseline=both.baseline.mean(1, keepdims=True))  # fmt: skip
    for measure in (cm.jumpstart, lambda b: cm.area(b).gain, lambda b: cm.transfer_ratio(b, 10)):
        crossed, alone = measure(both), measure(seeds)
        assert (crossed.scope, alone.scope) == (SEEDS_AND_ITEMS, THIS_TEST_SET)
        assert crossed.value == pytest.approx(alone.value)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_swapping_the_arms_negates_every_gain(seed):
    both = both_noisy(seed)
    for measure in (cm.jumpstart, *(lambda b, m=m: m(b).gain for m in (cm.slope, cm.asymptote,
                                                                       cm.area))):  # fmt: skip
        one, other = measure(both), measure(swapped(both))
        assert other.value == pytest.approx(-one.value)
        assert (other.low, other.high) == pytest.approx((-one.high, -one.low))


@settings(deadline=None, max_examples=25)
@given(st.floats(0.1, 50), st.floats(-20, 20))
def test_measures_move_with_the_scores_unit_and_not_with_that_of_labels(scale, shift):
    both = both_noisy()
    moved = Both(both.axis, both.x * scale, both.arm + shift, both.baseline + shift)
    assert cm.area(moved).gain.value == pytest.approx(cm.area(both).gain.value)
    assert cm.area(moved).arm.value == pytest.approx(cm.area(both).arm.value + shift)
    assert cm.slope(moved).arm.value == pytest.approx(cm.slope(both).arm.value)


def test_one_seed_has_a_value_and_says_why_there_is_no_interval():
    found = cm.jumpstart(pair([[60, 70]], [[50, 70]]))
    assert (found.value, found.low, found.scope) == (10, None, None)
    assert found.note == "one seed: no interval"


def test_points_must_increase():
    with pytest.raises(ValueError, match="increase"):
        pair([[1, 2]], [[1, 2]], (20, 2))
