"""Transfer curves from records: an arm and its baseline against labels or steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.curves.cells import (
    Pair,
    arms,
    by_labels,
    by_step,
    complete,
    gap,
    is_natural,
    labels_given,
    remarks_on,
    scores,
)
from transfergrid.evidence.curves.crossover import Crossover
from transfergrid.evidence.curves.measures import (
    Array,
    Axis,
    Both,
    Measure,
    Sides,
    by_point,
    counted_by,
    each_measured,
    measured,
    no_sides,
    undefined,
)
from transfergrid.evidence.curves.results import Curve, CurvePoint, NoCurve
from transfergrid.evidence.curves.source_cost import SourceCost, source_cost
from transfergrid.evidence.curves.summary import CurveMeasures, charged, measures
from transfergrid.evidence.curves.thresholds import break_even, usual_threshold
from transfergrid.evidence.declared.judged import Bench
from transfergrid.evidence.measured import comparisons, selecting
from transfergrid.evidence.measured.arms import (
    Key,
    Shown,
    display_names,
    grouped,
    key_of,
    labels_order,
)
from transfergrid.evidence.measured.outcomes import Read
from transfergrid.evidence.measured.scoring import BY_ITEM
from transfergrid.records.cell import Labels
from transfergrid.records.errors import BadInputError
from transfergrid.records.origins import is_one_checkpoint, is_placebo
from transfergrid.records.points import oriented, unit
from transfergrid.records.record import Record

ReadCurves = Callable[[str], Mapping[str, NDArray[Any]]]
"""Returns a cell's curves by its id, as `arrays.CURVES`; raises `BadInputError` if there are
none."""

VALIDATION = "seeds, each with its own validation part"
NATURAL_ALL = (
    "all labels are drawn as they come and k labels in equal numbers a class: a curve uses one "
    "way, so all labels stand beside it"
)
ON_VALIDATION = "scores are of the validation part: the test set is read once, after every choice"
NOTHING_VALIDATES = "nothing validates here, so no score is known before the last step"


def curves_of(
    bench: Bench,
    against: Axis = Axis.LABELS,
    threshold: float | None = None,
    exchange: float = 1.0,
    over: str | None = None,
    where: selecting.Where | None = None,
) -> tuple[list[Curve], list[NoCurve]]:
    """Return a ledger's curves, compared as declared by the last grids that requested the cells.

    Args:
        bench: the ledger.
        against: labels per class, or steps.
        threshold: the score to reach, in points; by default it is chosen for each pair of curves.
        exchange: the number of target labels that one label of the source is charged as.
        over: name of an exploratory baseline that replaces the primary one.
        where: selects arms, and runs of these.
    """
    records = selecting.selected(bench.records.values(), where or selecting.Where())
    if over is not None:
        records = comparisons.over(records, over)
    if against is Axis.STEPS:
        return step_curves(records, bench.ledger.curves, threshold)
    return label_curves(records, bench.outcomes, threshold, exchange)


def label_curves(
    records: Iterable[Record],
    read: Read | None = None,
    threshold: float | None = None,
    exchange: float = 1.0,
) -> tuple[list[Curve], list[NoCurve]]:
    """Return the test curves of every arm with a source against labels.

    Args:
        records: done cells, including their baselines.
        read: returns per-example predictions; without it, intervals cover seeds only.
        threshold: the score to reach, in points; by default it is chosen for each pair of curves.
        exchange: the number of target labels that one label of the source is charged as.
    """
    cells = list(records)
    shown = display_names(grouped(cells))
    curves, none = [], []
    for pairs in arms(cells).values():
        try:
            curves.append(_curve(_against_labels(pairs, read), shown, threshold, exchange))
        except BadInputError as error:
            none.append(_no_curve(pairs, None, str(error)))
    return sorted(curves, key=_order), none


def step_curves(
    records: Iterable[Record], read: ReadCurves, threshold: float | None = None
) -> tuple[list[Curve], list[NoCurve]]:
    """Return the validation curves of every arm with a source against steps, by label budget.

    Args:
        records: done cells, including their baselines.
        read: returns the curves that cells recorded.
        threshold: as for `label_curves`.
    """
    cells = list(records)
    shown = display_names(grouped(cells))
    curves, none = [], []
    for found in _all_against_steps(cells, read):
        if isinstance(found, NoCurve):
            none.append(found)
        else:
            curves.append(_curve(found, shown, threshold, 1.0))
    return sorted(curves, key=_order), none


class StepMeans(NamedTuple):
    """The mean validation scores of an arm and its baseline, for a chart."""

    cell: str
    """The id of the arm's first cell."""
    steps: tuple[float, ...]
    arm: tuple[float, ...]
    baseline: tuple[float, ...]


