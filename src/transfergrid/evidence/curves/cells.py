"""Cells arranged for curves: seed blocks by test items by points."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.curves.measures import A_CLASS, Array
from transfergrid.evidence.measured import remarks
from transfergrid.evidence.measured.outcomes import Read, clusters
from transfergrid.evidence.measured.scoring import BY_ITEM, ERRORS, scores_by_item
from transfergrid.evidence.statistics.intervals import SEEDS_AND_GROUPS, by_cluster
from transfergrid.records.cell import Labels, Parts
from transfergrid.records.errors import BadInputError
from transfergrid.records.metrics import is_of_numbers, one_answer
from transfergrid.records.points import oriented
from transfergrid.records.record import Record

Pair = tuple[Record, Record]


def arms(records: Iterable[Record]) -> dict[tuple[Parts, Parts], list[Pair]]:
    """Return the (arm, baseline) cells of each arm with a source, by the parts of both."""
    cells = {cell.id: cell for cell in records}
    arms: defaultdict[tuple[Parts, Parts], list[Pair]] = defaultdict(list)
    for cell in sorted(cells.values(), key=lambda cell: (cell.seed, cell.id)):
        base = cells.get(cell.baseline.id) if cell.baseline else None
        if cell.names.source and base and cell.score is not None and base.score is not None:
            arms[(cell.parts, base.parts)].append((cell, base))
    return dict(arms)


def by_labels(pairs: Sequence[Pair]) -> dict[Labels, list[Pair]]:
    """Return the pairs of each label budget."""
    found: defaultdict[Labels, list[Pair]] = defaultdict(list)
    for pair in pairs:
        found[pair[0].labels].append(pair)
    return dict(found)


def complete(
    by_x: Mapping[float, list[Pair]], by: str = A_CLASS
) -> tuple[Array, list[list[Pair]], list[str]]:
    """Return the points and, at each, the pairs of the seeds that have a pair at every point.

    Args:
        by_x: pairs at each label budget.
        by: the unit of budgets, in words.

    Raises:
        BadInputError: there are fewer than two points, or no such seed.
    """
    x = sorted(by_x)
    if len(x) < 2:
        told = f"one budget of labels, {x[0]:g} {by}" if x else f"no budget of k labels {by}"
        raise BadInputError(f"{told}: a curve takes two")
    seeds = [{cell.seed for cell, _ in by_x[k]} for k in x]
    common = set.intersection(*seeds)
    if not common:
        raise BadInputError("no seed has both arms at every label budget")
    left = len(set.union(*seeds)) - len(common)
    notes = [f"{left} of {left + len(common)} seeds lack a budget and are left out"] if left else []
    kept = [[pair for pair in by_x[k] if pair[0].seed in common] for k in x]
    return np.array(x, dtype=np.float64), kept, notes


def scores(blocks: list[list[Pair]], read: Read | None) -> tuple[Array, Array, str | None]:
    """Return the oriented test scores of arm and baseline (blocks, items, points), in points.

    If the third value is `SEEDS_AND_GROUPS`, the items axis contains groups of items.
    """
    cells = [cell for inside in blocks for pair in inside for cell in pair]
    by_item, together = _by_item(cells, read)
    of_points = by_item.reshape(len(blocks), -1, 2, by_item.shape[1])
    arm, baseline = (
        np.stack(
            [side if together is None else by_cluster(side, together) for side in sides], axis=2
        )
        for sides in np.ascontiguousarray(of_points.transpose(2, 0, 1, 3))
    )
    return arm, baseline, None if together is None else SEEDS_AND_GROUPS


def _by_item(cells: Sequence[Record], read: Read | None) -> tuple[Array, NDArray[np.int32] | None]:
    """Return the oriented scores (cells, items), and the cluster of each item.

    The scores are the cells' own, (cells, 1), unless they are means over items that all cells
    share.
    """
    own = np.array([oriented(cell.metric) * (cell.score or 0.0) for cell in cells])[:, None]
    metric = cells[0].metric
    if read is None or metric.name not in (BY_ITEM, *ERRORS):
        return own, None
    try:
        found = scores_by_item([cell.id for cell in cells], metric.name, read)
        return oriented(metric) * found.astype(np.float64), clusters(read, cells[0].id)
    except BadInputError:
        return own, None


def by_step(curves: Mapping[str, NDArray[Any]]) -> dict[int, float]:
    """Return the validation scores by step; empty without validation."""
    steps = map(int, np.asarray(curves.get("validation_step", ())).tolist())
    return dict(zip(steps, np.asarray(curves.get("validation_score", ())).tolist(), strict=False))


def gap(cell: Record) -> float | None:
    """Return the training minus the test score, in oriented points; None if one is missing."""
    train, test = (cell.scores.train or {}).get(cell.metric.name), cell.score
    return None if train is None or test is None else oriented(cell.metric) * (train - test)


def is_natural(cell: Record) -> bool:
    """Return whether k labels are drawn in the same way as all labels: in natural proportions.

    In regression k labels are drawn evenly from all tenths of the pool, so they are distributed as
    all are.
    """
    if is_of_numbers(cell.metric.name):
        return True
    return (cell.config.get("target") or {}).get("sampling") == "natural"


def labels_given(cell: Record) -> float:
    """Return the mean number of labels per class that the cell got; in regression, the total."""
    return (cell.data.train + cell.data.validation) / max(len(cell.data.classes), 1)


def remarks_on(pairs: Sequence[Pair], sign: float) -> list[str]:
    """Return the notes for the reader on these cells."""
    cells = [cell for cell, _ in pairs]
    every = [cell for pair in pairs for cell in pair]
    lines = []
    if sign < 0:
        lines.append("lower is better: slope, asymptote, area and gap are of the negated score")
    if short := remarks.short_classes([cell.data for cell in cells]):
        lines.append(f"{len(short)} classes have fewer labels than asked for: not quite balanced")
    if seen := remarks.seen_in(cells):
        lines.append(f"the source was trained on what holds the target ({', '.join(seen)})")
    said = one_answer([cells[0].metric.name])
    if collapsed := sum(cell.flags.collapsed for cell in every):
        lines.append(f"{collapsed} cells collapsed ({said} predicted) and stay in")
    return lines
