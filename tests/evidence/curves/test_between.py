"""Estimates between points are those of the scores there, found without averaging them again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfergrid.evidence.curves.between import Mix, Mixtures
from transfergrid.evidence.curves.measures import estimate


def scores(blocks, items, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(50, 10, (blocks, 1, 3)) + rng.normal(0, 20, (blocks, items, 3))


@settings(deadline=None, max_examples=40)
@given(
    st.integers(2, 6), st.integers(1, 40), st.floats(-3, 3), st.floats(0.05, 3), st.integers(0, 99)
)
def test_they_equal_those_of_the_summed_scores(blocks, items, weight, other, seed):
    values = scores(blocks, items, seed)
    found = Mixtures(values).estimate(Mix(0, weight, 2, other))
    exact = estimate(weight * values[:, :, 0] + other * values[:, :, 2])
    if found is not None:
        assert found.mean == pytest.approx(exact.mean, rel=1e-9, abs=1e-9)
        assert found.se == pytest.approx(exact.se, rel=1e-9)
        assert found.df == pytest.approx(exact.df, rel=1e-9)


def test_where_all_but_cancels_the_scores_themselves_are_asked():
    values = np.repeat(scores(5, 30)[:, :, :1], 3, axis=2)
    sums, asked = Mixtures(values), []

    def exact():
        asked.append(1)
        return estimate(values[:, :, 0] - values[:, :, 1])

    assert sums.estimate(Mix(0, 1.0, 1, -1.0)) is None
    assert sums.less(Mix(0, 1.0, 1, -1.0), 0, 5.0, exact) is None  # no variation: no interval
    assert sums.less(Mix(0, 0.5, 1, 0.5), None, 0.0, exact) == pytest.approx(values.mean())
    assert asked == [1]


def test_a_level_that_is_the_mean_itself_is_told_by_the_scores():
    values = scores(5, 30)
    level = float(values[:, :, 0].mean())
    sums = Mixtures(values)
    assert sums.less(Mix(0, 1.0, 1, 0.0), None, level, lambda: estimate(values[:, :, 0])) == 0.0
