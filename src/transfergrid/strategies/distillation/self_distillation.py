"""Fine-tuning again, on the labels and on the outputs of the first fine-tuning."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from annotated_types import Interval
from torch import Tensor
from typing_extensions import override

from transfergrid.data.batches import Labelled
from transfergrid.records.arguments import Positive, Share
from transfergrid.records.needs import Badge, Needs
from transfergrid.records.space import Range, Space, rates
from transfergrid.sources.backbone import Backbone
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.distillation.distillation import distillation_loss
from transfergrid.strategies.distillation.teacher import Taught

Generations = Annotated[int, Interval(ge=1, le=10)]


class SelfDistillation(Taught):
    """The source is fine-tuned, and fine-tuned anew with the first one as its teacher.

    Each generation starts again from the source's weights and the same new head, never from its
    teacher. The last one predicts, even if an earlier one was better.

    Formula:
        (1 - a) CE(net, labels) + a T^2 KL(net of the generation before || net).

    Try it:
        Where fine-tuning overfits to few labels and the model may not grow: the teacher's
        probabilities of all classes smooth the labels. It cannot add what the source does not know.

    Cost:
        Training: one fine-tuning for the first teacher and one for each generation, with a forward
        pass of its teacher in each step; memory for one more network for each generation.
        Prediction: as fine-tuning.

    Source:
        Furlanello et al. 2018, Born-Again Neural Networks, arXiv 1805.04770, section 3; starting
        again from the source, not from random weights, is ours.

    Args:
        teacher: the strategy that makes the first teacher.
        weight: a, the share of the teacher's term; at 0 it is full fine-tuning.
        temperature: T, softens teacher and student; the paper has none.
        generations: number of successive students, each the teacher of the next.
        shared: arguments of every strategy, for all students.
    """

    needs: ClassVar[Needs] = Needs(tasks=("classification",))
    space: ClassVar[Space] = {
        "lr_factor": rates(0.3, brief=0.3, small_images=0.3, images=3.2, text=0.095),
        "weight": Range(0.1, 0.9, log=False, default=0.5),
    }
    also_called = ("born_again", "born_again_networks", "ban")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        teacher: Strategy,
        weight: Share = 0.5,
        temperature: Positive = 1.0,
        generations: Generations = 1,
        **shared: Any,
    ) -> None:
        if generations > 1:
            teacher = SelfDistillation(teacher, weight, temperature, generations - 1, **shared)
        super().__init__(teacher, **shared)
        self.weight, self.temperature, self.generations = weight, temperature, generations

    @override
    def network_to_teach(self, sizes: Sizes) -> Backbone | None:
        return self.copied(self.backbone) if sizes.target else None

    @override
    def loss_by(self, seen: Labelled, theirs: Tensor) -> Tensor:
        said = self.predict(seen.inputs)
        hard = self.task.loss(said, seen.labels)
        return distillation_loss(said, theirs, hard, self.temperature, self.weight)
