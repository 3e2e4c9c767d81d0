"""Estimates between points: an interval's end is searched for at hundreds of positions.

At each, what is estimated is a weighted sum of two points' scores. Its mean is that of their means,
and the variances of blocks, of items and of what is left are quadratic in the weights: they are
taken from the scores once, and the scores themselves are asked where rounding would decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.statistics.intervals import Estimate, crossed, of_blocks

CANCELLED = 1e-4
"""Part of two points' variances below which that of their sum is not taken from these."""
UNSURE = 1e-9
"""Distance from zero, beside the numbers compared, below which rounding may have made a sign."""


class Mix(NamedTuple):
    """Two points and their weights."""

    first: int
    weight: float
    second: int
    other: float


class Mixtures:
    """What is needed of scores (blocks, items, points) to estimate the sum of two points."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.n, self.items, _ = values.shape
        blocks = values.mean(axis=1)
        of_items = values.mean(axis=0)
        mean = blocks.mean(axis=0)
        self._means: list[float] = mean.tolist()
        self._by_blocks = _products(blocks - mean, (self.n - 1) * self.n)
        free = (self.items - 1) * self.items
        self._by_items = _products(of_items - mean, free)
        left = (values - blocks[:, None] - of_items + mean).reshape(-1, len(mean))
        self._left = _products(left, (self.n - 1) * free * self.n)

    def mean(self, mix: Mix) -> float:
        """Return the mean of the sum."""
        return mix.weight * self._means[mix.first] + mix.other * self._means[mix.second]

    def estimate(self, mix: Mix) -> Estimate | None:
        """Return the estimate of the sum's mean; None where variances all but cancel."""
        if self.n == 1:
            return None
        a, of_blocks_alone = _quadratic(self._by_blocks, mix)
        b, of_items_alone = _quadratic(self._by_items, mix)
        if a + b <= CANCELLED * (of_blocks_alone + of_items_alone):
            return None
        mean = self.mean(mix)
        if self.items == 1:
            return of_blocks(mean, self.n, a)
        return crossed(mean, self.n, self.items, (a, b, _quadratic(self._left, mix)[0]))

    def less(
        self, mix: Mix, which: int | None, level: float, exact: Callable[[], Estimate]
    ) -> float | None:
        """Return an end of the interval of the sum, less a level; its sign is right.

        Args:
            mix: the sum.
            which: 0 for the lower end, 1 for the upper one, None for the mean.
            level: in points.
            exact: estimates the same from the scores.
        """
        if which is None:
            quick: float | None = self.mean(mix)
        else:
            near = self.estimate(mix)
            quick = near.interval()[which] if near else None
        if quick is not None and abs(quick - level) > UNSURE * (abs(quick) + abs(level)):
            return quick - level
        found = exact()
        end = found.mean if which is None else found.interval()[which]
        return None if end is None else end - level


def _products(centred: NDArray[np.float64], over: int) -> list[list[float]]:
    """Return the products of points (n, points) with each other, (points, points), over a count."""
    products: list[list[float]] = (centred.T @ centred / max(over, 1)).tolist()
    return products


def _quadratic(products: list[list[float]], mix: Mix) -> tuple[float, float]:
    """Return the variance of the sum, and what it would be if both points were independent."""
    i, p, j, q = mix
    alone = p * p * products[i][i] + q * q * products[j][j]
    return alone + 2 * p * q * products[i][j], alone
