"""Group-sequential boundaries: the significance level of each of several looks at growing evidence.

The error that may be spent by each look follows Lan and DeMets (1983). The nominal levels of the p
values that spend exactly this error are found by propagating the density of the statistic that was
not rejected yet (Armitage, McPherson and Rowe 1969). Seeds add little evidence against an error
that is due to test items: n seeds have n / (1 + w n) times the evidence of one seed, where w is the
weight of the items.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import e, exp, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FAR = 9.0
"""A bound, in standard deviations, that the statistic practically never exceeds."""
_NOTHING = 1e-12
RESERVE = 0.2
"""The share of the error that is reserved for seeds added after the declared ones."""


def pocock(share: float) -> float:
    """Return the share of the error that Pocock's function spends by this share of the evidence."""
    return log(1 + (e - 1) * min(share, 1.0))


def hwang_shih_decani(share: float, gamma: float = -2.0) -> float:
    """Return the share of the error that is spent by this share (Hwang, Shih and DeCani 1990).

    With γ = −2 the first looks get little error, so that the last look loses little: with four
    looks, at 3, 5, 10 and 20 of 20 seeds, the last is tested at 4.2 %, where Pocock's function
    leaves 2.6.
    """
    return (1 - exp(-gamma * min(share, 1.0))) / (1 - exp(-gamma))


def nominal_levels(information: Sequence[float], spent: Sequence[float]) -> list[float]:
    """Return the two-sided level of each look such that all together err at most as often as spent.

    Args:
        information: at each look, increasing, in any unit. The statistics of two looks correlate by
            the square root of the smaller information divided by the larger.
        spent: the error that may be spent by each look (cumulative), never decreasing.
    """
    from scipy.special import ndtr, ndtri

    found: list[float] = []
    left: _Left | None = None
    for k, error in enumerate(np.diff([0.0, *spent])):
        if error <= _NOTHING:
            bound = FAR
        elif left is None:
            bound = float(ndtri(1 - error / 2))
        else:
            bound = left.bound(float(error))
        step = _Step.of(information, k + 1) if k + 1 < len(information) else _Step(0.0, 1.0)
        nodes, weights = _simpson(bound, step.width)
        density = np.exp(-(nodes**2) / 2) / sqrt(2 * np.pi) if left is None else left.density(nodes)
        left = _Left(nodes, density * weights, step)
        found.append(float(2 * ndtr(-bound)) if error > _NOTHING else 0.0)
    return found


class _Step(NamedTuple):
    """From one look to the next: z' = shrink · z + width · noise."""

    shrink: float
    width: float

    @classmethod
    def of(cls, information: Sequence[float], k: int) -> _Step:
        """Return the step to look k."""
        share = information[k - 1] / information[k]
        return cls(sqrt(share), sqrt(max(1 - share, 1e-6)))


class _Left(NamedTuple):
    """The density of the statistic on the paths that no look so far has rejected."""

    nodes: NDArray[np.float64]
    mass: NDArray[np.float64]
    """The density of z at the nodes, times the quadrature weights."""
    step: _Step
    """The step to the next look."""

    def bound(self, error: float) -> float:
        """Return the bound beyond which this much probability lies at the next look."""
        from scipy.optimize import brentq

        if self._beyond(FAR) >= error:
            return FAR
        return float(brentq(lambda bound: self._beyond(bound) - error, 0.0, FAR))

    def _beyond(self, bound: float) -> float:
        from scipy.special import ndtr

        ahead = self.step.shrink * self.nodes
        sides = ndtr((ahead - bound) / self.step.width) + ndtr((-ahead - bound) / self.step.width)
        return float(self.mass @ sides)

    def density(self, nodes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the density at the next look's nodes."""
        width = self.step.width
        away = (nodes[:, None] - self.step.shrink * self.nodes[None, :]) / width
        return np.asarray(np.exp(-(away**2) / 2) @ self.mass / (sqrt(2 * np.pi) * width))


def _simpson(bound: float, width: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Simpson nodes between both bounds, and weights, dense enough for this kernel width."""
    half = max(int(np.ceil(bound / min(0.05, width / 6))), 1)
    nodes = np.linspace(-bound, bound, 2 * half + 1)
    weights = np.full(len(nodes), 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    return nodes, weights * (nodes[1] - nodes[0]) / 3


def spent(
    n: int, declared: int, alpha: float, most: int | None = None, weight: float = 0.0
) -> float:
    """Return the error that may be spent in total by the look at `n` seeds.

    With `most`, the function of Hwang, Shih and DeCani is used up to that number of seeds. Without
    it, Pocock's function is used up to `declared` seeds, by when all error except the reserve may
    be spent. With n seeds, 1 − declared/n of the reserve may be spent.

    Args:
        n: number of known seeds.
        declared: number of planned seeds.
        alpha: the error of all looks together.
        most: number of seeds beyond which none will be added.
        weight: the weight w of the test items, see the module.
    """
    if most:
        last = max(most, declared)
        return alpha * hwang_shih_decani(_evidence(n, weight) / _evidence(last, weight))
    late = max(1 - declared / n, 0.0)
    return alpha * ((1 - RESERVE) * pocock(n / declared) + RESERVE * late)


def _evidence(n: int, weight: float) -> float:
    """Return 1/SE² with n seeds, in units proportional to the evidence of one seed."""
    return n / (1 + weight * n)


@lru_cache(maxsize=1024)
def nominal(
    seeds: tuple[int, ...],
    declared: int,
    alpha: float,
    most: int | None = None,
    weight: float = 0.0,
    former: int = 0,
) -> float:
    """Return the two-sided level of the last of several looks.

    With this level, and those of the earlier looks, the probability that any look rejects a true
    hypothesis is what may be `spent` by now. The statistics of two looks correlate at least by the
    square root of their evidence's ratio, because later seeds include the earlier ones and the test
    items are the same.

    Args:
        seeds: number of seeds at each look, ascending.
        declared: see `spent`.
        alpha: see `spent`.
        most: see `spent`.
        weight: see `spent`.
        former: number of first looks that spent by Pocock's function; no later look takes that
            back.
    """
    budgets: list[float] = []
    for k, n in enumerate(seeds):
        by_now = spent(n, declared, alpha, most, weight)
        if k < former and most:
            by_now = max(by_now, alpha * pocock(n / max(most, declared)))
        budgets.append(max([by_now, *budgets[-1:]]))
    return nominal_levels([_evidence(n, weight) for n in seeds], budgets)[-1]
