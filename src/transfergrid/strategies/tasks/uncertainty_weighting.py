"""Source and target trained jointly, each loss weighted by a learned uncertainty."""

from typing import Any

import torch
from torch import Tensor, nn

from transfergrid.data.regression import Regression
from transfergrid.data.task import Task
from transfergrid.strategies import Batch, Group, NotNegative, Range, Sizes, rates
from transfergrid.strategies.tasks.on_one_trunk import BothTasks


def weighed(loss: Tensor, s: Tensor, task: Task) -> Tensor:
    """Return a task's loss weighted by its uncertainty, plus the penalty on that uncertainty.

    Args:
        loss: the task's loss, a scalar.
        s: log of the task's variance, a scalar.
        task: the task; for numbers the likelihood has a factor 1/2 before the squared error.
    """
    factor = 0.5 if isinstance(task, Regression) else 1.0
    return factor * torch.exp(-s) * loss + 0.5 * s


class UncertaintyWeighting(BothTasks):
    """Learn the two tasks of `multitask`; how much each counts is learned with them.

    Each task has one more parameter, the log of its variance: initially 0, without weight decay and
    with a rate of its own. The total loss may fall below 0. A task that is fitted perfectly has a
    loss near 0 and a weight that grows like 1 over its loss. The record tells the final weights.

    Formula:
        sum over tasks of exp(-s) L + s/2 for classes, and exp(-s) L / 2 + s/2 for numbers
    Try it:
        instead of a search for the weight of `multitask`, where both tasks are noisy and neither is
        fitted perfectly
    Cost:
        that of `multitask`; two more parameters
    Source:
        Kendall, Gal & Cipolla 2018, Multi-task learning using uncertainty to weigh losses, CVPR,
        arXiv 1705.07115, equations 7 and 10

    Args:
        weights_rate: rate of the log variances, as a multiple of the training's rate; 0 leaves them
            at 0, and with two classification tasks that is `multitask` with a weight of 1.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    space = {
        "lr_factor": rates(9.5, small_images=3.0, images=0.3, text=0.1),
        "weights_rate": Range(0.1, 10.0, default=1.0),
    }
    also_called = ("uncertainty", "homoscedastic_uncertainty", "kendall")
    badges = ("formula_exact", "trajectory_exact")

    def __init__(self, weights_rate: NotNegative = 1.0, **shared: Any) -> None:
        super().__init__(**shared)
        self.weights_rate = weights_rate

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        self.scaffold.register_parameter("s", nn.Parameter(torch.zeros(2)))

    def beside(self) -> list[Group]:
        s, factor = self.scaffold.get_parameter("s"), self.weights_rate / self.lr_factor
        return [Group("uncertainties", [s], factor, decay=False)]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        return weighed(
            super().loss(batch, progress), self.scaffold.get_parameter("s")[0], self.task
        )

    def of_source(self, batch: Batch, progress: float) -> Tensor:
        s = self.scaffold.get_parameter("s")[1]
        return weighed(super().of_source(batch, progress), s, self.source_tasks[0])

    def tells(self) -> dict[str, Any]:
        """Return the final weights exp(-s) of both losses."""
        target, source = torch.exp(-self.scaffold.get_parameter("s")).tolist()
        return {"weight_of_target": target, "weight_of_source": source}
