"""What is predicted of an input: its loss, head, decoding and label checks, in one object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from typing_extensions import override


class Task(ABC):
    """What every labelled stream brings along: the target's, and a source domain's own.

    No strategy and no driver asks which kind it is: whatever depends on the kind is here.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Width of the head: how many numbers are predicted of an input."""

    def head(self, dim: int) -> nn.Module:
        """Return a new head on features (batch, dim); its weights are the caller's to seed."""
        return nn.Linear(dim, self.outputs)

    @abstractmethod
    def loss(self, outputs: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of a batch, a scalar.

        Args:
            outputs: of the head, (batch, outputs).
            labels: (batch, ...), as the stream holds them.
            smoothing: share of the label's mass that is spread evenly; 0 where labels have none.
        """

    @abstractmethod
    def decode(self, outputs: Tensor) -> Tensor:
        """Return what is predicted, (batch, outputs): probabilities, or values."""


@dataclass(frozen=True)
class Classification(Task):
    """One of several classes: cross-entropy over logits, probabilities by softmax.

    Attributes:
        classes: names in label order.
    """

    classes: tuple[str, ...]
    kind: ClassVar[str] = "classification"

    @property
    @override
    def outputs(self) -> int:
        return len(self.classes)

    @override
    def loss(self, outputs: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
        return nn.functional.cross_entropy(outputs, labels, label_smoothing=smoothing)

    @override
    def decode(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=1)
