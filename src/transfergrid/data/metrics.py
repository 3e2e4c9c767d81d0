"""Scores of class probabilities, where no task object is at hand yet."""

from __future__ import annotations

from torch import Tensor

from transfergrid.data.task import Classification, better
from transfergrid.records.errors import check_known
from transfergrid.records.metrics import METRICS, MetricKind

__all__ = ["better", "collapsed", "metric", "score", "scores", "underfit"]


def _task(probabilities: Tensor) -> Classification:
    return Classification(("",) * probabilities.shape[1])


def metric(name: str) -> MetricKind:
    """Return the metric of that name; raises `BadInputError` if there is none."""
    check_known("metric", name, METRICS)
    return METRICS[name]


def score(name: str, probabilities: Tensor, labels: Tensor) -> float:
    """See `Task.score`."""
    return _task(probabilities).score(name, probabilities, labels)


def scores(probabilities: Tensor, labels: Tensor) -> dict[str, float | None]:
    """See `Task.scores`."""
    return _task(probabilities).scores(probabilities, labels)


def collapsed(probabilities: Tensor) -> bool:
    """See `Task.collapsed`."""
    return _task(probabilities).collapsed(probabilities, probabilities)


def underfit(probabilities: Tensor, labels: Tensor) -> bool:
    """See `Task.underfit`."""
    return _task(probabilities).underfit(probabilities, labels)
