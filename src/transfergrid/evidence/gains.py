"""The gain of an arm over its baseline, paired by seed block."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfergrid.arrays import Predictions
from transfergrid.errors import BadInputError
from transfergrid.evidence.intervals import (
    THIS_MODEL,
    Estimate,
    over_blocks,
    over_blocks_and_items,
    over_blocks_and_resamples,
)
from transfergrid.evidence.scoring import BY_ITEM, SHARES, item_variance
from transfergrid.record import Metric, Record

Read = Callable[[str], Predictions]
"""Gives a cell's per-example predictions by its id; raises `BadInputError` if there are none."""
Pair = tuple[Record, Record]


@dataclass(frozen=True)
class Gain:
    """The test score of an arm minus its baseline's, oriented so that more is better.

    In points: scores from 0 to 1 count as 100 of them, others as they are. The interval is an
    *uncorrected* 95 % t interval. What the data cannot tell is None.
    """

    n: int
    """Seed blocks in which both arms have a valid score."""
    mean: float | None
    low: float | None
    high: float | None
    se: float | None
    df: float | None
    scope: str
    """What the interval covers: "seeds and test items", "this test set" or "this model"."""
    unpaired: int
    """Cells of the arm whose partner is missing, failed or without a valid score."""


def gain(arm: Iterable[Record], baseline: Iterable[Record], read: Read | None = None) -> Gain:
    """Compare an arm's cells with the baseline cells that they name.

    Args:
        arm: done cells of one arm, one per seed.
        baseline: done cells of one baseline, among which each cell of the arm finds the one that it
            names, be it as its primary or as an exploratory baseline.
        read: gives the per-example predictions, without which the interval covers seeds alone.
    """
    cells = list(arm)
    pairs = paired(cells, baseline)
    unpaired = len(cells) - len(pairs)
    if not pairs:
        return Gain(0, None, None, None, None, None, THIS_MODEL, unpaired)
    estimate = _estimate(pairs, read)
    low, high = estimate.interval()
    se, df, scope = estimate.se, estimate.df, estimate.scope
    return Gain(len(pairs), estimate.mean, low, high, se, df, scope, unpaired)


def paired(arm: Iterable[Record], baseline: Iterable[Record]) -> list[Pair]:
    """Return the (arm, baseline) cells in which both have a valid score, ordered by seed."""
    there = {cell.id: cell for cell in baseline if cell.score is not None}
    pairs = []
    for cell in sorted(arm, key=lambda cell: (cell.seed, cell.id)):
        named = (*((cell.baseline,) if cell.baseline else ()), *cell.exploratory)
        partner = next((there[other.id] for other in named if other.id in there), None)
        if partner is not None and cell.score is not None:
            pairs.append((cell, partner))
    return pairs


def gain_this_seed(cell: Record, baseline: Record) -> float | None:
    """Return the gain of one seed in points, more is better; None without two valid scores."""
    if cell.score is None or baseline.score is None:
        return None
    sign = 1 if cell.metric.higher_is_better else -1
    return 100.0 * sign * (cell.score - baseline.score)


def points(metric: Metric) -> float:
    """Return how many points one unit of the metric is, as it is shown."""
    return 100.0 if metric.name in SHARES else 1.0


def unit(metric: Metric) -> str:
    """Return the unit that the metric is shown in, empty if it has none."""
    return "%" if metric.name in SHARES else ""


def _estimate(pairs: list[Pair], read: Read | None) -> Estimate:
    metric = pairs[0][0].metric
    scale = points(metric) * (1 if metric.higher_is_better else -1)
    gains = scale * np.array([_score(cell) - _score(base) for cell, base in pairs])
    said = _predictions(pairs, read) if read and metric.name in SHARES else None
    if said is None:
        return over_blocks(gains)
    if metric.name == BY_ITEM:
        return over_blocks_and_items(scale * _gains_by_item(said))
    variance = item_variance(said, metric.name)
    if variance is None:
        return over_blocks(gains)
    return over_blocks_and_resamples(gains, scale**2 * variance, len(said[0][0].labels))


def _score(cell: Record) -> float:
    score = cell.score
    if score is None:
        raise ValueError(f"cell {cell.id} has no valid score")
    return score


def _predictions(pairs: list[Pair], read: Read) -> list[tuple[Predictions, Predictions]] | None:
    """Return the predictions of both arms in each block, or None unless every block has them all.

    Blocks that were not tested on the same items, in the same order, do not cross.
    """
    try:
        both = [(read(cell.id), read(base.id)) for cell, base in pairs]
    except BadInputError:
        return None
    labels = both[0][0].labels
    if any(not np.array_equal(labels, side.labels) for pair in both for side in pair):
        return None
    return both


def _gains_by_item(said: list[tuple[Predictions, Predictions]]) -> NDArray[np.float64]:
    """Return the gains in accuracy (blocks, items)."""
    return np.stack([a.correct().astype(np.float64) - b.correct() for a, b in said])