def step_means(records: Iterable[Record], read: ReadCurves) -> list[StepMeans]:
    """Return only the points of `step_curves`, without intervals and measures."""
    cells = list(records)
    shown = display_names(grouped(cells))
    gathered = (one for one in _all_against_steps(cells, read) if isinstance(one, _Gathered))
    return [_means(found) for found in sorted(gathered, key=lambda found: _place(found, shown))]


def _means(found: _Gathered) -> StepMeans:
    cell, _ = found.blocks[0][0]
    sign = 1.0 if cell.metric.higher_is_better else -1.0
    sides = (tuple((sign * side).mean(axis=(0, 1)).tolist())
             for side in (found.both.arm, found.both.baseline))  # fmt: skip
    return StepMeans(cell.id, tuple(found.both.x.tolist()), *sides)


def _all_against_steps(cells: Sequence[Record], read: ReadCurves) -> Iterator[_Gathered | NoCurve]:
    """Yield the step curve of each arm and label budget; each cell's curves are read only once."""
    once = cache(lambda identity: by_step(read(identity)))
    for pairs in arms(cells).values():
        for labels, inside in by_labels(pairs).items():
            try:
                yield _against_steps(inside, labels, once)
            except BadInputError as error:
                yield _no_curve(inside, labels, str(error))


@dataclass(frozen=True)
class _Gathered:
    """The data of a curve: both arms' scores, and the pairs of cells at each point."""

    both: Both
    blocks: list[list[Pair]]
    notes: list[str]
    labels: Labels | None = None
    beside: CurvePoint | None = None


def _against_labels(pairs: list[Pair], read: Read | None) -> _Gathered:
    budgets = by_labels(pairs)
    whole = budgets.pop("all", [])
    budgets.pop(0, None)  # zero has no place on a log axis
    by_x: dict[float, list[Pair]] = {float(k): v for k, v in budgets.items()}
    if whole and is_natural(whole[0][0]):
        by_x[labels_given(whole[0][0])] = whole
        whole = []
    by = counted_by(pairs[0][0].metric.name)
    x, blocks, notes = complete(by_x, by)
    both = Both(Axis.LABELS, x, *scores(blocks, read), by)
    if not whole:
        return _Gathered(both, blocks, notes)
    return _Gathered(both, blocks, [*notes, NATURAL_ALL], beside=_beside(whole, read))


def _against_steps(
    pairs: list[Pair], labels: Labels, read: Callable[[str], dict[int, float]]
) -> _Gathered:
    curves = [(read(cell.id), read(base.id)) for cell, base in pairs]
    scored = [side.keys() for pair in curves for side in pair]
    if not all(scored):
        raise BadInputError(NOTHING_VALIDATES)
    shared = sorted(set.intersection(*map(set, scored)))
    x = np.array(shared, dtype=np.float64)
    if len(x) < 2:
        raise BadInputError(f"the arms share {len(x)} steps at which both were scored, of two")
    scale = oriented(pairs[0][0].metric)
    arm, baseline = (
        scale * np.array([[pair[side][step] for step in shared] for pair in curves])[:, None, :]
        for side in (0, 1)
    )
    both = Both(Axis.STEPS, x, arm, baseline, VALIDATION)
    return _Gathered(both, [pairs], [ON_VALIDATION], labels)


def _curve(
    found: _Gathered, shown: Mapping[Key, Shown], threshold: float | None, exchange: float
) -> Curve:
    """Return the curve with all its measures."""
    both, pairs = found.both, [pair for inside in found.blocks for pair in inside]
    cell, base = pairs[0]
    source, architecture, strategy, target = shown[key_of(cell)]
    sign = 1.0 if cell.metric.higher_is_better else -1.0
    level = usual_threshold(both) if threshold is None else sign * threshold
    classes = len(cell.data.classes) if cell.metric.name == BY_ITEM else None
    plain, cost = measures(both, level, classes), source_cost(pairs)
    plain = replace(plain, crossover=_seen_beside(plain.crossover, found.beside))
    charge = _charge(both.axis, cost, exchange, max(len(cell.data.classes), 1))
    return Curve(
        source=source,
        architecture=architecture,
        strategy=strategy,
        target=target,
        baseline=shown[key_of(base)][2],
        against=both.axis,
        labels=found.labels,
        metric=cell.metric.name,
        unit=unit(cell.metric),
        n=both.n,
        scope=plain.jumpstart.scope or "no interval",
        points=tuple(_points(both, sign)),
        beside=found.beside,
        threshold=sign * level,
        threshold_given=threshold is not None,
        measures=plain,
        charged=charged(both, plain, classes, charge) if charge else None,
        charge=charge,
        break_even=_break_even(both, plain, cost, charge),
        cost=cost,
        overfitting=_overfitting(found.blocks),
        one_checkpoint=is_one_checkpoint(cell),
        placebo=is_placebo(cell),
        notes=(*found.notes, *remarks_on(pairs, sign)),
        cells=tuple(arm.id for arm, _ in pairs),
        baseline_cells=tuple(other.id for _, other in pairs),
        protocol=cell.protocol,
    )


