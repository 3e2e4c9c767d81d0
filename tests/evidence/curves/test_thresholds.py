"""What it takes to reach a score, censored where a curve does not get there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curve_pairs import both_noisy, noisy, pair, swapped
from transfergrid.evidence.curves import thresholds
from transfergrid.evidence.curves.measures import Axis
from transfergrid.evidence.curves.thresholds import break_even, reach, usual_threshold

# on log2 labels the arm rises 10 a doubling from 60, the baseline from 40: four times the labels
ARM, BASELINE, X = [60, 70, 80, 90], [40, 50, 60, 70], (2, 4, 8, 16)
LUCK = np.array([-1.0, 0.0, 1.0])[:, None]


def straight(axis=Axis.LABELS, x=X):
    return pair(LUCK + ARM, LUCK * 2 + BASELINE, x, axis)


def efficiency(both, threshold):
    return thresholds.efficiency(both, reach(both, threshold))


def test_labels_to_a_threshold_are_interpolated_on_their_log():
    found = reach(straight(), 65)
    assert found.arm.value == pytest.approx(2 * 2**0.5)
    assert found.baseline.value == pytest.approx(8 * 2**0.5)
    assert found.gain.value == pytest.approx(-6 * 2**0.5)
    linear = reach(straight(Axis.STEPS, (10, 20, 30, 40)), 65)
    assert linear.arm.value == pytest.approx(15)


def test_the_interval_holds_every_x_whose_score_is_not_told_from_the_threshold():
    found = reach(straight(), 75).arm
    half = 4.3026527 / 3**0.5  # of a 95 % t interval: sd 1, three blocks; 10 points a doubling
    position = np.log2(4) + 0.5
    assert np.log2([found.low, found.high]) == pytest.approx(
        [position - half / 10, position + half / 10], abs=1e-5
    )


def test_a_curve_that_never_gets_there_is_right_censored():
    found = reach(straight(), 85)
    assert (found.baseline.value, found.baseline.relation) == (16, ">")
    assert found.baseline.high is None
    assert found.gain.relation == "<"
    ratio = efficiency(straight(), 85)
    assert ratio.relation == ">"
    assert ratio.value == pytest.approx(16 / (8 * 2**0.5))
    assert ratio.high is None


def test_a_curve_that_is_there_from_the_start_gives_a_bound():
    found = efficiency(straight(), 55)
    assert reach(straight(), 55).arm.relation == "<="
    assert (found.relation, found.value) == (">=", pytest.approx(4 * 2**0.5 / 2))
    nowhere = efficiency(straight(), 99)
    assert nowhere.value is None
    assert nowhere.note == "neither arm reaches the threshold"
    both = efficiency(straight(), 30)
    assert both.value is None
    assert both.note == "both arms start above the threshold"


def test_efficiency_is_how_many_times_the_labels_the_baseline_needs():
    found = efficiency(straight(), 65)
    assert found.value == pytest.approx(4)
    assert found.low < 4 < found.high
    assert efficiency(swapped(straight()), 65).value == pytest.approx(1 / 4)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_identical_arms_need_the_same_and_units_cancel(seed, unit):
    both = both_noisy(seed)
    same = pair(both.arm[:, 0], both.arm[:, 0], both.x * unit)
    assert efficiency(same, usual_threshold(same)).value == pytest.approx(1)
    moved = pair(both.arm[:, 0], both.baseline[:, 0], both.x * unit)
    p = usual_threshold(both)
    assert efficiency(moved, p).value == pytest.approx(efficiency(both, p).value, rel=1e-4)


def test_the_usual_threshold_treats_both_arms_alike_and_lies_where_both_curves_do():
    both = straight()
    assert usual_threshold(both) == pytest.approx(65) == usual_threshold(swapped(both))
    apart = pair([[80, 90]], [[50, 60]])
    assert usual_threshold(apart) == 60


def test_seeds_that_never_reach_it_are_counted():
    both = pair([[50, 90], [50, 60], [50, 90]], [[50, 70]] * 3)
    assert reach(both, 75).arm.note == "1 of 3 seeds never reach it"


def test_a_source_pays_off_once_enough_targets_share_it():
    sides = reach(straight(), 65)  # saves 6√2 on each
    assert break_even(sides, 60 * 2**0.5).value == pytest.approx(10)
    assert break_even(sides, 30 * 2**0.5, each=3 * 2**0.5).value == pytest.approx(10)
    against = break_even(reach(swapped(straight()), 65), 100)
    assert against.value is None
    assert "no saving" in against.note


def test_the_interval_of_efficiency_covers_the_truth():
    rng, hits, runs = np.random.default_rng(0), 0, 150
    for _ in range(runs):
        found = efficiency(pair(noisy(rng, ARM), noisy(rng, BASELINE), X), 65)
        hits += (found.low or 0) <= 4 <= (found.high or np.inf)
    assert 0.9 <= hits / runs <= 0.99
