"""Where transfer stops helping, told as a bracket, and where it cannot be told."""

import numpy as np
import pytest

from curve_pairs import noisy, pair
from transfergrid.evidence.curves.crossover import crossover, gain_signs

X = (2, 8, 32)
LUCK = np.array([-1.0, 0.0, 1.0])[:, None]


def falling(*gains, x=X):
    return pair(LUCK + np.array(gains, dtype=float), np.zeros((3, len(gains))), x)


def test_the_bracket_runs_from_the_last_budget_that_helps_to_the_next():
    found = crossover(falling(20, 10, -10))
    assert (found.kind, found.after, found.before) == ("between", 8, 32)
    assert found.value == pytest.approx(16)  # half way on log labels
    half = 4.3026527 / 3**0.5  # over a slope of 10 points a doubling
    assert np.log2([found.low, found.high]) == pytest.approx([4 - half / 10, 4 + half / 10])
    assert "below zero at 32 a class" in found.note


def test_a_gain_that_only_fades_has_no_upper_end():
    found = crossover(falling(20, 10, 1))
    assert (found.kind, found.after, found.before) == ("between", 8, 32)
    assert (found.value, found.high) == (None, None)
    assert 8 < found.low < 32


def test_transfer_that_helps_to_the_end_crosses_beyond_it():
    found = crossover(falling(0, 10, 10))
    assert (found.kind, found.after, found.before) == ("beyond", 32, None)


def test_transfer_that_never_helps_has_no_crossover_and_says_where_it_hurts():
    found = crossover(falling(-10, 0, -10))
    assert (found.kind, found.after) == ("never helps", None)
    assert found.note == "the interval lies below zero at 2, 32 a class"
    assert crossover(falling(0, 0, 0)).note == ""


def test_one_seed_does_not_tell():
    found = crossover(pair([[9, 1]], [[0, 0]]))
    assert found.kind == "unknown"
    assert gain_signs(pair([[9, 1]], [[0, 0]])) == [None, None]


def test_the_interval_covers_the_true_crossover():
    rng, hits, runs = np.random.default_rng(1), 0, 200
    for _ in range(runs):
        found = crossover(
            pair(noisy(rng, (15, 5, -5, -15), sd=1.5), np.zeros((5, 4)), (1, 4, 16, 64))
        )
        hits += (found.low or 0) <= 8 <= (found.high or np.inf)
    assert 0.92 <= hits / runs <= 0.985
