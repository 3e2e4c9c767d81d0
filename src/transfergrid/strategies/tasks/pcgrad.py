"""Source and target trained jointly, with conflicts removed from their gradients."""

import torch
from torch import Tensor

from transfergrid.strategies import rates
from transfergrid.strategies.tasks.multitask import Multitask


def project_conflicts(gradients: list[Tensor]) -> Tensor:
    """Return the sum of the tasks' gradients (n,), without components that conflict with others.

    Each gradient is projected against the original gradients of the others, in random order (Yu et
    al. 2020, algorithm 1).
    """
    total = torch.zeros_like(gradients[0])
    for i, original in enumerate(gradients):
        own = original.clone()
        for j in torch.randperm(len(gradients)).tolist():
            other, against = gradients[j], own @ gradients[j]
            if i != j and against < 0:
                own -= against / other.square().sum() * other
        total += own
    return total


class PCGrad(Multitask):
    """Learn the two tasks of `multitask`, their gradients freed of conflict.

    Only gradients of the backbone, which both tasks share, are projected; each head has the
    gradient of its own task.

    Formula:
        g_i <- g_i - (g_i g_j) / |g_j|^2 g_j, where g_i g_j < 0; then their sum
    Try it:
        where `multitask` hurts: the source's gradient then runs against the target's
    Cost:
        that of `multitask`, and one more copy of all gradients in memory
    Source:
        Yu et al. 2020, Gradient surgery for multi-task learning, NeurIPS, arXiv 2001.06782,
        algorithm 1

    Args:
        weight: weight of the source's loss.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    space = {**Multitask.space, "lr_factor": rates(3.0, small_images=3.0, images=0.3, text=0.1)}
    also_called = ("gradient_surgery", "projecting_conflicting_gradients")
    badges = ("formula_exact", "trajectory_exact")
    version = 2  # 1 looked for conflict in the heads too

    def combined(self, gradients: list[list[Tensor]]) -> list[Tensor]:
        return self.on_trunk(gradients, project_conflicts)
