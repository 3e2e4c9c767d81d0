"""Scores in points, as all tables show them: their unit, their direction, the gain of one seed."""

from __future__ import annotations

from typing import Protocol

from transfergrid.records.metrics import SHARES
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


def oriented(metric: Metric) -> float:
    """Return how many points one unit of the metric is, less than 0 if less of it is better."""
    return points(metric) * (1.0 if metric.higher_is_better else -1.0)


def unit(metric: Metric) -> str:
    """Return the unit that the metric is shown in, empty if it has none."""
    return "%" if metric.name in SHARES else ""
