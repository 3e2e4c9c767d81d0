"""The tests that a gain must pass, and a forecast of the further seeds needed, with its range.

A gain must pass the test of its crossed estimate and, with few seeds, that of the seeds alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.statistics.intervals import (
    SEEDS_AND_GROUPS,
    Estimate,
    each_over_blocks,
    over_blocks,
)
from transfergrid.evidence.statistics.power import finds, multiplier
from transfergrid.evidence.statistics.skew import ENOUGH_SEEDS, is_skewed

MOST_SEEDS = 1_000
"""The largest number of further seeds that is considered."""
ENDLESS = 10**12
"""A number of seeds so large that their own error is zero."""
SURE = 0.8
"""The probability that a forecast range contains the number that the true noise would require."""
MORE_ITEMS = "more seeds would not do: it takes more test items"
MORE_GROUPS = "more seeds would not do: it takes more groups of test items"
TOO_MANY = f"{MOST_SEEDS:,} more seeds would not show so small a gain, nor one of the margin"


class Standing:
    """An estimate and, with few seeds, the one over seeds alone; the larger p value counts."""

    def __init__(self, estimate: Estimate, gains: NDArray[np.float64]) -> None:
        self.estimate, self.gains = estimate, gains

    @cached_property
    def is_skewed(self) -> bool:
        """Whether the gains are so skewed that a t test of them would mislead."""
        return bool(is_skewed(self.gains))

    @cached_property
    def seeds(self) -> Estimate | None:
        """The estimate over seeds alone, if it counts beside the one over seeds and items."""
        few = 1 < self.estimate.n < ENOUGH_SEEDS
        return over_blocks(self.gains) if self.estimate.is_crossed and few else None

    def noisier(self, factor: float) -> Standing:
        """Return a copy with so many times the variance, as far as that shrinks with the seeds."""
        found = copy(self)
        found.estimate = _noisier(self.estimate, factor)
        found.seeds = _noisier(self.seeds, factor) if self.seeds else None
        return found

    def tests(self) -> list[Estimate]:
        """Return the estimates that decide with the current seeds."""
        return self._tests_with(self.estimate.n)

    def _tests_with(self, n: int) -> list[Estimate]:
        few = n < ENOUGH_SEEDS and self.seeds is not None and self.seeds.se is not None
        return [self.estimate, *([self.seeds] if few and self.seeds else [])]

    def detectable(self, level: float, power: float) -> float | None:
        """Return the smallest gain that would have been detected."""
        return _largest(_reach(one.se, one.df, level, power) for one in self.tests())

    def finds(self, effect: float, n: int, level: float, power: float) -> bool:
        """Return whether `n` seeds would show a gain of this effect."""
        errors = [one.se_with(n) for one in self._tests_with(n)]
        return level > 0 and all(finds(*error, level, power, effect) for error in errors)

    def reach(self, n: int, level: float, power: float) -> float | None:
        """Return the smallest gain that would be detected with `n` seeds."""
        tests = self._tests_with(n)
        return _largest(_reach(*one.se_with(n), level, power) for one in tests)


def standings(
    estimates: Sequence[Estimate], gains: Sequence[NDArray[np.float64]]
) -> list[Standing]:
    """Return the `Standing` of each arm, given its estimate and its gains by block (n,).

    If all arms have the same number of blocks, the statistics of their gains are computed in one
    batch.
    """
    found = list(map(Standing, estimates, gains))
    if len({len(own) for own in gains}) == 1 and len(gains[0]) > 1:
        together = np.stack(gains)
        skewed, alone = is_skewed(together).tolist(), each_over_blocks(together)
        for one, uneven, by_seeds in zip(found, skewed, alone, strict=True):
            one.is_skewed = uneven
            few = one.estimate.n < ENOUGH_SEEDS
            one.seeds = by_seeds if one.estimate.is_crossed and few else None
    return found


def _noisier(estimate: Estimate, factor: float) -> Estimate:
    return replace(estimate, by_blocks=factor * estimate.by_blocks)


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _reach(se: float | None, df: float | None, level: float, power: float) -> float | None:
    if se is None or df is None or level <= 0:
        return None
    return multiplier(df, level, power) * se


class Forecast(NamedTuple):
    """A number of further seeds, and the ends of its range; an end is None above `MOST_SEEDS`."""

    seeds: int | None
    low: int | None
    high: int | None


NO_FORECAST = Forecast(None, None, None)


def forecast(standing: Standing, effect: float, level: float, power: float) -> Forecast:
    """Return how many further seeds would show a gain of this effect.

    The range comes from the uncertainty of the variance over seeds: (n - 1) s² divided by the true
    variance is chi-square distributed with n - 1 degrees of freedom.
    """
    needed = seeds_needed(standing, effect, level, power)
    if standing.estimate.n < 2:
        return Forecast(needed, needed, needed)
    ends = (
        seeds_needed(standing.noisier(factor), effect, level, power)
        for factor in _factors(standing.estimate.n - 1)
    )
    return Forecast(needed, *ends)


@lru_cache(maxsize=64)
def _factors(df: int) -> tuple[float, float]:
    """Return the ends of the plausible range of the true variance, relative to the estimate."""
    from scipy.special import chdtri

    outside = (1 - SURE) / 2
    return df / float(chdtri(df, outside)), df / float(chdtri(df, 1 - outside))


def seeds_needed(standing: Standing, effect: float, level: float, power: float) -> int | None:
    """Return how many further seeds would show a gain of this effect, in points.

    None if even `MOST_SEEDS` would not. If the gains are skewed, there must be at least so many
    seeds that a t test tolerates the skewness.
    """
    least = ENOUGH_SEEDS if standing.is_skewed else 0

    def enough(n: int) -> bool:
        return n >= least and standing.finds(effect, n, level, power)

    n = max(standing.estimate.n, 1)
    return _first(enough, n, standing.estimate.n + MOST_SEEDS, standing.estimate.n)


def is_ahead(standing: Standing, effect: float, level: float, power: float) -> bool:
    """Return whether `seeds_needed` would return a number, without searching for it."""
    return standing.finds(effect, standing.estimate.n + MOST_SEEDS, level, power)


def _first(enough: Callable[[int], bool], low: int, high: int, now: int) -> int | None:
    """Return by bisection how many more seeds than `now` suffice; None if `high` does not."""
    if not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - now


def why_none(standing: Standing, effect: float, level: float, power: float) -> str:
    """Return why no considered number of further seeds is enough.

    The reason is too few test items only if the item noise would be too large even with endless
    seeds.
    """
    left = standing.reach(ENDLESS, level, power)
    if left is None or left <= effect:
        return TOO_MANY
    return MORE_GROUPS if standing.estimate.scope == SEEDS_AND_GROUPS else MORE_ITEMS
