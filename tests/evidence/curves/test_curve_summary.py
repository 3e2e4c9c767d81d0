"""Charging a source moves the arm's curve along the axis and nothing else."""

import numpy as np
import pytest

from curve_pairs import pair
from transfergrid.evidence.curves.measures import Axis
from transfergrid.evidence.curves.summary import charged, measures, shifted

STEPS = (10, 20, 30, 40)
LUCK = np.array([-1.0, 0.0, 1.0])[:, None]
BOTH = pair(LUCK + np.array([60, 70, 80, 90]), 2 * LUCK + [40, 50, 60, 70], STEPS, Axis.STEPS)


def test_both_arms_are_compared_at_equal_totals():
    moved = shifted(BOTH, 10)
    assert moved.x.tolist() == [20, 30, 40]
    assert moved.arm.mean(axis=(0, 1)) == pytest.approx([60, 70, 80])
    assert moved.baseline.mean(axis=(0, 1)) == pytest.approx([50, 60, 70])
    between = shifted(BOTH, 15)
    assert between.x.tolist() == [25, 30, 35, 40]
    assert between.arm.mean(axis=(0, 1)) == pytest.approx([60, 65, 70, 75])


def test_a_charge_of_nothing_changes_nothing():
    plain = measures(BOTH, 65, 10)
    assert charged(BOTH, plain, 10, 0.0) == plain


def test_the_charge_is_added_to_what_the_arm_takes():
    plain = measures(BOTH, 65, 10)  # 15 steps against 35
    dear = charged(BOTH, plain, 10, 10)
    assert plain.efficiency.value == pytest.approx(35 / 15)
    assert dear.reach.arm.value == pytest.approx(25)
    assert dear.efficiency.value == pytest.approx(35 / 25)
    assert dear.area.gain.value == pytest.approx(10)
    assert dear.jumpstart.value == pytest.approx(10)


def test_a_source_dearer_than_the_baseline_was_followed_leaves_the_threshold_alone():
    dear = charged(BOTH, measures(BOTH, 65, 10), 10, 400)
    assert dear.area.gain.value is None
    assert dear.jumpstart.note == (
        "no common part: the source alone takes 400, and the baseline was followed to 40"
    )
    assert dear.efficiency.value == pytest.approx(35 / 415)


def test_a_score_that_is_not_accuracy_has_no_transfer_ratio():
    assert "accuracy only" in measures(BOTH, 65, None).transfer_ratio.note
