"""The gain of an arm over its baseline, paired by seed block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.measured.outcomes import Read, clusters, right, shared_items
from transfergrid.evidence.measured.results import AnyCell, Cell
from transfergrid.evidence.measured.scoring import (
    BY_ITEM,
    ERRORS,
    KNOWN,
    item_variances,
    scores_by_item,
    value_of,
)
from transfergrid.evidence.statistics.intervals import (
    Estimate,
    in_groups,
    over_blocks,
    over_blocks_and_clusters,
    over_blocks_and_resamples,
)
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import packed
from transfergrid.records.metrics import is_of_numbers
from transfergrid.records.points import oriented, points


def paired(arm: Iterable[Cell], baseline: Iterable[Cell]) -> list[tuple[Cell, Cell]]:
    """Return the (arm, baseline) pairs of cells that both have a valid score, ordered by seed."""
    there = {base.id: base for base in baseline if base.score is not None}
    pairs: list[tuple[Cell, Cell]] = []
    for cell in sorted(arm, key=attrgetter("seed", "id")):
        if cell.score is None:
            continue
        partner = there.get(cell.baseline.id) if cell.baseline else None
        if partner is None:
            named = (other.id for other in cell.exploratory if other.id in there)
            partner = next(map(there.__getitem__, named), None)
        if partner is not None:
            pairs.append((cell, partner))
    return pairs


def block_gains(pairs: Sequence[tuple[AnyCell, AnyCell]]) -> NDArray[np.float64]:
    """Return the gain of each pair of valid scores (blocks,), in points; more is better."""
    arm, base = (np.array([cell.score for cell in side]) for side in zip(*pairs, strict=True))
    if arm.dtype == object or base.dtype == object:
        raise ValueError("a cell has no valid score")
    differences: NDArray[np.float64] = arm - base
    return oriented(pairs[0][0].metric) * differences


def magnitude(pairs: Sequence[tuple[AnyCell, AnyCell]]) -> float:
    """Return a power of two near the largest score, to divide errors by; 1 for other metrics.

    The thresholds that tell rounding errors from real variation assume numbers around 1. The
    squared errors of labels in millionths would all pass as rounding errors without this division.
    Dividing by a power of two changes no digit.
    """
    metric = pairs[0][0].metric.name
    if metric not in ERRORS or not is_of_numbers(metric):
        return 1.0
    return 2.0 ** math.frexp(max(abs(_score(cell)) for pair in pairs for cell in pair))[1]


def estimated(pairs: Sequence[tuple[AnyCell, AnyCell]], read: Read | None) -> Estimate:
    """Estimate the mean gain of one or more pairs, over seeds and, if known, over test items."""
    return averaged([pairs], read)


def averaged(several: Sequence[Sequence[tuple[AnyCell, AnyCell]]], read: Read | None) -> Estimate:
    """Estimate the mean over comparisons that share their seeds, averaged within each seed.

    The comparisons (such as those with several label budgets of one target) have equal weights.
    Their errors depend on each other, as they share seeds and test items, so the gains are averaged
    before an error is estimated.

    Args:
        several: the pairs of each comparison, in the same metric and with the same seeds in the
            same order.
        read: returns a cell's predictions.
    """
    size = max(map(magnitude, several))
    return _averaged(several, read, size).times(size)


def _averaged(
    several: Sequence[Sequence[tuple[AnyCell, AnyCell]]], read: Read | None, size: float
) -> Estimate:
    metric = several[0][0][0].metric
    gains = _mean([block_gains(pairs) / size for pairs in several])
    if read is None or metric.name not in KNOWN:
        return over_blocks(gains)
    try:
        if metric.name == BY_ITEM or metric.name in ERRORS:
            ids = [cell.id for pairs in several for side in zip(*pairs, strict=True)
                   for cell in side]  # fmt: skip
            sides = np.split(scores_by_item(ids, metric.name, read), 2 * len(several))
            if metric.name in ERRORS and not all(_are_recorded(pairs, read) for pairs in several):
                return over_blocks(gains)
            sign = oriented(metric)
            by_item = _mean([
                np.multiply(arm - base, sign, dtype=np.float64)
                for arm, base in zip(sides[::2], sides[1::2], strict=True)
            ])  # fmt: skip
            by_item /= size
            return over_blocks_and_clusters(by_item, clusters(read, ids[0]))
        return _resampled(gains, several, read)
    except BadInputError:  # a block has no predictions, or other items: they do not cross
        return over_blocks(gains)


def _mean(several: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean of arrays of one shape; a single one as it is."""
    return several[0] if len(several) == 1 else np.asarray(np.mean(several, axis=0))


def why_uncrossed(pairs: Sequence[tuple[AnyCell, AnyCell]], read: Read) -> str:
    """Return why the gains of these pairs cannot be estimated over test items crossed with seeds.

    Empty if nothing is wrong: they can, no cell has kept its predictions, or the metric does not
    allow it.
    """
    cells = [cell for pair in pairs for cell in pair]
    lost = sum(not _has_predictions(cell, read) for cell in cells)
    if lost == len(cells) or cells[0].metric.name not in KNOWN:
        return ""
    if lost:
        return f"predictions of {lost} of {len(cells)} runs are missing"
    found = [right(read, cell.id) for cell in cells]
    if not shared_items(found):
        return "the seeds were not tested on the same items"
    together = clusters(read, cells[0].id)
    if together is not None and not together.any():
        return "all test items are of one group"
    if not _are_recorded(pairs, read):
        return "the recorded scores are not those of the predictions: these cells are to run again"
    return "" if found[0].n == 1 else "the metric has no value on many a resample of the test items"


def _has_predictions(cell: AnyCell, read: Read) -> bool:
    try:
        right(read, cell.id)
    except BadInputError:
        return False
    return True


def _score(cell: AnyCell) -> float:
    score = cell.score
    if score is None:
        raise ValueError(f"cell {cell.id} has no valid score")
    return score


def _are_recorded(pairs: Sequence[tuple[AnyCell, AnyCell]], read: Read) -> bool:
    """Return whether the scores computed from the predictions equal the recorded scores.

    They differ if an older version computed the score differently. The interval would then be about
    another metric.
    """
    cells = [cell for pair in pairs for cell in pair]
    told = [value_of(cell.metric.name, read(cell.id)) for cell in cells]
    recorded = [_score(cell) for cell in cells]
    return bool(np.allclose(np.array(told, dtype=np.float64), recorded, rtol=1e-3, atol=1e-3))


def _resampled(
    gains: NDArray[np.float64], several: Sequence[Sequence[tuple[AnyCell, AnyCell]]], read: Read
) -> Estimate:
    """Estimate the mean gain in a metric that is not a mean over items, by resampling the items."""
    metric = several[0][0][0].metric
    said = [[(read(cell.id), read(base.id)) for cell, base in pairs] for pairs in several]
    if not shared_items([packed(side) for pairs in said for pair in pairs for side in pair]):
        return over_blocks(gains)
    if not all(_are_recorded(pairs, read) for pairs in several):
        return over_blocks(gains)
    together = said[0][0][0].dependent()
    found = item_variances(said, metric.name, together)
    if found is None:
        return over_blocks(gains)
    estimate = over_blocks_and_resamples(gains, found.scaled(points(metric) ** 2))
    return estimate if together is None else in_groups(estimate)
