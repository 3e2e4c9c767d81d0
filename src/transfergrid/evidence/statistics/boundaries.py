"""Group-sequential boundaries: which level each of several looks at growing evidence may have.

How much error may be spent by a look follows Lan and DeMets (1983); the p values' nominal levels
that spend it are found by carrying on the density of what was not yet rejected (Armitage, McPherson
and Rowe 1969). Of an error that comes of test items seeds add little evidence: with n seeds there
is n / (1 + w n) of one seed's, w being the weight of the items.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import e, exp, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FAR = 9.0
"""A bound, in standard deviations, that nothing passes."""
_NOTHING = 1e-12
RESERVE = 0.2
"""The part of the error that is kept for seeds added after those that were declared."""


def pocock(share: float) -> float:
    """Return the part of the error that Pocock's function spends by this share of the evidence."""
    return log(1 + (e - 1) * min(share, 1.0))


def hwang_shih_decani(share: float, gamma: float = -2.0) -> float:
    """Return the part of the error that is spent by this share (Hwang, Shih and DeCani 1990).

    With γ = −2 the first looks get little, so that the last one loses little: of four looks at 3,
    5, 10 and 20 of 20 seeds it is tested at 4.2 % where Pocock's function leaves 2.6.
    """
    return (1 - exp(-gamma * min(share, 1.0))) / (1 - exp(-gamma))


def nominal_levels(information: Sequence[float], spent: Sequence[float]) -> list[float]:
    """Return the two-sided level of each look, with which all err no more than what is spent.

    Args:
        information: at each look, increasing, in any unit; the statistics of two looks correlate by
            the root of the smaller over the larger.
        spent: the error that may be made by each look, never decreasing.
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
    """What was not rejected by any look up to one."""

    nodes: NDArray[np.float64]
    mass: NDArray[np.float64]
    """The density of z at the nodes times their weights."""
    step: _Step
    """To the next look."""

    def bound(self, error: float) -> float:
        """Return the bound that so much lies beyond at the next look."""
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
    """Return nodes between both bounds and their weights, close enough for a kernel that wide."""
    half = max(int(np.ceil(bound / min(0.05, width / 6))), 1)
    nodes = np.linspace(-bound, bound, 2 * half + 1)
    weights = np.full(len(nodes), 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    return nodes, weights * (nodes[1] - nodes[0]) / 3


def spent(
    n: int, declared: int, alpha: float, most: int | None = None, weight: float = 0.0
) -> float:
    """Return how much error may be spent by the look at `n` seeds.

    By the function of Hwang, Shih and DeCani up to `most` seeds, where these are declared to be the
    last. Else by Pocock's up to `declared`, by when all but the reserve may be spent: of the
    reserve 1 − declared/n may be spent with n seeds.

    Args:
        n: how many seeds are known.
        declared: how many were planned.
        alpha: the error of all looks together.
        most: beyond which there will be none.
        weight: of test items, see above.
    """
    if most:
        last = max(most, declared)
        return alpha * hwang_shih_decani(_evidence(n, weight) / _evidence(last, weight))
    late = max(1 - declared / n, 0.0)
    return alpha * ((1 - RESERVE) * pocock(n / declared) + RESERVE * late)


def _evidence(n: int, weight: float) -> float:
    """Return 1/SE² with n seeds, in the unit of one seed's."""
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

    With it, and those of the looks before it, the chance that any of them rejects without cause is
    what may be `spent` by now. Two looks' statistics correlate at least by the root of their
    evidence's ratio, for later seeds include the earlier ones and the test items are the same.

    Args:
        seeds: of each look, ascending.
        declared: see `spent`.
        alpha: see `spent`.
        most: see `spent`.
        weight: see `spent`.
        former: looks, the first ones, that spent by Pocock's function: no later one takes that
            back.
    """
    budgets: list[float] = []
    for k, n in enumerate(seeds):
        by_now = spent(n, declared, alpha, most, weight)
        if k < former and most:
            by_now = max(by_now, alpha * pocock(n / max(most, declared)))
        budgets.append(max([by_now, *budgets[-1:]]))
    return nominal_levels([_evidence(n, weight) for n in seeds], budgets)[-1]
