"""Confidence intervals for a mean gain, when seed blocks and test items are crossed.

More seeds cannot average out the luck of a test set, because every block is tested on the same
items. So the error of a gain has a part from blocks and a part from items, as in an analysis with
two crossed random effects (degrees of freedom after Satterthwaite 1946).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SEEDS_AND_ITEMS = "seeds and test items"
SEEDS_AND_GROUPS = "seeds and groups of test items"
"""Scope where test items come in groups (patients, authors, films) and the groups are the units
that vary."""
CROSSED = frozenset({SEEDS_AND_ITEMS, SEEDS_AND_GROUPS})
"""The scopes that cover new test items as well as new seeds."""
FEW_GROUPS = 10
"""With fewer groups of test items than this, the variance between groups cannot be estimated."""
THIS_TEST_SET = "this test set"
THIS_MODEL = "this model"
THESE_MODELS = "test items"
"""Scope where all seeds have the same gain: the models are deterministic, and only the test items
are random."""
CONFIDENCE = 0.95
Z95 = 1.959964
"""Two-sided 95 % point of the normal distribution."""


ENDLESS = 1e9
"""The half-width from which on an interval tells nothing."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error, in the unit of the averaged values.

    `se` and `df` are None if the data cannot tell: there is one number only, or no variation at
    all.
    """

    mean: float
    se: float | None
    df: float | None
    scope: str
    """What the error covers: `SEEDS_AND_ITEMS`, `SEEDS_AND_GROUPS`, `THIS_TEST_SET` (seeds) or
    `THIS_MODEL` (items)."""
    n: int = 1
    """Number of blocks."""
    items: int = 1
    """Number of test items, or groups of them, that were crossed with the blocks; 1 if they were
    not."""
    by_blocks: float = 0.0
    """The part of SE² that shrinks with the number of blocks."""
    by_items: float = 0.0
    """The part of SE² that more blocks do not change; only more test items reduce it."""

    def times(self, size: float) -> Estimate:
        """Return the estimate of the mean multiplied by this size."""
        se = None if self.se is None else self.se * size
        parts = self.by_blocks * size**2, self.by_items * size**2
        return replace(self, mean=self.mean * size, se=se, by_blocks=parts[0], by_items=parts[1])

    @property
    def is_crossed(self) -> bool:
        """Return whether the error covers new seeds and new test items."""
        return self.scope in CROSSED

    @property
    def items_share(self) -> float | None:
        """Return the share of SE² that is due to items; None where items are not crossed."""
        whole = self.by_blocks + self.by_items
        return self.by_items / whole if self.is_crossed and self.se else None

    @property
    def items_floor(self) -> float | None:
        """Return the half-width of the 95 % interval that infinitely many blocks would leave.

        It is t(N−1)·√(B − C) for N test items, or groups of them, with B and C as in
        `over_blocks_and_items`: no number of further seeds makes the interval narrower. None
        without two blocks and two items.
        """
        if self.se is None or self.n < 2 or self.items < 2:
            return None
        from scipy.special import stdtrit  # see `interval`

        t = float(stdtrit(self.items - 1, 0.5 + CONFIDENCE / 2))
        return t * math.sqrt(self.by_items)

    @property
    def low(self) -> float | None:
        """Return the lower end of the 95 % interval."""
        return self.interval()[0]

    @property
    def high(self) -> float | None:
        """Return the upper end of the 95 % interval."""
        return self.interval()[1]

    def se_with(self, n: int) -> tuple[float, float]:
        """Return standard error and degrees of freedom as predicted for `n` >= 2 blocks."""
        a, b = self.by_blocks * self.n / n, self.by_items
        spread = a**2 / (n - 1) + b**2 / max(self.items - 1, 1)
        return (a + b) ** 0.5, (a + b) ** 2 / spread if spread else float("inf")

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float | None, float | None]:
        """Return the ends of the two-sided t interval, not corrected for any other comparison.

        None if the interval is practically infinite: where item means vary by much less than
        expected by chance, the degrees of freedom fall far below one.
        """
        if self.se is None or self.df is None:
            return None, None
        from scipy.special import stdtrit  # imported late: slow, and not every command needs it

        reach = float(stdtrit(self.df, 0.5 + confidence / 2)) * self.se
        if not reach < ENDLESS * max(1.0, self.se / 100):  # relative to large errors
            return None, None
        return self.mean - reach, self.mean + reach


def over_blocks_and_items(gains: NDArray[np.float64]) -> Estimate:
    """Estimate the mean of `gains` (blocks, items) for new seeds and new test items alike.

    With n blocks and N items, SE² = A + B − C, but at least B. A is the variance of the block means
    over n, B that of the item means over N, and C that of the residuals over nN. The degrees of
    freedom are SE⁴ / (A²/(n−1) + B²/(N−1) + C²/((n−1)(N−1))). A single block has only the part from
    items, and the estimate holds for one model only; a single item has only the part from blocks.
    """
    return each_over_blocks_and_items(gains[None])[0]


def each_over_blocks_and_items(gains: NDArray[np.float64]) -> list[Estimate]:
    """Return the estimates of many `gains` (m, blocks, items) at once, bit by bit the same."""
    _, n, items = gains.shape
    if items == 1:
        return each_over_blocks(gains[:, :, 0])
    mean, block_means, item_means = gains.mean(axis=(1, 2)), gains.mean(axis=2), gains.mean(axis=1)
    by_items = (item_means.var(axis=1, ddof=1) / items).tolist()
    if n == 1:
        return [
            _estimate(value, b, b**2 / (items - 1), THIS_MODEL, (1, items, 0.0, b))
            for value, b in zip(mean.tolist(), by_items, strict=True)
        ]
    left = gains - block_means[:, :, None]
    left -= item_means[:, None]  # in place: the same numbers with fewer copies
    left += mean[:, None, None]
    free = (n - 1) * (items - 1)
    by_blocks = (block_means.var(axis=1, ddof=1) / n).tolist()
    np.square(left, out=left)
    rest = (left.sum(axis=(1, 2)) / free / (n * items)).tolist()
    parts = zip(by_blocks, by_items, rest, strict=True)
    return [crossed(value, n, items, abc) for value, abc in zip(mean.tolist(), parts, strict=True)]


def by_cluster(gains: NDArray[np.float64], clusters: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return values (blocks, clusters) that replace the items: one for each cluster of test items.

    z(b,c) = m + (G/N)·Σ_{i∈c}(g(b,i) − m) with G clusters and N items; m is the mean of the gains
    and of the returned values. With clusters of equal size, z is the mean gain of each cluster.
    Items of one cluster depend on each other, so another test set would draw other clusters, not
    other items.

    Args:
        gains: (blocks, items).
        clusters: (items,), from 0 on; each number up to the largest occurs.
    """
    mean, items = gains.mean(), gains.shape[1]
    n_clusters = int(clusters.max()) + 1
    sums = [np.bincount(clusters, row, n_clusters) for row in gains - mean]
    return np.asarray(mean + n_clusters / items * np.stack(sums))


