"""What is predicted of an input: its head, loss, decoding and scores, in one object.

No strategy and no driver asks which kind of task it has: whatever depends on the kind is here.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.records.errors import check_known
from transfergrid.records.metrics import CLASSES, METRICS, metrics_of

Score = Callable[[Tensor, Tensor], Tensor]
"""Of what is predicted (n, outputs) and labels (n, ...), one number; NaN where it is undefined."""


class Task(ABC):
    """What every labelled stream brings along: the target's, and a source domain's own.

    What is predicted comes in two forms: *outputs* of a head, on which losses are computed, and
    what `decode` makes of them, which scores are computed of and records keep.
    """

    kind: ClassVar[str]
    """As in `records.metrics`."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What is predicted, in the order of the outputs: classes, or columns of numbers."""

    @property
    def outputs(self) -> int:
        """Width of the head: how many numbers are predicted of an input."""
        return len(self.names)

    def in_order(self, labels: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        """Return labels (n, ...) of a task with the same names, brought to this one's order.

        Args:
            labels: of the other task.
            names: of the other task, in its order.
        """
        if tuple(names) == self.names:
            return labels
        return self._in_order(labels, names)

    @abstractmethod
    def _in_order(self, labels: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        """See `in_order`, of names in another order."""

    def fitted(self, labels: Tensor) -> Self:
        """Return the task with what its head and loss take from training labels (n, ...)."""
        return self

    def head(self, dim: int) -> nn.Module:
        """Return a new head on features (batch, dim); its weights are the caller's to seed."""
        return nn.Linear(dim, self.outputs)

    def fill(self, head: nn.Module, weight: Tensor, bias: Tensor) -> None:
        """Let a head of this task give `weight` x + `bias` of features x, in the labels' unit.

        Args:
            head: as `head` makes it.
            weight: (outputs, dim).
            bias: (outputs,).
        """
        head.load_state_dict({"weight": weight, "bias": bias}, strict=False)

    def smoothed(self, share: float) -> Self | None:
        """Return the task with labels whose mass is spread to this share; None where none has it.

        Its `loss` alone is another one.
        """
        return None

    @abstractmethod
    def loss(self, outputs: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of a batch, a scalar.

        Args:
            outputs: of the head, (batch, outputs).
            labels: (batch, ...), as the stream holds them.
            smoothing: share of the label's mass that is spread evenly; 0 where labels have none.
        """

    @abstractmethod
    def prior(self, labels: Tensor) -> Tensor:
        """Return the outputs, (outputs,), that fit labels best without any input."""

    @abstractmethod
    def decode(self, outputs: Tensor) -> Tensor:
        """Return what is predicted, (batch, outputs): probabilities, or values."""

    @abstractmethod
    def answers(self, labels: Tensor) -> Tensor:
        """Return what is decoded where nothing is wrong, (n, outputs): one-hot, or the numbers."""

    @abstractmethod
    def encode(self, predicted: Tensor) -> Tensor:
        """Return outputs of which `decode` makes this, (n, outputs), but for what rounds to 0."""

    @abstractmethod
    def criterion(self, predicted: Tensor, labels: Tensor) -> float:
        """Return the loss of what was decoded, in the unit of `loss`."""

    @property
    @abstractmethod
    def _scores(self) -> dict[str, Score]:
        """Each of the kind's metrics."""

    @abstractmethod
    def constant(self, labels: Tensor) -> Tensor:
        """Return what says the same of every example, and errs least on these (n, outputs)."""

    @abstractmethod
    def collapsed(self, predicted: Tensor, labels: Tensor) -> bool:
        """Is the same predicted for every example, or as good as the same?"""

    @abstractmethod
    def underfit(self, predicted: Tensor, labels: Tensor) -> bool:
        """Is a model not halfway, on its own training examples, from `constant` to perfect?"""

    # What is the same for all ------------------------------------------------------------------

    def score(self, metric: str, predicted: Tensor, labels: Tensor) -> float:
        """Return one metric in its own unit, shares from 0 to 1; NaN where it is not defined.

        `evidence.measured.scoring` computes the same of a resample.

        Raises:
            BadInputError: the task has no such metric.
        """
        check_known(f"metric of {self.kind}", metric, metrics_of(self.kind))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # classes without examples
            value = self._scores[metric](predicted, labels)
        return float(value.clamp(0, 1) if METRICS[metric].is_share else value)

    def scores(self, predicted: Tensor, labels: Tensor) -> dict[str, float | None]:
        """Return every metric; None where it is not defined."""
        found = {name: self.score(name, predicted, labels) for name in metrics_of(self.kind)}
        return {name: value if math.isfinite(value) else None for name, value in found.items()}

    def by_class(self, predicted: Tensor, labels: Tensor) -> dict[str, float | None]:
        """Return the accuracy of each class by its name, None without examples; empty: not kept."""
        return {}

    def floor(self, labels: Tensor) -> dict[str, float | None]:
        """Return what saying the same of every example scores at best, by metric."""
        return self.scores(self.constant(labels), labels)


def better(metric: str, one: float, other: float) -> bool:
    """Is `one` strictly the better value? NaN is never better."""
    if math.isnan(one):
        return False
    if math.isnan(other):
        return True
    return one > other if METRICS[metric].higher_is_better else one < other


@dataclass(frozen=True)
class Classification(Task):
    """One of several classes: cross-entropy over logits, probabilities by softmax.

    Attributes:
        classes: names in label order; labels are indices of them, (n,) int64.
        smoothing: share of a label's mass that `loss` spreads evenly, unless more is asked for.
    """

    classes: tuple[str, ...]
    smoothing: float = 0.0
    kind: ClassVar[str] = CLASSES

    @property
    @override
    def names(self) -> tuple[str, ...]:
        return self.classes

    @override
    def smoothed(self, share: float) -> Self:
        return replace(self, smoothing=share)

    @override
    def _in_order(self, labels: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        order = np.array([self.classes.index(name) for name in names])
        return np.asarray(order[labels])

    @override
    def loss(self, outputs: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
        share = max(smoothing, self.smoothing)
        return nn.functional.cross_entropy(outputs, labels, label_smoothing=share)

    @override
    def prior(self, labels: Tensor) -> Tensor:
        return self.encode(self.constant(labels)[0].float())

    @override
    def decode(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=1)

    @override
    def answers(self, labels: Tensor) -> Tensor:
        return nn.functional.one_hot(labels, self.outputs).float()

    @override
    def encode(self, predicted: Tensor) -> Tensor:
        return predicted.clamp_min(1e-12).log()

    @override
    def criterion(self, predicted: Tensor, labels: Tensor) -> float:
        return self.score("loss", predicted, labels)

    @property
    @override
    def _scores(self) -> dict[str, Score]:
        """Classes that do not occur are left out of means over classes."""
        from torchmetrics.functional import classification as tm  # seconds; nothing built pays them

        n = self.outputs
        return {
            "accuracy": lambda p, y: tm.multiclass_accuracy(p, y, n, average="micro"),
            "balanced_accuracy": _balanced_accuracy,
            "macro_f1": lambda p, y: tm.multiclass_f1_score(p, y, n, average="macro"),
            "auroc": _auroc,
            "ece": lambda p, y: tm.multiclass_calibration_error(p, y, n, n_bins=15),
            "loss": lambda p, y: nn.functional.nll_loss(p.clamp_min(1e-12).log(), y),
        }

    @override
    def constant(self, labels: Tensor) -> Tensor:
        counts = labels.bincount(minlength=self.outputs)
        return (counts / counts.sum()).expand(len(labels), -1)

    @override
    def collapsed(self, predicted: Tensor, labels: Tensor) -> bool:
        """Is one class predicted for every example?"""
        return bool(len(set(predicted.argmax(dim=1).tolist())) == 1)

    @override
    def underfit(self, predicted: Tensor, labels: Tensor) -> bool:
        accuracy = self.score("accuracy", predicted, labels)
        majority = labels.bincount().max().item() / len(labels)
        return accuracy < 0.5 * (1.0 + majority)


def _balanced_accuracy(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the mean recall of the classes that occur.

    torchmetrics counts a class that is predicted and does not occur as one of recall 0.
    """
    hits = labels[probabilities.argmax(dim=1) == labels]
    there = labels.bincount()
    recall = hits.bincount(minlength=len(there)) / there
    return recall[there > 0].double().mean()


def _auroc(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the area of each class against the rest, averaged over those that have one.

    A class that is absent, or has nothing beside it, has none: torchmetrics would count it as 0.
    NaN where no class has one.
    """
    from torchmetrics.functional import classification as tm

    classes = probabilities.shape[1]
    areas = tm.multiclass_auroc(probabilities, labels, classes, average="none")
    counts = labels.bincount(minlength=classes)
    return torch.as_tensor(areas)[(counts > 0) & (counts < len(labels))].mean()
