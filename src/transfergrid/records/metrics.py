"""What there is to score by: of which kind of task each metric is, and which way it goes.

The one list that the tasks, which compute them with torch, and the evidence, which computes them
again of resampled test sets without it, both go by.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CLASSES, NUMBERS, CLUSTERS = "classification", "regression", "clustering"
ENTRIES = "completion"
"""Kinds of task: one of several classes, one or several numbers, which examples are alike, or the
entries of a matrix.

Clusters are found without labels; classes serve their score alone. Entries are numbers too, and
scored as such.
"""


@dataclass(frozen=True)
class MetricKind:
    """What is known of a metric by its name alone."""

    task: str
    """Kind of task that it scores."""
    higher_is_better: bool = True
    is_share: bool = True
    """Whether it lies from 0 to 1, and is shown in per cent."""
    decides: bool = True
    """Whether a target may be judged by it."""


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
"""Metrics that lie from 0 to 1."""


OPEN_SET = ("os", "os_star", "unknown_recall")
"""Scores of an open pair: the mean recall of all classes, the unknown ones as one, of known classes
alone, and of what is unknown."""

ZERO_SHOT = ("seen", "unseen", "harmonic")
"""Scores where some classes come without examples: the mean accuracy of classes that the source has
examples of, of those that it has not, and the harmonic mean of both."""


def metrics_of(task: str) -> tuple[str, ...]:
    """Return the names of a kind of task's metrics."""
    return tuple(name for name, metric in METRICS.items() if metric.task == task)


def deciding(task: str) -> tuple[str, ...]:
    """Return those by which a target of this kind of task may be judged."""
    return tuple(name for name in metrics_of(task) if METRICS[name].decides)


def one_answer(metrics: Iterable[str]) -> str:
    """Say what a collapsed model gives for every example, where these metrics decide."""
    return " or ".join(dict.fromkeys(_answer(metric) for metric in metrics))


ANSWERS = {CLASSES: "one class", NUMBERS: "one number", CLUSTERS: "one cluster"}


def _answer(metric: str) -> str:
    return ANSWERS[kind_of(metric)]


def labels_are(metric: str) -> str:
    """Return what a number of labels counts where this metric decides: of a "class", or "total"."""
    return "total" if is_of_numbers(metric) else "class"


def is_of_numbers(metric: str) -> bool:
    """Return whether a metric scores numbers, and not classes."""
    return kind_of(metric) == NUMBERS


def kind_of(metric: str) -> str:
    """Return the kind of task that a metric scores; that of classes where nobody knows it."""
    return METRICS[metric].task if metric in METRICS else CLASSES