def over_blocks_and_clusters(
    gains: NDArray[np.float64], clusters: NDArray[np.int32] | None
) -> Estimate:
    """Estimate the mean of `gains` (blocks, items) for new seeds and new clusters of test items.

    If `clusters` (items,) is None, the items count as independent of each other.
    """
    if clusters is None:
        return over_blocks_and_items(gains)
    return in_groups(over_blocks_and_items(by_cluster(gains, clusters)))


def in_groups(estimate: Estimate) -> Estimate:
    """Return the estimate with its scope set to groups of items, if it covers items."""
    scope = SEEDS_AND_GROUPS if estimate.scope == SEEDS_AND_ITEMS else estimate.scope
    return replace(estimate, scope=scope)


class ItemVariances(NamedTuple):
    """The variance of a gain when the test items are resampled."""

    by_block: NDArray[np.float64]
    """(blocks,), the variance of each block's gain."""
    of_mean: float
    """The variance of the mean over blocks."""
    items: int
    """The number of test items, or clusters of them, that are resampled."""

    def scaled(self, by: float) -> ItemVariances:
        """Return the variances in another unit; `by` is the square of the unit's factor."""
        return ItemVariances(by * self.by_block, by * self.of_mean, self.items)

    @property
    def left(self) -> float:
        """Return the C of `over_blocks_and_items`: the residual variance over nN.

        The luck of an item that all blocks share stays in their mean; the rest shrinks with n.
        """
        n = len(self.by_block)
        return (float(self.by_block.mean()) - self.of_mean) / (n - 1)


