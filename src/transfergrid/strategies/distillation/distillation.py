"""A student that learns from labels and from a teacher, which is the adapted source."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Labelled
from transfergrid.records.arguments import Positive, Share
from transfergrid.records.needs import Badge, Needs, Transferred
from transfergrid.records.space import Range, Space, rates
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.distillation.teacher import Student


def distillation_loss(
    student: Tensor, teacher: Tensor, hard: Tensor, temperature: float, weight: float
) -> Tensor:
    """Return (1 - a) CE + a T^2 KL(teacher || student) (Hinton et al. 2015, section 2).

    Both terms are means over the batch. T^2 keeps the scale of the soft term's gradient nearly
    independent of the temperature.

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


class Distillation(Student):
    """The student learns what the adapted source says of all classes, not only the right one.

    The teacher is the source adapted to the target; the student starts from random weights. Both
    see the same augmented examples, each by its own preprocessing.

    Formula:
        (1 - a) CE(student, labels) + a T^2 KL(teacher || student), both softened by T; the sum
        over classes, the mean over the batch.

    Try it:
        When the deployed model must be smaller than the source, or of another architecture. It
        rarely beats the teacher itself.

    Cost:
        Training: fine-tuning of the source, then the student's steps, each with a forward pass of
        the teacher. Prediction: the student alone.

    Source:
        Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network,
        arXiv 1503.02531, section 2.

    Args:
        teacher: the strategy that adapts the source into the teacher.
        student: architecture of the student; null takes the source's.
        temperature: T, softens teacher and student.
        weight: a, the share of the teacher's term, from 0 to 1.
        shared: arguments of every strategy, for the student.

    Raises:
        BadInputError: temperature or weight is out of range, or the teacher is not allowed.
    """

    needs: ClassVar[Needs] = Needs(teacher=True, tasks=("classification",))
    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, brief=0.95, small_images=0.95, images=10.0, text=0.3),
        "temperature": Range(1.0, 10.0, default=4.0),
        "weight": Range(0.1, 0.99, log=False, default=0.9),
    }
    transfers: ClassVar[Transferred] = "features"
    also_called = ("kd", "knowledge_distillation")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        teacher: Strategy,
        student: Architecture | None = None,
        temperature: Positive = 4.0,
        weight: Share = 0.9,
        **shared: Any,
    ) -> None:
        super().__init__(teacher, student, **shared)
        self.temperature, self.weight = temperature, weight

    @override
    def loss_by(self, seen: Labelled, theirs: Tensor) -> Tensor:
        said = self.predict(seen.inputs)
        hard = self.task.loss(said, seen.labels)
        return distillation_loss(said, theirs, hard, self.temperature, self.weight)
