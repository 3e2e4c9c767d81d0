"""Scores in points, as all tables show them: unit, direction, and the gain of one seed.

Scores from 0 to 1 are multiplied by 100; other scores are shown in their own unit. Margins are
given as a number of *points*; `point` says how large one is for each metric.
"""

from __future__ import annotations

from typing import Protocol

from transfergrid.records.metrics import SHARES, is_of_numbers
from transfergrid.records.record import Metric


class Scored(Protocol):
    """Anything with a score and a metric: records, and lean results."""

    @property
    def score(self) -> float | None: ...  # noqa: D102
    @property
    def metric(self) -> Metric: ...  # noqa: D102


def gain_this_seed(cell: Scored, baseline: Scored) -> float | None:
    """Return the gain of a cell over its baseline, in the unit of tables; higher is better.

    None if one of them has no valid score.
    """
    if cell.score is None or baseline.score is None:
        return None
    return oriented(cell.metric) * (cell.score - baseline.score)


def points(metric: Metric) -> float:
    """Return the factor from a score to the number that tables show: 100 for shares, else 1."""
    return 100.0 if metric.name in SHARES else 1.0


def point(metric: Metric, floor: float | None) -> float:
    """Return the size of one point, in the unit that tables show the metric in.

    For shares it is 1. For metrics of numbers it is a hundredth of the difference between a perfect
    score and the score of predicting the mean of the test labels: 0.01 for R², and for errors a
    hundredth of the error of that prediction. So a margin of one point means the same whatever the
    unit of the labels is.

    Args:
        metric: any metric; for one that is neither a share nor of numbers a point is 1.
        floor: score of predicting the mean of the test labels; if None or perfect, a point is 1.
    """
    if not is_of_numbers(metric.name):
        return 1.0
    perfect = 1.0 if metric.higher_is_better else 0.0
    return abs(perfect - floor) / 100 if floor is not None and floor != perfect else 1.0


def oriented(metric: Metric) -> float:
    """Return the factor `points`, negative if lower values of the metric are better."""
    return points(metric) * (1.0 if metric.higher_is_better else -1.0)


def in_points(score: float | None, metric: Metric) -> float | None:
    """Return a score as tables show it; None for None."""
    return None if score is None else points(metric) * score


def unit(metric: Metric) -> str:
    """Return the unit that the metric is shown in: "%" for shares, else empty."""
    return "%" if metric.name in SHARES else ""
