"""Thresholds: labels or steps that reach a score, and what transfer saves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transfergrid.evidence.curves.between import Mixtures
from transfergrid.evidence.curves.measures import (
    Array,
    Both,
    Criterion,
    Measure,
    Relation,
    Sides,
    boundary,
    estimate,
    scope_of,
    undefined,
)

SAVING = "the baseline reaches p for no more: there is no saving to pay for the source"


def usual_threshold(both: Both) -> float:
    """Return the middle of the score range that both mean curves cover, in points.

    If one curve lies above the other throughout, it is the best score of the lower one. Both arms
    are treated alike.
    """
    arm, baseline = both.arm.mean(axis=(0, 1)), both.baseline.mean(axis=(0, 1))
    lowest, highest = max(arm.min(), baseline.min()), min(arm.max(), baseline.max())
    return float((lowest + highest) / 2 if highest > lowest else highest)


def reach(both: Both, threshold: float) -> Sides:
    """Return the x at which the mean curves first reach the threshold; `gain` is arm − baseline.

    Between points the curves are linear on the axis. The interval contains every x at which the
    mean score is not distinguishable from the threshold. A curve that never reaches it is
    right-censored: the last x with relation ">". A curve above it from the start is left-censored:
    "<=".
    """
    arm, baseline = (_reached(both, values, threshold) for values in (both.arm, both.baseline))
    return Sides(arm, baseline, less(arm, baseline))


def efficiency(both: Both, sides: Sides) -> Measure:
    """Return n_0(p) / n_TL(p): how many times as much the baseline needs as the arm.

    The interval contains every ratio r for which the baseline at r · n_TL(p) is not distinguishable
    from the arm at n_TL(p), paired by block and item.

    Args:
        both: the curves.
        sides: what each arm needs to reach the threshold, from `reach`.
    """
    found = saved(sides)
    arm, baseline = sides.arm, sides.baseline
    if found.value is None or arm.value is None:
        return found
    if arm.relation == "=":
        at = both.along(both.arm, float(both.axis.position(np.array([arm.value]))[0]))
        paired = _reached(both, both.baseline - at[:, :, None], 0.0)
        low, high = paired.low, paired.high
    else:  # only a bound: the baseline's interval gives its uncertainty
        low = baseline.low if found.relation in (">", ">=") else None
        high = baseline.high if found.relation == "<" else None
    scope = baseline.scope if (low, high) != (None, None) else None
    took = Measure(baseline.value, low, high, both.n, scope, found.relation, found.note)
    return took.mapped(lambda end: end / (arm.value or 1.0))


def saved(sides: Sides) -> Measure:
    """Return how many times as much the baseline needs as the arm, bounded where censored.

    Args:
        sides: from `reach`; the source's cost may be added to the arm's.
    """
    arm, baseline = sides.arm, sides.baseline
    if arm.value is None or baseline.value is None:
        return undefined(arm.note or baseline.note, arm.n)
    known: dict[tuple[Relation, Relation], Relation] = {
        ("=", "="): "=",
        ("<=", "="): ">=",
        ("<=", ">"): ">",
        ("=", ">"): ">",
        (">", "="): "<",
        (">", "<="): "<",
        ("=", "<="): "<=",
    }
    relation = known.get((arm.relation, baseline.relation))
    if relation is None:
        both = "neither arm reaches" if arm.relation == ">" else "both arms start above"
        return undefined(f"{both} the threshold", arm.n)
    return Measure(baseline.value / arm.value, n=arm.n, relation=relation)


def break_even(sides: Sides, cost: float, each: float = 0.0) -> Measure:
    """Return how many targets must share a source's cost until transfer is cheaper.

    To reach the threshold, transfer saves n_0(p) − n_TL(p) − `each` per target, and costs `cost`
    once.

    Args:
        sides: from `reach`, without charges.
        cost: the source's cost, in the unit of the axis.
        each: the extra cost for every target, such as a teacher.
    """
    gain = sides.gain
    if gain.value is None:
        return undefined(gain.note, gain.n)
    saving = -gain.value - each
    if saving <= 0:
        return undefined(SAVING, gain.n)
    turned: dict[Relation, Relation] = {"=": "=", "<": "<", "<=": "<="}
    if gain.relation not in turned:
        return undefined("the arm never reaches the threshold", gain.n)
    return Measure(cost / saving, n=gain.n, relation=turned[gain.relation])


def less(arm: Measure, baseline: Measure) -> Measure:
    """Return the difference of what both arms need, as far as censoring allows."""
    ratio = saved(Sides(arm, baseline, arm))
    if ratio.value is None or arm.value is None or baseline.value is None:
        return ratio
    turned: dict[Relation, Relation] = {"=": "=", ">": "<", ">=": "<=", "<": ">", "<=": ">="}
    return Measure(arm.value - baseline.value, n=arm.n, relation=turned[ratio.relation])


def _reached(both: Both, values: Array, level: float) -> Measure:
    """Return where the mean curve of values (blocks, items, points) reaches a level."""
    axis, n, where, sums = both.axis, both.n, both.where, Mixtures(values)

    def less(which: int | None) -> Criterion:
        def criterion(position: float) -> float | None:
            mix = both.mix_at(position)
            found = sums.less(
                mix, which, level, lambda: estimate(both.along(values, position), both.scope)
            )
            return None if found is None else -found

        return criterion

    low, high = (first_not_above(less(which), where) for which in (1, 0))
    ends = [None if p is None else axis.at(p) for p in (low, high)]
    scope = scope_of(values, both.scope) if ends != [None, None] else None
    never = int((values.mean(axis=1).max(axis=1) < level).sum())
    note = f"{never} of {n} seeds never reach it" if never else ""
    found = first_not_above(less(None), where)
    if found is None:
        note = note if never < n else ""
        return Measure(float(both.x[-1]), ends[0], None, n, scope, ">", note)
    relation: Relation = "<=" if found == where[0] else "="
    low_end = None if relation == "<=" else ends[0]
    return Measure(axis.at(found), low_end, ends[1], n, scope, relation, note)


def first_not_above(criterion: Criterion, where: Sequence[float]) -> float | None:
    """Return the first position at which a criterion is not above zero; None if there is none."""
    before: float | None = None
    for position in where:
        found = criterion(position)
        if found is not None and found <= 0:
            return position if before is None else boundary(criterion, before, position)
        before = position
    return None
