"""What a gain must stand against: its crossed estimate and, with few seeds, the seeds alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.statistics.intervals import Estimate, over_blocks
from transfergrid.evidence.statistics.power import multiplier
from transfergrid.evidence.statistics.skew import ENOUGH_SEEDS


class Standing:
    """An estimate and, with few seeds, that of the seeds alone; of each p the larger counts."""

    def __init__(self, estimate: Estimate, gains: NDArray[np.float64]) -> None:
        self.estimate, self.gains = estimate, gains
        few = 1 < estimate.n < ENOUGH_SEEDS
        self.seeds = over_blocks(gains) if estimate.is_crossed and few else None

    def noisier(self, factor: float) -> Standing:
        """Return it as if what shrinks with the seeds had so many times the variance."""
        found = Standing(_noisier(self.estimate, factor), self.gains)
        found.seeds = _noisier(self.seeds, factor) if self.seeds else None
        return found

    def tests(self) -> list[Estimate]:
        """Return the estimates that decide now."""
        return self._tests_with(self.estimate.n)

    def _tests_with(self, n: int) -> list[Estimate]:
        few = n < ENOUGH_SEEDS and self.seeds is not None and self.seeds.se is not None
        return [self.estimate, *([self.seeds] if few and self.seeds else [])]

    def detectable(self, level: float, power: float) -> float | None:
        """Return the smallest gain that would have been found."""
        return _largest(_reach(one.se, one.df, level, power) for one in self.tests())

    def reach(self, n: int, level: float, power: float) -> float | None:
        """Return the smallest gain that would be found with `n` seeds."""
        tests = self._tests_with(n)
        return _largest(_reach(*one.se_with(n), level, power) for one in tests)


def _noisier(estimate: Estimate, factor: float) -> Estimate:
    return replace(estimate, by_blocks=factor * estimate.by_blocks)


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _reach(se: float | None, df: float | None, level: float, power: float) -> float | None:
    if se is None or df is None or level <= 0:
        return None
    return multiplier(df, level, power) * se
