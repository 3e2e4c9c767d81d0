"""Gaussian kernels with widths relative to the median distance, and draws of some examples."""

import numpy as np
from numpy.typing import NDArray

from transfergrid.strategies.closed_form.softmax_regression import Floats

ENOUGH = 1000
"""The median distance is taken over at most this many evenly spaced examples of each domain."""


def squared_distances(one: Floats, other: Floats) -> Floats:
    """Return |x - z|^2 of rows x (n, d) and z (m, d): (n, m)."""
    centre = one.mean(axis=0)  # far from the origin the expanded square would lose precision
    one, other = one - centre, other - centre
    lengths = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1)
    return np.asarray(np.maximum(lengths - 2 * one @ other.T, 0.0))


def median_distance(source: Floats, target: Floats) -> float:
    """Return the median distance between two examples of the pooled domains; 1 where that is 0."""
    rows = np.vstack([_evenly(source), _evenly(target)])
    above = squared_distances(rows, rows)[np.triu_indices(len(rows), 1)]
    return float(np.sqrt(np.median(above))) if above.size and np.median(above) > 0 else 1.0


def gaussian(one: Floats, other: Floats, width: float) -> Floats:
    """Return exp(-|x - z|^2 / (2 width^2)), (n, m)."""
    return np.asarray(np.exp(-squared_distances(one, other) / (2 * width**2)))


def drawn(n: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the sorted indices of `most` of n examples, drawn at random, or of all n."""
    if n <= most:
        return np.arange(n)
    return np.sort(rng.permutation(n)[:most])


def _evenly(rows: Floats) -> Floats:
    some = np.linspace(0, len(rows) - 1, min(len(rows), ENOUGH)).astype(int)
    return np.asarray(rows[some])
