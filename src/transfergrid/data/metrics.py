"""Scores of predictions, by torchmetrics; a target's config says which one decides."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional import classification as tm

from transfergrid.records.errors import check_known


@dataclass(frozen=True)
class Metric:
    """A score of probabilities (n, classes) against labels (n,)."""

    compute: Callable[[Tensor, Tensor, int], Tensor]
    higher_is_better: bool = True
    is_share: bool = True
    """From 0 to 1, which torchmetrics may miss by a rounding error."""


def _auroc(probabilities: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return the area of each class against the rest, averaged over those that have one.

    A class that is absent, or has nothing beside it, has none: torchmetrics would count it as 0.
    NaN where no class has one.
    """
    areas = tm.multiclass_auroc(probabilities, labels, classes, average="none")
    counts = labels.bincount(minlength=classes)
    return areas[(counts > 0) & (counts < len(labels))].mean()


METRICS = {
    "accuracy": Metric(lambda p, y, c: tm.multiclass_accuracy(p, y, c, average="micro")),
    "macro_f1": Metric(lambda p, y, c: tm.multiclass_f1_score(p, y, c, average="macro")),
    "auroc": Metric(_auroc),
    "ece": Metric(lambda p, y, c: tm.multiclass_calibration_error(p, y, c, n_bins=15), False),
    "loss": Metric(
        lambda p, y, c: torch.nn.functional.nll_loss(p.clamp_min(1e-12).log(), y), False, False
    ),
}


def metric(name: str) -> Metric:
    """Return the metric of that name.

    Raises:
        BadInputError: there is none.
    """
    check_known("metric", name, METRICS)
    return METRICS[name]


def score(name: str, probabilities: Tensor, labels: Tensor) -> float:
    """Return one metric, in its own unit (shares from 0 to 1, the loss in nats).

    Classes that do not occur are left out of means over classes; NaN where nothing is left.
    `evidence.scoring` computes the same of a resample.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes without examples
        value = metric(name).compute(probabilities, labels, probabilities.shape[1])
        return float(value.clamp(0, 1) if metric(name).is_share else value)


def scores(probabilities: Tensor, labels: Tensor) -> dict[str, float | None]:
    """Return every metric; None where it is not defined."""
    found = {name: score(name, probabilities, labels) for name in METRICS}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def better(name: str, one: float, other: float) -> bool:
    """Is `one` strictly the better value? NaN is never better."""
    if math.isnan(one):
        return False
    if math.isnan(other):
        return True
    return one > other if metric(name).higher_is_better else one < other


def collapsed(probabilities: Tensor) -> bool:
    """Is one class predicted for every example?"""
    return bool(len(set(probabilities.argmax(dim=1).tolist())) == 1)


def underfit(probabilities: Tensor, labels: Tensor) -> bool:
    """Is the accuracy on its own training examples less than halfway from majority to perfect?"""
    accuracy = score("accuracy", probabilities, labels)
    majority = labels.bincount().max().item() / len(labels)
    return accuracy < 0.5 * (1.0 + majority)