def _seen_beside(found: Crossover, beside: CurvePoint | None) -> Crossover:
    """Return a crossover beyond the last budget, noting whether the gain stays with all labels."""
    if found.kind != "beyond" or beside is None or beside.gain_low is None:
        return found
    still = "still" if beside.gain_low > 0 else "no longer"
    told = f"with all labels, some {beside.x:.4g} a class drawn as they come, {still} so"
    return replace(found, note="; ".join(part for part in (found.note, told) if part))


def _break_even(
    both: Both, plain: CurveMeasures, cost: SourceCost, charge: float | None
) -> Measure:
    """Return how many targets must share the source; with a teacher, each target needs its own."""
    if not charge:
        return undefined(cost.note or "nothing is charged", both.n)
    each = float(cost.teacher_steps) if both.axis is Axis.STEPS else 0.0
    return break_even(plain.reach, charge - each, each)


def _charge(axis: Axis, cost: SourceCost, exchange: float, classes: int) -> float | None:
    """Return the source's cost in the unit of the axis; None if unknown."""
    if axis is Axis.STEPS:
        return None if cost.steps is None else float(cost.steps)
    return None if cost.labels is None else exchange * cost.labels / classes


def _beside(pairs: list[Pair], read: Read | None) -> CurvePoint:
    """Return the point for all labels, which is shown beside the curve."""
    x = np.array([labels_given(pairs[0][0])])
    both = Both(Axis.LABELS, x, *scores([pairs], read))
    return next(iter(_points(both, 1.0 if pairs[0][0].metric.higher_is_better else -1.0)))


def _points(both: Both, sign: float) -> Iterable[CurvePoint]:
    sides = (
        each_measured(by_point(values), both.scope)
        for values in (sign * both.arm, sign * both.baseline, both.gain)
    )
    for x, *three in zip(both.x, *sides, strict=True):
        ends = [end for side in three for end in (side.value, side.low, side.high)]
        yield CurvePoint(float(x), both.n, *ends)


def _overfitting(blocks: list[list[Pair]]) -> Sides:
    """Return the training minus the test score, averaged over the points, with seed intervals."""
    gaps: list[Array] = []
    for side in (0, 1):
        found = [[gap(pair[side]) for pair in inside] for inside in blocks]
        if any(gap is None for line in found for gap in line):
            return no_sides("training scores were not recorded", len(blocks[0]))
        gaps.append(np.array(found, dtype=np.float64).mean(axis=0)[:, None])
    arm, baseline, both = (measured(gap) for gap in (*gaps, gaps[0] - gaps[1]))
    return Sides(arm, baseline, both)


def _no_curve(pairs: Sequence[Pair], labels: Labels | None, reason: str) -> NoCurve:
    cell, base = pairs[0]
    names = cell.names
    return NoCurve(names.source, names.strategy, names.target, base.names.strategy, labels, reason)


def _order(curve: Curve) -> tuple[Any, ...]:
    names = (curve.source, curve.architecture, curve.strategy, curve.target)
    return _in_order(names, curve.labels, curve.baseline)


def _place(found: _Gathered, shown: Mapping[Key, Shown]) -> tuple[Any, ...]:
    cell, base = found.blocks[0][0]
    return _in_order(shown[key_of(cell)], found.labels, shown[key_of(base)][2])


def _in_order(names: Shown, labels: Labels | None, baseline: str) -> tuple[Any, ...]:
    source, architecture, strategy, target = names
    place = -1.0 if labels is None else labels_order(labels)
    return (target, place, baseline, source or "", architecture or "", strategy)
