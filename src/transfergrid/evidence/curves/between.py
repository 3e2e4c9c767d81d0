"""Fast estimates between points: an interval's end is searched for at hundreds of positions.

At each position the estimated quantity is a weighted sum of two points' scores. Its mean is the
weighted sum of their means, and the variances of blocks, items and residuals are quadratic in the
weights. These are computed from the scores once; the scores are used again only where rounding
would decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.statistics.intervals import Estimate, crossed, of_blocks

CANCELLED = 1e-4
"""If the sum's variance is below this share of the two points' variances, they nearly cancel, and
it is computed exactly."""
UNSURE = 1e-9
"""Relative distance below which rounding may have determined a sign."""


class Mix(NamedTuple):
    """A weighted sum of two points: indices and weights."""

    first: int
    weight: float
    second: int
    other: float


class Mixtures:
    """The statistics of scores (blocks, items, points) needed to estimate a sum of two points."""

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
        """Return the estimate of the sum's mean; None if the variances nearly cancel."""
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
        """Return an end of the sum's interval minus a level, with a reliable sign.

        Args:
            mix: the sum.
            which: 0 for the lower end, 1 for the upper one, None for the mean.
            level: the level to subtract, in points.
            exact: returns the estimate computed from the scores.
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
    """Return the inner products (points, points) of points (n, points), divided by a count."""
    products: list[list[float]] = (centred.T @ centred / max(over, 1)).tolist()
    return products


def _quadratic(products: list[list[float]], mix: Mix) -> tuple[float, float]:
    """Return the variance of the sum, and what it would be if both points were independent."""
    i, p, j, q = mix
    alone = p * p * products[i][i] + q * q * products[j][j]
    return alone + 2 * p * q * products[i][j], alone
