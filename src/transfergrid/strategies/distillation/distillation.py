"""A student that learns from labels and from a teacher which knows the source."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Batch, Labelled
from transfergrid.data.views import take
from transfergrid.records.arguments import Positive, Share
from transfergrid.records.errors import BadInputError
from transfergrid.records.needs import Baselines, Needs
from transfergrid.records.space import Range, Space, rates
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Sizes, Strategy, teaching
from transfergrid.strategies.distillation.said import Said
from transfergrid.strategies.phases import Objective, Phase

MOST_BYTES = 256 * 2**20
"""What a teacher says is remembered up to this size."""


def distillation_loss(
    student: Tensor, teacher: Tensor, hard: Tensor, temperature: float, weight: float
) -> Tensor:
    """(1 - a) CE + a T^2 KL(teacher || student), batch means (Hinton et al. 2015, section 2).

    T^2 keeps the size of the soft gradient nearly independent of the temperature.

    Args:
        student: logits, (batch, classes).
        teacher: logits, (batch, classes).
        hard: the student's cross-entropy with the labels, a scalar.
        temperature: T, softens both distributions.
        weight: a, the share of the soft term.
    """
    soft = nn.functional.kl_div(
        nn.functional.log_softmax(student / temperature, dim=1),
        nn.functional.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return (1.0 - weight) * hard + weight * temperature**2 * soft


class Distillation(Strategy):
    """The teacher is the source adapted to the target; the student starts from random weights.

    Teacher and student see the same augmented batch. The teacher's steps are counted apart. Where
    inputs are met again, not augmented or of k views, the teacher is asked of each once.

    Args:
        teacher: the strategy that adapts the source into the teacher.
        student: architecture of the student; None takes the source's.
        temperature: softens teacher and student.
        weight: share of the teacher's term, from 0 to 1.
        shared: `lr_factor` and `schedule` of the student.

    Raises:
        BadInputError: temperature, weight or teacher make no sense.
    """

    needs: ClassVar[Needs] = Needs(teacher=True, tasks=("classification",))
    baselines: ClassVar[Baselines] = Baselines(exploratory=["full_finetuning"])
    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, small_images=3.0, images=30.0, text=0.1),
        "temperature": Range(1.0, 10.0, default=4.0),
        "weight": Range(0.1, 0.99, log=False, default=0.9),
    }

    def __init__(
        self,
        teacher: Strategy,
        student: Architecture | None = None,
        temperature: Positive = 4.0,
        weight: Share = 0.9,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if teacher.needs != Needs():
            raise BadInputError(
                "strategy.teacher must adapt the source's weights by target labels alone, as "
                f"full_finetuning does: {type(teacher).__name__} needs something else"
            )
        self.student, self.temperature, self.weight = student, temperature, weight
        self._teacher = (teacher,)  # in a tuple: it joins the scaffold once it has a backbone

    @property
    def teacher(self) -> Strategy:
        """The strategy that makes the teacher, then the teacher itself."""
        return self._teacher[0]

    @override
    def build(self, sizes: Sizes) -> None:
        if self.taught is not None:  # not where a trained student is made again to predict
            self.teacher.attach(
                self.taught, self.task, self.training_plan, self.block_seed, sizes=sizes
            )
            self.scaffold["teacher"] = self.teacher
            self.scaffold["said"] = Said(self._places(sizes), self.task.outputs)

    def _places(self, sizes: Sizes) -> int:
        """Return how many examples, seen in how many ways, the teacher is asked of at most.

        0 where each time is a fresh view, or where there are too many to remember.
        """
        plan = self.training_plan
        views = 1 if plan.augmentation == "none" else plan.views or 0
        places = sizes.target * views
        return places if places * self.task.outputs * 4 <= MOST_BYTES else 0

    @override
    def phases(self) -> list[Phase]:
        distil = Phase("distil", [Objective(self.loss, self.everything())], cached=False)
        return [*teaching(self.teacher), distil] if self.taught is not None else [distil]

    @override
    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.labelled()
        with torch.no_grad():
            soft = self._soft(seen)
        said = self.predict(seen.inputs)
        hard = self.task.loss(said, seen.labels)
        return distillation_loss(said, soft, hard, self.temperature, self.weight)

    def _soft(self, seen: Labelled) -> Tensor:
        """Return what the teacher says of a batch, (batch, classes)."""
        if seen.rows is None or not len(self.said.known):
            return self.teacher.predict(seen.inputs)
        views = self.training_plan.views or 1
        places = seen.rows if seen.views is None else seen.rows * views + seen.views
        return self.said.of(places, lambda new: self.teacher.predict(take(seen.inputs, new)))

    @property
    def said(self) -> Said:
        """What the teacher has said so far."""
        own = self.scaffold["said"]
        assert isinstance(own, Said)
        return own
