"""All measures of a pair of curves, with or without the source's cost charged to the arm."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from transfergrid.evidence.curves import measures as of
from transfergrid.evidence.curves import thresholds
from transfergrid.evidence.curves.crossover import Crossover, crossover
from transfergrid.evidence.curves.measures import Array, Both, Measure, Sides, no_sides, undefined

NOT_ACCURACY = "defined on accuracy only"


@dataclass(frozen=True)
class CurveMeasures:
    """The measures of a pair of curves. Scores are in points, oriented so that more is better."""

    jumpstart: Measure
    """P_TL(t0) − P_0(t0): the gain at the first point, in points."""
    slope: Sides
    """Early slope, in points per doubling of labels or steps."""
    asymptotic: Sides
    """Mean of the last points; its `gain` is the asymptotic gain, in points."""
    area: Sides
    """Area under the curve divided by its length, in points: over log labels, or over steps."""
    transfer_ratio: Measure
    """(A_TL − A_0) / A_0 on chance-corrected accuracy."""
    reach: Sides
    """Labels, or steps, until the threshold; right-censored if it is never reached."""
    efficiency: Measure
    """n_0(p) / n_TL(p): how many times as much the baseline needs as the arm."""
    crossover: Crossover
    """The point beyond which the gain's interval no longer lies above zero."""


def measures(both: Both, threshold: float, classes: int | None) -> CurveMeasures:
    """Return all measures.

    Args:
        both: the curves.
        threshold: the score p to reach, in points.
        classes: the target's number of classes if scores are accuracy; else None.
    """
    sides = thresholds.reach(both, threshold)
    return _measures(both, classes, sides, thresholds.efficiency(both, sides))


def _measures(both: Both, classes: int | None, reach: Sides, efficiency: Measure) -> CurveMeasures:
    """Return all measures, given those that depend on the threshold."""
    ratio = undefined(NOT_ACCURACY, both.n)
    return CurveMeasures(
        jumpstart=of.jumpstart(both),
        slope=of.slope(both),
        asymptotic=of.asymptote(both),
        area=of.area(both),
        transfer_ratio=of.transfer_ratio(both, classes) if classes else ratio,
        reach=reach,
        efficiency=efficiency,
        crossover=crossover(both),
    )


def charged(both: Both, plain: CurveMeasures, classes: int | None, cost: float) -> CurveMeasures:
    """Return the measures with the arm's curve shifted along the axis by its source's cost.

    Both arms are then compared at equal total cost, as far as the baseline's curve goes. The labels
    or steps to the threshold need no common range, as the source's cost is simply added to the
    arm's.

    Args:
        both: the curves, not shifted.
        plain: their measures.
        classes: as for `measures`.
        cost: the source's cost, in the unit of the axis.
    """
    moved, reached, dearer = shifted(both, cost), _costlier(plain, cost), _dearer(plain, cost)
    if moved is not None:
        return _measures(moved, classes, reached, dearer)
    return replace(_without_common_part(both, plain, cost), reach=reached, efficiency=dearer)


def shifted(both: Both, cost: float) -> Both | None:
    """Return the curves at equal totals, where the arm's x includes its source's cost.

    None if the baseline's curve does not reach two points of the arm's shifted curve.
    """
    arm_x = both.x + cost
    every = np.union1d(both.x, arm_x)
    x = every[(every >= arm_x[0]) & (every <= both.x[-1])]
    if len(x) < 2:
        return None
    return Both(both.axis, x, _at(both, both.arm, x - cost), _at(both, both.baseline, x),
                both.scope, both.by)  # fmt: skip


def _at(both: Both, values: Array, x: Array) -> Array:
    """Return values (blocks, items, points) at other points, by linear interpolation."""
    positions = map(float, both.axis.position(x))
    return values @ np.stack([both.weights_at(position) for position in positions], axis=1)


def _without_common_part(both: Both, plain: CurveMeasures, cost: float) -> CurveMeasures:
    why = (
        f"no common part: the source alone takes {cost:,.6g}, and the baseline was followed to "
        f"{both.x[-1]:,.6g}"
    )
    nothing, sides = undefined(why, both.n), no_sides(why, both.n)
    unknown = Crossover("unknown", n=both.n, note=why)
    return CurveMeasures(nothing, sides, sides, sides, nothing, plain.reach, plain.efficiency,
                         unknown)  # fmt: skip


def _costlier(plain: CurveMeasures, cost: float) -> Sides:
    """Return what both arms need to the threshold, with the source's cost added to the arm's."""
    dear, baseline = plain.reach.arm.mapped(lambda x: x + cost), plain.reach.baseline
    return Sides(dear, baseline, thresholds.less(dear, baseline))


def _dearer(plain: CurveMeasures, cost: float) -> Measure:
    """Return n_0(p) / (n_TL(p) + cost)."""
    took = plain.reach.arm.value
    if took is None or plain.efficiency.value is None:
        return plain.efficiency
    share = took / (took + cost)
    return plain.efficiency.mapped(lambda ratio: ratio * share)
