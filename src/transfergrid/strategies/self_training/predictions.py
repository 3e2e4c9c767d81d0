"""Base classes of strategies that add a loss on their own predictions of unlabelled inputs."""

from abc import abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from transfergrid.records.needs import Transferred
from transfergrid.strategies import (
    Batch,
    Inputs,
    NotNegative,
    Objective,
    Phase,
    Range,
    Schedule,
    Strategy,
    StreamName,
)
from transfergrid.strategies.adaptation.alignment import ADAPTED, ADAPTS, READS, SAME

VIEWS: tuple[StreamName, ...] = ("source", "target", "views")
"""The streams to read where unlabelled inputs come in two augmented views."""


class UnlabelledTerm(Strategy):
    """The loss of what is labelled, plus `weight` times a loss of unlabelled inputs.

    Both losses are means. With target labels the labelled loss is one mean over a source batch and
    a target batch. Each has `batch_size` examples at most; if there are fewer target labels, all of
    them are in every step, and their share of the mean is their share of the examples, not a half.

    BatchNorm normalises unlabelled inputs by their own batch and does not record them, and at
    `weight` 0 they are not passed at all: that is exactly the baseline.

    Args:
        weight: weight of the loss on unlabelled inputs.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs, baselines = ADAPTS.of("classification"), ADAPTED
    space = {"lr_factor": SAME, "weight": Range(0.1, 10.0, default=1.0)}
    setting = "transductive"
    transfers: ClassVar[Transferred] = "instances"
    reads: tuple[StreamName, ...] = READS

    def __init__(
        self, weight: NotNegative = 1.0, schedule: Schedule | None = "inverse_decay", **shared: Any
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.weight = weight

    def phases(self) -> list[Phase]:
        return [Phase("adapt", [Objective(self.loss, self.everything())], reads=self.reads)]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.labelled()
        fit = self.task.loss(self.predict(seen.inputs), seen.labels)
        return fit + self.weight * self.unlabelled_loss(batch, progress) if self.weight else fit

    @abstractmethod
    def unlabelled_loss(self, batch: Batch, progress: float) -> Tensor:
        """Return the loss on the unlabelled inputs, a scalar."""

    def logits(self, inputs: Inputs) -> Tensor:
        """Return logits of unlabelled inputs, (batch, classes), not recorded by BatchNorm."""
        found: Tensor = self.head(self.features(inputs, recorded=False))
        return found


class PredictionTerm(UnlabelledTerm):
    """One whose loss of unlabelled inputs is one of their logits.

    A subclass overrides `logits_loss`, which gets the logits and nothing else.
    """

    def unlabelled_loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        return self.logits_loss(self.logits(batch.unlabelled))

    @abstractmethod
    def logits_loss(self, logits: Tensor) -> Tensor:
        """Return the loss to minimise, a scalar, given logits (batch, classes)."""
