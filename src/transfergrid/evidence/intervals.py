"""Intervals for a mean gain, when the same seed blocks and the same test items cross.

Seeds cannot average out the luck of a test set: every block is tested on the same items, so the
error of a gain has a part from blocks and a part from items, as in an analysis with two crossed
random effects (degrees of freedom after Satterthwaite 1946).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SEEDS_AND_ITEMS = "seeds and test items"
THIS_TEST_SET = "this test set"
THIS_MODEL = "this model"
CONFIDENCE = 0.95
Z95 = 1.959964
"""Two-sided 95 % point of the normal distribution."""


ENDLESS = 1e9
"""Half an interval that tells nothing."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error, in the units of what was averaged.

    `se` and `df` are None where the data cannot tell: one number, or no variation at all.
    """

    mean: float
    se: float | None
    df: float | None
    scope: str
    """What the error covers: `SEEDS_AND_ITEMS`, `THIS_TEST_SET` (seeds) or `THIS_MODEL` (items)."""
    n: int = 1
    """Blocks."""
    items: int = 1
    """Test items that were crossed with the blocks; 1 if they were not."""
    by_blocks: float = 0.0
    """The part of SE² that shrinks with the number of blocks."""
    by_items: float = 0.0
    """The part of SE² that more blocks leave as it is: only more test items lessen it."""

    def se_with(self, n: int) -> tuple[float, float]:
        """Return standard error and degrees of freedom as they are foreseen for `n` >= 2 blocks."""
        a, b = self.by_blocks * self.n / n, self.by_items
        spread = a**2 / (n - 1) + b**2 / max(self.items - 1, 1)
        return (a + b) ** 0.5, (a + b) ** 2 / spread if spread else float("inf")

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float | None, float | None]:
        """Return the ends of the two-sided t interval, not corrected for any other comparison.

        None where it is wider than anything: where item means vary by much less than chance would
        have them, the degrees of freedom fall far below one.
        """
        if self.se is None or self.df is None:
            return None, None
        from scipy.special import stdtrit  # time that commands which show no gain do not pay

        reach = float(stdtrit(self.df, 0.5 + confidence / 2)) * self.se
        if not reach < ENDLESS:
            return None, None
        return self.mean - reach, self.mean + reach


def over_blocks_and_items(gains: NDArray[np.float64]) -> Estimate:
    """Estimate the mean of `gains` (blocks, items) for new seeds and new test items alike.

    With n blocks and N items, SE² = A + B − C, not under B, where A, B and C are the variances of
    the block means over n, of the item means over N and of what is left over nN; its degrees of
    freedom are SE⁴ / (A²/(n−1) + B²/(N−1) + C²/((n−1)(N−1))). A single block has the items' part
    only, and speaks of one model; a single item has the blocks' part only.
    """
    n, items = gains.shape
    if items == 1:
        return over_blocks(gains[:, 0])
    mean, block_means, item_means = float(gains.mean()), gains.mean(axis=1), gains.mean(axis=0)
    b = float(item_means.var(ddof=1)) / items
    if n == 1:
        return _estimate(mean, b, b**2 / (items - 1), THIS_MODEL, (1, items, 0.0, b))
    left = gains - block_means[:, None]
    left -= item_means  # in place: the same numbers with fewer copies
    left += mean
    free = (n - 1) * (items - 1)
    a = float(block_means.var(ddof=1)) / n
    c = float((left**2).sum()) / free / (n * items)
    spread = a**2 / (n - 1) + b**2 / (items - 1) + c**2 / free
    shared = max(b - c, 0.0)  # of the item means' variance, c is what is left over n
    parts = (n, items, max(a + b - c, b) - shared, shared)
    return _estimate(mean, max(a + b - c, b), spread, SEEDS_AND_ITEMS, parts)


def over_blocks_and_resamples(
    gains: NDArray[np.float64], item_variance: float, items: int
) -> Estimate:
    """Estimate the mean of `gains` (blocks,) in a metric that is no mean over items.

    SE² = A + B, with A the variance of the gains over n and B their mean's variance over resampled
    test items; its degrees of freedom are SE⁴ / (A²/(n−1) + B²/(N−1)). What is left of a gain after
    block and item stands in A and in B, and cannot be taken out once (the C of
    `over_blocks_and_items`) for want of a gain per item: the interval errs to the wide side.
    """
    n, mean, b = len(gains), float(gains.mean()), item_variance
    if items == 1:
        return over_blocks(gains)
    if n == 1:
        return _estimate(mean, b, b**2 / (items - 1), THIS_MODEL, (1, items, 0.0, b))
    a = float(gains.var(ddof=1)) / n
    spread = a**2 / (n - 1) + b**2 / (items - 1)
    return _estimate(mean, a + b, spread, SEEDS_AND_ITEMS, (n, items, a, b))


def over_blocks(gains: NDArray[np.float64]) -> Estimate:
    """Estimate the mean of `gains` (blocks,) for new seeds on the same test items."""
    n = len(gains)
    if n == 1:
        return Estimate(float(gains[0]), None, None, THIS_MODEL)
    a = float(gains.var(ddof=1)) / n
    return _estimate(float(gains.mean()), a, a**2 / (n - 1), THIS_TEST_SET, (n, 1, a, 0.0))


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of n independent items (Wilson 1927)."""
    middle = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    spread = math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n))
    reach = Z95 * spread / (1 + Z95**2 / n)
    return max(0.0, middle - reach), min(1.0, middle + reach)


Parts = tuple[int, int, float, float]  # blocks, items, and SE²'s parts by blocks and by items


def _estimate(mean: float, variance: float, spread: float, scope: str, parts: Parts) -> Estimate:
    """Make an estimate; without variation, up to rounding, there is no error to speak of."""
    if variance <= 1e-20:
        return Estimate(mean, None, None, scope, *parts)
    return Estimate(mean, variance**0.5, variance**2 / spread, scope, *parts)
