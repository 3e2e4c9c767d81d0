"""A student that learns from labels and from a teacher which knows the source."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Batch, CellData
from transfergrid.data.inputs import Inputs
from transfergrid.records.errors import BadInputError
from transfergrid.records.needs import Baselines, Needs
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Strategy


def distillation_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, weight: float
) -> Tensor:
    """(1 - a) CE + a T^2 KL(teacher || student), batch means (Hinton et al. 2015, section 2).

    T^2 keeps the size of the soft gradient nearly independent of the temperature.

    Args:
        student: logits, (batch, classes).
        teacher: logits, (batch, classes).
        labels: (batch,) int64.
        temperature: T, softens both distributions.
        weight: a, the share of the soft term.
    """
    soft = nn.functional.kl_div(
        nn.functional.log_softmax(student / temperature, dim=1),
        nn.functional.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    hard = nn.functional.cross_entropy(student, labels)
    return (1.0 - weight) * hard + weight * temperature**2 * soft


class Distillation(Strategy):
    """The teacher is the source adapted to the target; the student starts from random weights.

    Teacher and student see the same augmented batch. The teacher's steps are counted apart.

    Args:
        teacher: the strategy that adapts the source into the teacher.
        lr_factor: multiplies the shared learning rate of the student.
        schedule: None keeps the shared schedule.
        student: architecture of the student; None takes the source's.
        temperature: softens teacher and student.
        weight: share of the teacher's term, from 0 to 1.

    Raises:
        BadInputError: temperature, weight or teacher make no sense.
    """

    needs: ClassVar[Needs] = Needs(teacher=True)
    baselines: ClassVar[Baselines] = Baselines(exploratory=["full_finetuning"])

    def __init__(
        self,
        teacher: Strategy,
        lr_factor: float = 3.0,
        schedule: str | None = None,
        student: Architecture | None = None,
        temperature: float = 4.0,
        weight: float = 0.9,
    ) -> None:
        super().__init__(lr_factor, schedule)
        if not temperature > 0:
            raise BadInputError(f"strategy.temperature must be above 0: {temperature}")
        if not 0 <= weight <= 1:
            raise BadInputError(f"strategy.weight must be from 0 to 1: {weight}")
        if teacher.needs != Needs():
            raise BadInputError(
                "strategy.teacher must adapt the source's weights by target labels alone, as "
                f"full_finetuning does: {type(teacher).__name__} needs something else"
            )
        self.student, self.temperature, self.weight = student, temperature, weight
        self._teacher = (teacher,)  # in a tuple: not a part of the student's own state

    @property
    def teacher(self) -> Strategy:
        """The strategy that makes the teacher, then the teacher itself."""
        return self._teacher[0]

    @override
    def prepare(self, data: CellData) -> None:
        self.teacher.requires_grad_(False).eval()

    @override
    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.teacher.to(self.device)

    @override
    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.target is not None
        inputs, labels = batch.target.inputs, batch.target.labels
        soft = self.teach(inputs)
        return distillation_loss(self.predict(inputs), soft, labels, self.temperature, self.weight)

    def teach(self, inputs: Inputs) -> Tensor:
        """Return the teacher's logits, (batch, classes)."""
        with torch.no_grad():
            return self.teacher.predict(inputs)
