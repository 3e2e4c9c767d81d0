"""Measures of a pair of curves: an arm and its baseline at the same label budgets or steps.

The measures are those of Taylor & Stone 2009, section 3.3, each with an interval. The measures that
are sums of scores with fixed weights (jumpstart, slope, area, asymptote) are computed per seed
block and test item, so their interval covers both where items are known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from operator import neg
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.curves.between import Mix, Mixtures
from transfergrid.evidence.statistics.intervals import (
    SEEDS_AND_GROUPS,
    SEEDS_AND_ITEMS,
    THIS_MODEL,
    THIS_TEST_SET,
    Estimate,
    each_over_blocks_and_items,
    in_groups,
)
from transfergrid.records.metrics import is_of_numbers

Array = NDArray[np.float64]
Relation = Literal["=", "<=", ">=", ">", "<"]


class Axis(StrEnum):
    """The horizontal axis of a curve."""

    LABELS = "labels"
    """Labels per class, or in total. The axis is logarithmic: budgets are chosen so, and a score
    gains about as much from the second ten labels as from the second hundred."""
    STEPS = "steps"
    """Batches seen. The axis is linear: a curve is scored at evenly spaced steps, and a source's
    steps can be added."""

    def position(self, x: Array) -> Array:
        """Return the position of x on the axis; areas and interpolations are linear in it."""
        return np.log2(x) if self is Axis.LABELS else np.asarray(x, dtype=np.float64)

    def at(self, position: float) -> float:
        """Return the x at this position."""
        return float(2.0**position) if self is Axis.LABELS else float(position)


A_CLASS, IN_TOTAL = "a class", "in total"


def counted_by(metric: str) -> str:
    """Return the unit of label budgets for this metric, as in "20 a class"."""
    return IN_TOTAL if is_of_numbers(metric) else A_CLASS


@dataclass(frozen=True)
class Both:
    """An arm and its baseline at the same points, paired by seed block.

    Scores are in points, oriented so that more is better.
    """

    axis: Axis
    x: Array
    """(points,), increasing and above 0."""
    arm: Array
    """(blocks, items, points). Items are the test items that all blocks share, and a block's score
    is their mean. If the score is not a mean over shared items, the axis has a single entry."""
    baseline: Array
    """As `arm`."""
    scope: str | None = None
    """What intervals from blocks alone cover, if that is not this test set; or `SEEDS_AND_GROUPS`,
    if the items axis contains groups of items."""
    by: str = A_CLASS
    """The unit of x on the axis of labels, as words after a number."""

    def __post_init__(self) -> None:
        """Check that the shapes fit together.

        Raises:
            ValueError: shapes do not match, or x is not above 0 and increasing.
        """
        shapes = (self.arm.shape, self.baseline.shape)
        if len(set(shapes)) > 1 or self.arm.ndim != 3 or shapes[0][2] != len(self.x):
            raise ValueError(f"curves of shapes {shapes} for {len(self.x)} points")
        if not (self.x > 0).all() or not (np.diff(self.x) > 0).all():
            raise ValueError(f"points must be above 0 and increase: {self.x}")

    @cached_property
    def gain(self) -> Array:
        """The arm's scores minus its baseline's."""
        return self.arm - self.baseline

    @cached_property
    def where(self) -> list[float]:
        """The positions of the points on the axis."""
        places: list[float] = self.axis.position(self.x).tolist()
        return places

    def along(self, values: Array, position: float) -> Array:
        """Return values (blocks, items, points) at a position between points: (blocks, items).

        The interpolation is linear; beyond the ends, the value at the end is used.
        """
        return values @ self.weights_at(position)

    def weights_at(self, position: float) -> Array:
        """Return the weights (points,) that interpolate at a position, constant beyond the ends."""
        left, before, right, share = self.mix_at(position)
        weights = np.zeros(len(self.x))
        weights[left], weights[right] = before, share
        return weights

    def mix_at(self, position: float) -> Mix:
        """Return the two points beside a position, with their interpolation weights."""
        where = self.where
        right = min(max(bisect_left(where, position), 1), len(where) - 1)
        share = (position - where[right - 1]) / (where[right] - where[right - 1])
        share = min(max(share, 0.0), 1.0)
        return Mix(right - 1, 1.0 - share, right, share)

    @property
    def n(self) -> int:
        """The number of seed blocks."""
        return len(self.arm)


@dataclass(frozen=True)
class Measure:
    """A number with its *uncorrected* 95 % interval; None if the data cannot tell."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    """The number of seed blocks it is based on."""
    scope: str | None = None
    """What the interval covers; None if there is none."""
    relation: Relation = "="
    """The relation of the quantity to `value`: a curve that ends too early gives only a bound."""
    note: str = ""
    """Why there is no value or only a bound, and other warnings."""

    def mapped(self, by: Callable[[float], float]) -> Measure:
        """Return the measure with a monotone function applied to its value and both ends."""
        return replace(self, value=_known(by, self.value), low=_known(by, self.low),
                       high=_known(by, self.high))  # fmt: skip


@dataclass(frozen=True)
class Sides:
    """One measure of the arm, of its baseline, and of the gain (arm minus baseline)."""

    arm: Measure
    baseline: Measure
    gain: Measure


def undefined(why: str, n: int = 0) -> Measure:
    """Return a measure without a number, with the reason."""
    return Measure(None, n=n, note=why)


def no_sides(why: str, n: int = 0) -> Sides:
    """Return sides without numbers, with the reason."""
    return Sides(undefined(why, n), undefined(why, n), undefined(why, n))


def estimate(values: Array, scope: str | None = None) -> Estimate:
    """Estimate the mean of (blocks, items) values, for new seeds and, if there are several, items.

    Args:
        values: (blocks, items).
        scope: as `Both.scope`.
    """
    return estimates(values[None], scope)[0]


def estimates(values: Array, scope: str | None = None) -> list[Estimate]:
    """Estimate the means of many (m, blocks, items) values at once."""
    found = each_over_blocks_and_items(values)
    if scope == SEEDS_AND_GROUPS:
        return list(map(in_groups, found))
    if not scope or values.shape[2] > 1:
        return found
    return [replace(one, scope=scope) for one in found]


def scope_of(values: Array, scope: str | None = None) -> str:
    """Return what intervals from (blocks, items, ...) values cover; see `estimate`."""
    blocks, items = values.shape[:2]
    if items > 1 and blocks > 1:
        return scope if scope == SEEDS_AND_GROUPS else SEEDS_AND_ITEMS
    plain = THIS_TEST_SET if blocks > 1 else THIS_MODEL
    return scope if scope and scope != SEEDS_AND_GROUPS and items == 1 else plain


def measured(values: Array, scope: str | None = None, note: str = "") -> Measure:
    """Return the mean of (blocks, items) values with its interval."""
    return each_measured(values[None], scope, note)[0]


def each_measured(values: Array, scope: str | None = None, note: str = "") -> list[Measure]:
    """Return the means of many (m, blocks, items) values with their intervals."""
    n, measures = values.shape[1], []
    for found in estimates(values, scope):
        low, high = found.interval()
        if low is None:
            measures.append(Measure(found.mean, n=n, note=note or _no_interval(n)))
        else:
            measures.append(Measure(found.mean, low, high, n, found.scope, note=note))
    return measures


def by_point(values: Array) -> Array:
    """Return values (blocks, items, points) as (points, blocks, items)."""
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def weighted(both: Both, weights: Array) -> Sides:
    """Return the sum over points of scores times weights (points,), for both arms and the gain."""
    sums = [values @ weights for values in (both.arm, both.baseline, both.gain)]
    return Sides(*each_measured(np.stack(sums), both.scope))


def jumpstart(both: Both) -> Measure:
    """Return P_TL(t0) − P_0(t0), the gain at the first point, in points."""
    return measured(both.gain[:, :, 0], both.scope)


def asymptote(both: Both) -> Sides:
    """Return the mean of the last points; its gain is the asymptotic gain."""
    return weighted(both, last_weights(len(both.x)))


def slope(both: Both) -> Sides:
    """Return the early slope, in points per doubling of x."""
    return weighted(both, slope_weights(both.x))


def area(both: Both) -> Sides:
    """Return the area under the curve divided by its length: the mean score, in points."""
    return weighted(both, area_weights(both))


def last_points(points: int) -> int:
    """Return how many of the last points make up the asymptote: a third, one to three."""
    return min(max(points // 3, 1), 3)


def last_weights(points: int) -> Array:
    """Return weights (points,) that average the last points."""
    k = last_points(points)
    return np.repeat([0.0, 1.0 / k], [points - k, k])


def early_points(points: int) -> int:
    """Return how many points count as early: the first half of them, at least two."""
    return max((points + 1) // 2, 2)


def slope_weights(x: Array) -> Array:
    """Return weights (points,) of the least-squares slope per doubling over the early points."""
    early = early_points(len(x))
    z = np.log2(x[:early])
    z -= z.mean()
    return np.concatenate([z / (z**2).sum(), np.zeros(len(x) - early)])


def area_weights(both: Both) -> Array:
    """Return weights (points,) of the trapezoid rule over the axis; they sum to 1."""
    steps = np.diff(both.axis.position(both.x))
    weights = np.zeros(len(both.x))
    weights[:-1] += steps / 2
    weights[1:] += steps / 2
    return np.asarray(weights / steps.sum())


# Intervals by test inversion: all values that the data do not reject. A quantity such as the budget
# at which a curve reaches a level is not a mean over blocks. But for each candidate value there is
# a mean over blocks that is zero if the candidate is right, and it can be tested.

HALVINGS = 24
DOUBLINGS = 40

Criterion = Callable[[float], float | None]
"""At least zero for candidates that are not rejected; None if there is no test."""


def boundary(criterion: Criterion, inside: float, outside: float) -> float:
    """Return where the criterion turns negative between two candidates, by bisection."""
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        found = criterion(middle)
        if found is None or found >= 0:
            inside = middle
        else:
            outside = middle
    return (inside + outside) / 2


def outward(criterion: Criterion, inside: float, step: float) -> float | None:
    """Return the boundary from a candidate inside towards `step`; None if none is near."""
    for _ in range(DOUBLINGS):
        found = criterion(inside + step)
        if found is None:
            return None
        if found < 0:
            return boundary(criterion, inside, inside + step)
        step *= 2
    return None


def transfer_ratio(both: Both, classes: int) -> Measure:
    """Return (A_TL − A_0) / A_0 for the areas under chance-corrected accuracy.

    The correction is (acc − 1/C) / (1 − 1/C). The interval is Fieller's (1954): all ratios r for
    which A_TL − (1 + r) A_0, paired by block and item, is not distinguishable from zero.

    Args:
        both: curves of accuracy, in points.
        classes: C, the target's number of classes.
    """
    chance = 1 / classes
    weights = area_weights(both)
    arm, baseline = (
        (values @ weights / 100 - chance) / (1 - chance) for values in (both.arm, both.baseline)
    )
    under = measured(baseline, both.scope)
    if under.low is None:
        return undefined("the baseline's area has no interval to lie above chance", both.n)
    if under.low <= 0:
        return undefined("the baseline's area is not shown to lie above chance", both.n)
    value = float(arm.mean() / baseline.mean())

    sums = Mixtures(np.stack([arm, baseline], axis=2))

    def test(ratio: float) -> Estimate:
        return estimate(arm - ratio * baseline, both.scope)

    def end(which: int) -> Criterion:
        return lambda r: sums.less(Mix(0, 1.0, 1, -r), which, 0.0, lambda: test(r))

    found = test(value)
    if found.se is None:
        return Measure(value - 1, n=both.n, note=_no_interval(both.n))
    step = found.se / float(baseline.mean())
    low = outward(lambda ratio: _known(neg, end(0)(ratio)), value, -step)
    high = outward(end(1), value, step)
    return Measure(value, low, high, both.n, found.scope).mapped(lambda ratio: ratio - 1)


def _known(by: Callable[[float], float], value: float | None) -> float | None:
    return None if value is None else by(value)


def _no_interval(blocks: int) -> str:
    return "one seed: no interval" if blocks == 1 else "no variation: no interval"
