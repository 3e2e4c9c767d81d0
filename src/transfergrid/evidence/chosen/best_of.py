"""The expected result of the best of k out of n tried settings: unbiased, for every k at once.

If every subset of k of the n settings is equally likely, its best by validation is the i-th of all,
from the worst, with probability C(i - 1, k - 1) / C(n, k) (Tang et al. 2020; Dodge et al. 2019 draw
with replacement, which is biased downwards).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean

from transfergrid.records.points import points
from transfergrid.records.record import Record

Curve = tuple[float, ...]
"""The expected score of the best of 1, 2, ... settings."""


def best_of(
    validation: Sequence[float], higher: bool = True, got: Sequence[float] | None = None
) -> Curve:
    """Return the expected score of the best of k, for each k from 1 to n.

    Args:
        validation: the n scores that settings are chosen by.
        higher: whether more is better.
        got: for each setting, the score that choosing it gives; by default its validation score.
            Settings with equal validation scores are chosen with equal probability.
    """
    outcome = validation if got is None else got
    alike: defaultdict[float, list[float]] = defaultdict(list)
    for score, value in zip(validation, outcome, strict=True):
        alike[score].append(value)
    ordered = [
        fmean(alike[score])
        for score in sorted(alike, reverse=not higher)
        for _ in range(len(alike[score]))
    ]
    n = len(ordered)
    return tuple(
        sum(value * comb(place, k - 1) for place, value in enumerate(ordered)) / comb(n, k)
        for k in range(1, n + 1)
    )


@dataclass(frozen=True)
class Tried:
    """What more trials gain for an arm, by its own validation parts.

    Attributes:
        curve: the mean over seeds, in the unit of the scores; as long as the shortest search of a
            seed.
        n: number of seeds.
        failed: number of trials without a score, over all seeds.
        alike: whether every subset of k trials was equally likely to be tried.
    """

    curve: Curve
    n: int
    failed: int
    alike: bool


def tried(cells: Sequence[Record]) -> Tried | None:
    """Return what more trials gain for the cells of one arm; None if nothing was searched.

    A failed trial counts as the worst one. Trials that were compared by a rule without target
    labels have no score in the metric and are left out.
    """
    curves, failed = [], 0
    for cell in cells:
        by_rule = cell.selection is not None and cell.selection.rule is not None
        trials = cell.tuning.trials if cell.tuning and not by_rule else ()
        scores = [trial.score for trial in trials if trial.score is not None]
        if not scores:
            continue
        higher, lost = cell.metric.higher_is_better, len(trials) - len(scores)
        worst = min(scores) if higher else max(scores)
        in_points = [points(cell.metric) * score for score in [worst] * lost + scores]
        curves.append(best_of(in_points, higher))
        failed += lost
    if not curves:
        return None
    curve = tuple(fmean(each) for each in zip(*curves, strict=False))
    alike = not any(_learns(cell) for cell in cells)
    return Tried(curve, len(curves), failed, alike)


def _learns(cell: Record) -> bool:
    """Return whether later trials depend on earlier ones."""
    told = str((cell.config.get("tuning") or {}).get("_target_"))
    return told.endswith("OptunaSearch")