def over_blocks_and_resamples(gains: NDArray[np.float64], variances: ItemVariances) -> Estimate:
    """Estimate the mean of `gains` (blocks,) in a metric that is not a mean over items.

    SE² = A + B − C, but at least B, with degrees of freedom as in `over_blocks_and_items`. A is the
    variance of the gains over n, B the variance of their mean over resampled test items, and C
    follows from the variances of the single blocks.
    """
    n, mean, b, items = len(gains), float(gains.mean()), variances.of_mean, variances.items
    if items == 1:
        return over_blocks(gains)
    if n == 1:
        return _estimate(mean, b, b**2 / (items - 1), THIS_MODEL, (1, items, 0.0, b))
    a, c = float(gains.var(ddof=1)) / n, variances.left
    return crossed(mean, n, items, (a, b, c))


def over_blocks(gains: NDArray[np.float64]) -> Estimate:
    """Estimate the mean of `gains` (blocks,) for new seeds on the same test items."""
    return each_over_blocks(gains[None])[0]


def each_over_blocks(gains: NDArray[np.float64]) -> list[Estimate]:
    """Return the estimates of many `gains` (m, blocks) at once."""
    n = gains.shape[1]
    if n == 1:
        return [Estimate(float(gain), None, None, THIS_MODEL) for gain in gains[:, 0]]
    parts = (gains.var(axis=1, ddof=1) / n).tolist()
    both = zip(gains.mean(axis=1).tolist(), parts, strict=True)
    return [of_blocks(mean, n, part) for mean, part in both]


def of_blocks(mean: float, n: int, a: float) -> Estimate:
    """Return the estimate for two or more blocks, with `a` the variance of their means over n."""
    return _estimate(mean, a, a**2 / (n - 1), THIS_TEST_SET, (n, 1, a, 0.0))


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of n independent items (Wilson 1927)."""
    middle = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    spread = math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n))
    reach = Z95 * spread / (1 + Z95**2 / n)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def crossed(mean: float, n: int, items: int, parts: tuple[float, float, float]) -> Estimate:
    """Return the estimate that follows from A, B and C of `over_blocks_and_items`."""
    a, b, c = parts
    spread = a**2 / (n - 1) + b**2 / (items - 1) + c**2 / ((n - 1) * (items - 1))
    shared = max(b - c, 0.0)  # the item means' variance contains c: residuals over n
    variance = max(a + b - c, b)
    return _estimate(mean, variance, spread, SEEDS_AND_ITEMS, (n, items, variance - shared, shared))


Parts = tuple[int, int, float, float]  # blocks, items, and the parts of SE² by blocks and by items


def _estimate(mean: float, variance: float, spread: float, scope: str, parts: Parts) -> Estimate:
    """Return an estimate; without variation, up to rounding, it has no standard error."""
    if variance <= 1e-20:
        return Estimate(mean, None, None, scope, *parts)
    return Estimate(mean, variance**0.5, variance**2 / spread, scope, *parts)
