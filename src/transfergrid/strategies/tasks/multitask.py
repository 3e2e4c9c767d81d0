"""Source and target trained jointly, each with a head of its own."""

from typing import Any, ClassVar

from torch import Tensor

from transfergrid.records.needs import Badge
from transfergrid.strategies import Batch, NotNegative, Range, rates
from transfergrid.strategies.tasks.on_one_trunk import BothTasks


class Multitask(BothTasks):
    """Learn source and target side by side, each with a head of its own.

    With a weight of 0 the source's examples only pass through the network: its head and the
    backbone learn nothing from them, but BatchNorm records their statistics. The backbone still
    starts from the source's initial weights.

    Formula:
        CE(target) + w CE(source), one backbone
    Try it:
        where the source's labelled examples are available and its classes differ from the target's;
        with few target labels the source may dominate the backbone: lower the weight
    Cost:
        twice the forward and backward passes of full fine-tuning; nothing more at prediction
    Source:
        Caruana 1997, Multitask learning, Machine Learning 28

    Args:
        weight: w, the weight of the source's loss.
        shared: `lr_factor` and `schedule`.
    """

    space = {
        "lr_factor": rates(9.5, small_images=3.0, images=0.3, text=0.1),
        "weight": Range(0.1, 10.0, default=1.0),
    }
    also_called: ClassVar[tuple[str, ...]] = ("mtl", "multitask_learning")
    badges: ClassVar[tuple[Badge, ...]] = ("trajectory_exact",)

    def __init__(self, weight: NotNegative = 1.0, **shared: Any) -> None:
        super().__init__(**shared)
        self.weight = weight

    def of_source(self, batch: Batch, progress: float) -> Tensor:
        return self.weight * super().of_source(batch, progress)
