"""Source and target trained jointly, along the direction that helps the worse-off task most."""

from math import sqrt
from typing import Any

from torch import Tensor

from transfergrid.strategies import NotNegative, Range, rates
from transfergrid.strategies.tasks.multitask import Multitask


def share_of_first(first: Tensor, second: Tensor, c: float) -> float:
    """Return the w that minimises g_w g_0 + c |g_0| |g_w|, with g_w = w first + (1 - w) second.

    The problem is convex in w and solved in closed form; g_0 is the mean of both gradients.

    Args:
        first: gradient of one task, (n,).
        second: gradient of the other task, (n,).
        c: radius of the ball around g_0, relative to |g_0|.
    """
    apart, mean = (first - second).double(), ((first + second) / 2).double()
    b, p = float(apart @ mean), float(apart @ apart)
    q, r = float(apart @ second.double()), float(second.double() @ second.double())
    k = c * float(mean.norm())
    if p == 0:
        return 0.5
    if abs(b) >= k * sqrt(p):  # monotonic in w
        return 0.0 if b > 0 else 1.0
    slope = -b / (k * sqrt(p))
    height = sqrt(max(r / p - (q / p) ** 2, 0.0))
    return min(max(slope * height / sqrt(1 - slope**2) - q / p, 0.0), 1.0)


def conflict_averse(first: Tensor, second: Tensor, c: float) -> Tensor:
    """Return the step d that maximises the smaller gain, min over tasks of g d.

    It is searched within c |g_0| of g_0. The arguments are those of `share_of_first`.
    """
    w, mean = share_of_first(first, second, c), (first + second) / 2
    worst = w * first + (1 - w) * second
    length, radius = worst.norm(), c * mean.norm()
    if not c or not length > 0:  # |g_w| = 0: no step helps both
        return mean
    step: Tensor = mean + radius / length * worst
    return step


class CAGrad(Multitask):
    """Learn the two tasks of `multitask`, along the way on which the worse-off of both gains most.

    The step is searched in a ball around the mean of both gradients of the backbone. It is not
    divided by 1 + c^2, as some implementations do, but multiplied by 2, as in the authors' code, so
    that c = 0 is `multitask`. Each head has the gradient of its own task. For two tasks the inner
    problem has a closed form, and no solver is needed.

    Formula:
        max over d of min_i g_i d, |d - g_0| <= c |g_0|; d = g_0 + c |g_0| g_w / |g_w|, where w
        minimises g_w g_0 + c |g_0| |g_w|
    Try it:
        where the source dominates the backbone in `multitask`; with c near 1 the worse-off task is
        protected as much as possible, with c = 0 not at all
    Cost:
        that of `multitask`, and one more copy of all gradients in memory
    Source:
        Liu et al. 2021, Conflict-averse gradient descent for multi-task learning, NeurIPS, arXiv
        2110.14048, algorithm 1; mean of both gradients, step multiplied by 2 as in the authors'
        code

    Args:
        c: radius of the ball, relative to the length of the mean gradient.
        weight: weight of the source's loss.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    space = {
        **Multitask.space,
        "lr_factor": rates(3.0, small_images=3.0, images=0.3, text=0.1),
        "c": Range(0.1, 0.9, log=False, default=0.5),
    }
    also_called = ("conflict_averse_gradient_descent",)
    badges = ("formula_exact", "trajectory_exact")

    def __init__(self, c: NotNegative = 0.5, weight: NotNegative = 1.0, **shared: Any) -> None:
        super().__init__(weight, **shared)
        self.c = c

    def combined(self, gradients: list[list[Tensor]]) -> list[Tensor]:
        return self.on_trunk(gradients, lambda both: 2 * conflict_averse(both[0], both[1], self.c))
