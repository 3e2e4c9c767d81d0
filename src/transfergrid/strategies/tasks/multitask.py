"""Source and target side by side, each with a head of its own."""

from typing import Any, ClassVar

from torch import Tensor

from transfergrid.records.needs import Badge
from transfergrid.strategies import (
    Baselines,
    Batch,
    Group,
    Needs,
    NotNegative,
    Objective,
    Phase,
    Range,
    Sizes,
    Strategy,
    rates,
)


class Multitask(Strategy):
    """Learn source and target side by side, each with a head of its own.

    Formula:
        CE(target) + w CE(source), one backbone
    Try it:
        where the source's labelled examples are at hand and its classes are others; with few target
        labels the source may win the backbone over: lower the weight
    Cost:
        twice the forward and backward passes of full fine-tuning; nothing at prediction
    Source:
        Caruana 1997, Multitask learning, Machine Learning 28

    Args:
        weight: of the source's loss.
        shared: `lr_factor` and `schedule`.
    """

    needs = Needs(source="start", domains=1)
    baselines = Baselines(exploratory=["full_finetuning", "source_and_target"])
    space = {
        "lr_factor": rates(9.5, small_images=3.0, images=0.3, text=0.1),
        "weight": Range(0.1, 10.0, default=1.0),
    }
    transfers = "instances"
    also_called = ("mtl", "multitask_learning")
    badges: ClassVar[tuple[Badge, ...]] = ("trajectory_exact",)

    def __init__(self, weight: NotNegative = 1.0, **shared: Any) -> None:
        super().__init__(**shared)
        self.weight = weight

    def build(self, sizes: Sizes) -> None:
        if self.source_tasks:  # not where it is made again to predict
            self.scaffold["source"] = self.source_tasks[0].head(self.backbone.dim)

    def phases(self) -> list[Phase]:
        learns = [*self.everything(), Group("source head", tuple(self.scaffold.parameters()))]
        tasks = [Objective(self.loss, learns), Objective(self.of_source, learns)]
        return [Phase("train", tasks, reads=["source", "target"], combine=self.combined)]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.target is not None
        return self.task.loss(self.predict(batch.target.inputs), batch.target.labels)

    def of_source(self, batch: Batch, progress: float) -> Tensor:
        """Return the source's weighted loss, by its own head and task."""
        seen = batch.source[0]
        said = self.scaffold["source"](self.features(seen.inputs))
        return self.weight * self.source_tasks[0].loss(said, seen.labels)

    def combined(self, gradients: list[list[Tensor]]) -> list[Tensor]:
        """Return one gradient a parameter of those of both tasks: their sum."""
        return [sum(own[1:], own[0]) for own in zip(*gradients, strict=True)]
