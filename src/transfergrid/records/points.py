"""Scores in points, as all tables show them: their unit, their direction, the gain of one seed.

Scores from 0 to 1 are shown as 100 points, others in their own unit. What a *point* is there, of
which a margin is so many, see `point`.
"""

from __future__ import annotations

from typing import Protocol

from transfergrid.records.metrics import SHARES, is_of_numbers
from transfergrid.records.record import Metric


class Scored(Protocol):
    """What has a score; records and lean results both do."""

    @property
    def score(self) -> float | None: ...  # noqa: D102
    @property
    def metric(self) -> Metric: ...  # noqa: D102


def gain_this_seed(cell: Scored, baseline: Scored) -> float | None:
    """Return the gain of one seed in points, more is better; None without two valid scores."""
    if cell.score is None or baseline.score is None:
        return None
    return oriented(cell.metric) * (cell.score - baseline.score)


def points(metric: Metric) -> float:
    """Return how many points one unit of the metric is, as it is shown."""
    return 100.0 if metric.name in SHARES else 1.0


def point(metric: Metric, floor: float | None) -> float:
    """Return how large a point is in the unit that a metric is shown in.

    Of a share that is 1. Of numbers it is a hundredth of the way from telling the same of every
    example to being right about each: 0.01 of R², and of errors a hundredth of what telling the
    mean of the test labels costs. So a margin of one point means as much whatever the labels' unit.

    Args:
        metric: of any kind; one that is neither has points of its own unit.
        floor: what telling the mean scores; None where that is not known.
    """
    if not is_of_numbers(metric.name):
        return 1.0
    perfect = 1.0 if metric.higher_is_better else 0.0
    return abs(perfect - floor) / 100 if floor is not None and floor != perfect else 1.0


def oriented(metric: Metric) -> float:
    """Return how many points one unit of the metric is, less than 0 if less of it is better."""
    return points(metric) * (1.0 if metric.higher_is_better else -1.0)


def in_points(score: float | None, metric: Metric) -> float | None:
    """Return a score in points, where there is one."""
    return None if score is None else points(metric) * score


def unit(metric: Metric) -> str:
    """Return the unit that the metric is shown in, empty if it has none."""
    return "%" if metric.name in SHARES else ""
