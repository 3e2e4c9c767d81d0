"""Planted truth is what it says: means, spreads and disagreements of what is drawn."""

import dataclasses
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from transfergrid.evidence.calibration.planted import (
    Noise,
    Scenario,
    chance_of_none,
    correlation,
    disagreement,
    draw,
    run,
    truth,
)
from transfergrid.records.errors import BadInputError

NOISE = Noise(items=2_000, sd=2.0)


def drawn_once(noise, family=1, blocks=4, simulations=300):
    return list(draw(noise, family, blocks, simulations))


@pytest.mark.parametrize("scenario", list(Scenario))
@pytest.mark.parametrize("gain", [0.0, 5.0])
def test_the_mean_gain_is_the_planted_one(scenario, gain):
    """Over simulations, each with new seeds and items; collapses are part of the gain."""
    noise = dataclasses.replace(NOISE, items=100)
    found = [
        100 * (right[:, 1] - right[:, 0]).mean(-1).mean(-1)
        for drawn in draw(noise, 1, 4, 4_000)
        for right in [run(noise, scenario, gain, drawn).astype(np.float32)]
    ]
    gains = np.concatenate(found)
    expected = truth(noise, scenario, gain, 1)[0]
    assert abs(gains.mean() - expected) < 3.5 * stats.sem(gains)
    if scenario is Scenario.COLLAPSE_ONLY:
        assert expected == pytest.approx(0.1 * (10 - 85))


def test_disagreements_are_those_asked_for():
    """Of an arm and its baseline in a block, and of two seeds of an arm; no seed effect."""
    noise = dataclasses.replace(NOISE, sd=0.0)
    across, within = [], []
    for drawn in drawn_once(noise):
        right = run(noise, Scenario.NORMAL, 0.0, drawn)
        across.append((right[:, 0, 0] != right[:, 1, 0]).mean())
        within.append((right[:, 1, 0] != right[:, 1, 1]).mean())
    assert 100 * fmean(across) == pytest.approx(15, abs=0.3)
    assert 100 * fmean(within) == pytest.approx(9, abs=0.3)


def test_the_gain_spreads_over_seeds_by_the_sd():
    """Endless items: the variance of block gains beyond what is left of an item in a block."""
    noise = dataclasses.replace(NOISE, sd=2.0)
    beyond = []
    for drawn in drawn_once(noise):
        right = 100.0 * run(noise, Scenario.NORMAL, 0.0, drawn)
        gains = right[:, 1] - right[:, 0]
        blocks, items = gains.mean(-1, keepdims=True), gains.mean(1, keepdims=True)
        left = gains - blocks - items + gains.mean((1, 2), keepdims=True)
        within = (left**2).sum((1, 2)) / (3 * 1_999) / 2_000
        beyond.append(blocks.var(axis=1, ddof=1)[:, 0] - within)
    assert np.concatenate(beyond).mean() == pytest.approx(4.0, rel=0.15)


def test_arms_of_a_family_share_their_baseline_and_all_but_the_first_gain_nothing():
    noise = dataclasses.replace(NOISE, items=400)
    assert truth(noise, Scenario.SKEW, 3.0, 3).tolist() == [3.0, 0.0, 0.0]
    (drawn,) = drawn_once(noise, family=3)
    gains = run(noise, Scenario.SKEW, 3.0, drawn).mean((-1, -2)) @ [
        [-1, -1, -1],
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
    ]
    assert 100 * gains.mean(axis=0) == pytest.approx([3, 0, 0], abs=0.5)
    assert np.corrcoef(gains.T)[1, 2] > 0.2


def test_tetrachoric_correlation_agrees_with_the_bivariate_normal():
    for one, other, r in ((0.85, 0.85, 0.7), (0.9, 0.6, 0.3), (0.3, 0.55, 0.9)):
        corner = [stats.norm.ppf(one), stats.norm.ppf(other)]
        both = stats.multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf(corner)
        assert correlation(one, other, both) == pytest.approx(r, abs=1e-3)
    assert correlation(0.5, 0.5, 0.25) == 0
    assert disagreement(0.5, 0.5) == pytest.approx(
        1 / 3
    )  # orthants: both right in 1/4 + arcsin(r) / 2π


def test_skewed_effects_are_skewed_and_of_the_arms_alone():
    (drawn, *_) = draw(Noise(items=2), 1, 2, 50_000)
    skewed = drawn.own[Scenario.SKEW]
    assert not skewed[:, 0].any()
    assert skewed[:, 1].mean() == pytest.approx(0, abs=0.02)
    assert skewed[:, 1].std() == pytest.approx(1, abs=0.05)
    assert stats.skew(skewed[:, 1].ravel()) < -2.5


def test_no_seed_collapses_as_often_as_chance_has_it():
    """SCIENCE: with 10 and 20 % of collapses, 59 and 33 % of five seeds show none."""
    assert chance_of_none(0.1, [5])[0] == pytest.approx(0.59, abs=0.005)
    assert chance_of_none(0.2, [5])[0] == pytest.approx(0.33, abs=0.005)


@pytest.mark.parametrize(
    "changes",
    [
        {"items": 1},
        {"accuracy": 100.0},
        {"disagreement": 30.0},  # more than unrelated arms at 85 %: 25.5
        {"same_arm": 16.0},  # more than the arms
        {"collapse": 1.0},
        {"sd": -1.0},
    ],
)
def test_what_cannot_be_is_refused(changes):
    with pytest.raises(BadInputError):
        dataclasses.replace(NOISE, **changes)


def test_a_gain_that_leaves_no_accuracy_is_refused():
    (drawn,) = drawn_once(Noise(items=10), simulations=2)
    with pytest.raises(BadInputError, match="no room"):
        run(Noise(items=10), Scenario.NORMAL, 90.0, drawn)
