"""What is predicted for an input: head, loss, decoding and scores, in one object.

Strategies and drivers never ask which kind of task they have: all that depends on it is here.
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
"""Maps decoded predictions (n, outputs) and labels (n, ...) to a score; NaN where undefined."""


class Task(ABC):
    """The task of a labelled stream: the target has one, and so has each source domain.

    Predictions have two forms: the *outputs* of a head, on which losses are computed, and the
    decoded predictions that `decode` makes of them, on which scores are computed and which
    records keep.
    """

    kind: ClassVar[str]
    """The kind of task, as in `records.metrics`."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What is predicted, in the order of the outputs: classes, or columns of numbers."""

    @property
    def outputs(self) -> int:
        """Width of the head: how many numbers are predicted for an input."""
        return len(self.names)

    def in_order(self, labels: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        """Return labels (n, ...) of another task, reordered to this task's order of names.

        Args:
            labels: of the other task.
            names: the other task's names, the same as this task's, in its own order.
        """
        if tuple(names) == self.names:
            return labels
        return self._in_order(labels, names)

    @abstractmethod
    def _in_order(self, labels: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        """See `in_order`; called only if the names are in another order."""

    def fitted(self, labels: Tensor) -> Self:
        """Return the task with its head and loss fitted to training labels (n, ...)."""
        return self

    def head(self, dim: int) -> nn.Module:
        """Return a new head on features (batch, dim); the caller seeds its random weights."""
        return nn.Linear(dim, self.outputs)

    def fill(self, head: nn.Module, weight: Tensor, bias: Tensor) -> None:
        """Set a head's weights so that it gives `weight` x + `bias` for features x.

        The result is in the labels' unit.

        Args:
            head: as `head` makes it.
            weight: (outputs, dim).
            bias: (outputs,).
        """
        head.load_state_dict({"weight": weight, "bias": bias}, strict=False)

    def smoothed(self, share: float) -> Self | None:
        """Return the task with label smoothing of this share; None where labels are numbers.

        Only its `loss` differs.
        """
        return None

    @abstractmethod
    def loss(self, outputs: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of a batch, a scalar.

        Args:
            outputs: of the head, (batch, outputs).
            labels: (batch, ...), as the stream holds them.
            smoothing: share of a label's mass that is spread evenly over the classes; 0 where
                labels are numbers.
        """

    @abstractmethod
    def prior(self, labels: Tensor) -> Tensor:
        """Return the constant outputs, (outputs,), that fit these labels best."""

    @abstractmethod
    def decode(self, outputs: Tensor) -> Tensor:
        """Return decoded predictions (batch, outputs): probabilities, or values."""

    @abstractmethod
    def answers(self, labels: Tensor) -> Tensor:
        """Return the perfect decoded predictions, (n, outputs): one-hot, or the numbers."""

    @abstractmethod
    def encode(self, predicted: Tensor) -> Tensor:
        """Return outputs (n, outputs) that `decode` maps to this, up to values that round to 0."""

    @abstractmethod
    def criterion(self, predicted: Tensor, labels: Tensor) -> float:
        """Return the loss of decoded predictions, in the unit of `loss`."""

    @property
    @abstractmethod
    def _scores(self) -> dict[str, Score]:
        """The function of each metric of this kind of task."""

    @abstractmethod
    def constant(self, labels: Tensor) -> Tensor:
        """Return the best constant prediction for these labels, repeated: (n, outputs)."""

    @abstractmethod
    def collapsed(self, predicted: Tensor, labels: Tensor) -> bool:
        """Return whether (nearly) the same is predicted for every example."""

    @abstractmethod
    def underfit(self, predicted: Tensor, labels: Tensor) -> bool:
        """Return whether a model is less than halfway from `constant` to perfect.

        It is judged on its own training examples.
        """

    # What is the same for all ------------------------------------------------------------------

    def score(self, metric: str, predicted: Tensor, labels: Tensor) -> float:
        """Return one metric in its own unit, shares from 0 to 1; NaN where it is undefined.

        `evidence.measured.scoring` computes the same for a resample.

        Raises:
            BadInputError: the task has no such metric.
        """
        check_known(f"metric of {self.kind}", metric, metrics_of(self.kind))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # classes without examples
            value = self._scores[metric](predicted, labels)
        return float(value.clamp(0, 1) if METRICS[metric].is_share else value)

    def scores(self, predicted: Tensor, labels: Tensor) -> dict[str, float | None]:
        """Return every metric by name; None where it is undefined."""
        found = {name: self.score(name, predicted, labels) for name in metrics_of(self.kind)}
        return {name: value if math.isfinite(value) else None for name, value in found.items()}

    def by_class(self, predicted: Tensor, labels: Tensor) -> dict[str, float | None]:
        """Return the accuracy of each class by name; None for a class without examples.

        Empty where accuracy by class is not recorded.
        """
        return {}

    def floor(self, labels: Tensor) -> dict[str, float | None]:
        """Return the scores, by metric, of the best constant prediction."""
        return self.scores(self.constant(labels), labels)


def better(metric: str, one: float, other: float) -> bool:
    """Return whether `one` is strictly better than `other`; NaN is never better."""
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
        smoothing: share of a label's mass that `loss` spreads evenly; a larger share in the call
            of `loss` replaces it.
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
        """Means over classes leave out classes that do not occur."""
        from torchmetrics.functional import classification as tm  # slow import, so only here

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
        """Return whether one class is predicted for every example."""
        return bool(len(set(predicted.argmax(dim=1).tolist())) == 1)

    @override
    def underfit(self, predicted: Tensor, labels: Tensor) -> bool:
        accuracy = self.score("accuracy", predicted, labels)
        majority = labels.bincount().max().item() / len(labels)
        return accuracy < 0.5 * (1.0 + majority)


def _balanced_accuracy(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the mean recall of the classes that occur.

    torchmetrics would count a class that is predicted but does not occur with recall 0.
    """
    hits = labels[probabilities.argmax(dim=1) == labels]
    there = labels.bincount()
    recall = hits.bincount(minlength=len(there)) / there
    return recall[there > 0].double().mean()


def _auroc(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the one-versus-rest AUROC, averaged over the classes for which it is defined.

    It is undefined for a class that no example or every example has; torchmetrics would count 0.
    NaN where it is undefined for all classes.
    """
    from torchmetrics.functional import classification as tm

    classes = probabilities.shape[1]
    areas = tm.multiclass_auroc(probabilities, labels, classes, average="none")
    counts = labels.bincount(minlength=classes)
    return torch.as_tensor(areas)[(counts > 0) & (counts < len(labels))].mean()
