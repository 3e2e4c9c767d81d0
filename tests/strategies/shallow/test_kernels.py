"""Distances, their median, kernels and draws."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from transfergrid.strategies.shallow.kernels import (
    drawn,
    gaussian,
    median_distance,
    squared_distances,
)


def two(n=9, m=13, width=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, width)), 1 + rng.normal(size=(m, width))


@pytest.mark.parametrize("moved", [0.0, 1e6])
def test_distances_are_scipys_wherever_the_features_are(moved):
    one, other = two()
    found = squared_distances(one + moved, other + moved)
    assert np.allclose(found, cdist(one, other) ** 2, atol=1e-8)
    assert (squared_distances(one, one) >= 0).all()


def test_the_median_is_of_different_examples_of_both_domains():
    one, other = two()
    assert median_distance(one, other) == pytest.approx(np.median(pdist(np.vstack([one, other]))))
    assert median_distance(np.ones((5, 3)), np.ones((2, 3))) == 1.0
    assert median_distance(np.ones((1, 3)), np.ones((0, 3))) == 1.0


def test_of_many_examples_evenly_spaced_ones_stand_for_all():
    rng = np.random.default_rng(0)
    one, other = np.sort(rng.normal(size=(5000, 1)), axis=0), rng.normal(size=(3000, 1))
    every = pdist(np.vstack([one[::5], other[::3]]))
    assert median_distance(one, other) == pytest.approx(np.median(every), rel=0.02)


def test_a_gaussian_is_halfway_down_where_it_should_be():
    found = gaussian(np.array([[0.0]]), np.array([[0.0], [1.5], [3.0]]), 1.5)
    assert found[0] == pytest.approx([1.0, np.exp(-0.5), np.exp(-2.0)])


def test_few_examples_are_all_taken_and_of_many_the_seed_takes_some_in_order():
    one, again, other = (drawn(100, 10, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert drawn(5, 5, np.random.default_rng(0)).tolist() == [0, 1, 2, 3, 4]
    assert len(one) == 10
    assert (np.diff(one) > 0).all()
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
