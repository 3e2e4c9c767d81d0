"""All metrics: the kind of task that each one scores, and whether higher is better.

Both the tasks (which compute metrics with torch) and the evidence (which computes them on resampled
test sets without torch) use this list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CLASSES, NUMBERS, CLUSTERS = "classification", "regression", "clustering"
ENTRIES = "completion"
"""Kinds of task: predict one of several classes, predict one or several numbers, find clusters of
similar examples, or predict the entries of a matrix.

Clusters are found without labels; classes are used only to score them. Entries of a matrix are
numbers and are scored as numbers.
"""


@dataclass(frozen=True)
class MetricKind:
    """The properties of a metric."""

    task: str
    """The kind of task that it scores."""
    higher_is_better: bool = True
    is_share: bool = True
    """Whether it lies between 0 and 1 and is shown in per cent."""
    decides: bool = True
    """Whether it may be the deciding metric of a target."""


METRICS = {
    "accuracy": MetricKind(CLASSES),
    "balanced_accuracy": MetricKind(CLASSES),
    "macro_f1": MetricKind(CLASSES),
    "auroc": MetricKind(CLASSES),
    "ece": MetricKind(CLASSES, higher_is_better=False),
    "loss": MetricKind(CLASSES, higher_is_better=False, is_share=False, decides=False),
    "nmi": MetricKind(CLUSTERS),
    "ari": MetricKind(CLUSTERS),
    "mse": MetricKind(NUMBERS, higher_is_better=False, is_share=False),
    "mae": MetricKind(NUMBERS, higher_is_better=False, is_share=False),
    "rmse": MetricKind(NUMBERS, higher_is_better=False, is_share=False),
    "r2": MetricKind(NUMBERS, is_share=False),
}

SHARES = frozenset(name for name, metric in METRICS.items() if metric.is_share)
"""Metrics that lie between 0 and 1."""


OPEN_SET = ("os", "os_star", "unknown_recall")
"""Scores of an open pair: the mean recall over all classes (unknown ones count as one class), the
mean recall over known classes, and the recall of the unknown class."""

ZERO_SHOT = ("seen", "unseen", "harmonic")
"""Scores where some classes have no examples: the mean accuracy over classes with examples in the
source, over classes without, and the harmonic mean of both."""


def metrics_of(task: str) -> tuple[str, ...]:
    """Return the names of the metrics of a kind of task."""
    return tuple(name for name, metric in METRICS.items() if metric.task == task)


def deciding(task: str) -> tuple[str, ...]:
    """Return the names of the metrics that may decide on a target of this kind of task."""
    return tuple(name for name in metrics_of(task) if METRICS[name].decides)


def one_answer(metrics: Iterable[str]) -> str:
    """Return in words what a collapsed model predicts for every example, given the metrics."""
    return " or ".join(dict.fromkeys(_answer(metric) for metric in metrics))


ANSWERS = {CLASSES: "one class", NUMBERS: "one number", CLUSTERS: "one cluster"}


def _answer(metric: str) -> str:
    return ANSWERS[kind_of(metric)]


def labels_are(metric: str) -> str:
    """Return how labels are counted if this metric decides: per "class", or in "total"."""
    return "total" if is_of_numbers(metric) else "class"


def is_of_numbers(metric: str) -> bool:
    """Return whether a metric scores predicted numbers, not classes or clusters."""
    return kind_of(metric) == NUMBERS


def kind_of(metric: str) -> str:
    """Return the kind of task that a metric scores; classification for an unknown metric."""
    return METRICS[metric].task if metric in METRICS else CLASSES
