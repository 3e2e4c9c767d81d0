"""How many more seeds it would take: a forecast, and the range that few seeds leave it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from transfergrid.evidence.standing import Standing
from transfergrid.evidence.statistics.intervals import SEEDS_AND_GROUPS
from transfergrid.evidence.statistics.skew import ENOUGH_SEEDS, is_skewed

MOST_SEEDS = 1_000
"""More further seeds than that are not asked for."""
ENDLESS = 10**12
"""Seeds whose own error is nothing."""
SURE = 0.8
"""How often a range of seeds holds the number that the true noise would ask for."""
MORE_ITEMS = "more seeds would not do: it takes more test items"
MORE_GROUPS = "more seeds would not do: it takes more groups of test items"
TOO_MANY = f"{MOST_SEEDS:,} more seeds would not show so small a gain, nor one of the margin"


class Forecast(NamedTuple):
    """Further seeds, and the ends of their range; an end is None beyond `MOST_SEEDS`."""

    seeds: int | None
    low: int | None
    high: int | None


NO_FORECAST = Forecast(None, None, None)


def forecast(standing: Standing, effect: float, level: float, power: float) -> Forecast:
    """Return how many further seeds would show a gain of this effect.

    The range comes of the variance over seeds, of which few seeds know little: (n - 1) s² over the
    true one is chi-square with n - 1 degrees of freedom.
    """
    needed = seeds_needed(standing, effect, level, power)
    if standing.estimate.n < 2:
        return Forecast(needed, needed, needed)
    ends = (
        seeds_needed(standing.noisier(factor), effect, level, power)
        for factor in _factors(standing.estimate.n - 1)
    )
    return Forecast(needed, *ends)


def _factors(df: int) -> tuple[float, float]:
    """Return the smallest and largest true variance, over the estimated one, that one reckons."""
    from scipy.special import chdtri

    outside = (1 - SURE) / 2
    return df / float(chdtri(df, outside)), df / float(chdtri(df, 1 - outside))


def seeds_needed(standing: Standing, effect: float, level: float, power: float) -> int | None:
    """Return how many further seeds would show a gain of this effect, in points.

    None if even `MOST_SEEDS` would not. Skewed gains take as many as a t test bears them with.
    """
    least = ENOUGH_SEEDS if is_skewed(standing.gains) else 0

    def enough(n: int) -> bool:
        if n < least:
            return False
        reach = standing.reach(n, level, power)
        return reach is not None and reach <= effect

    n = max(standing.estimate.n, 1)
    return _first(enough, n, standing.estimate.n + MOST_SEEDS, standing.estimate.n)


def _first(enough: Callable[[int], bool], low: int, high: int, now: int) -> int | None:
    """Return the fewest seeds above `low` and up to `high` that are enough, less those there."""
    if not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - now


def why_none(standing: Standing, effect: float, level: float, power: float) -> str:
    """Return why no number of seeds that is asked for would do.

    For want of test items only where endless seeds would leave too much, which comes of items.
    """
    left = standing.reach(ENDLESS, level, power)
    if left is None or left <= effect:
        return TOO_MANY
    return MORE_GROUPS if standing.estimate.scope == SEEDS_AND_GROUPS else MORE_ITEMS
