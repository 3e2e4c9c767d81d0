"""Source and target trained jointly, with loss weights that equalise their learning pace."""

from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import Batch, NotNegative, Range, Sizes, rates
from transfergrid.strategies.tasks.on_one_trunk import BothTasks, flat

SMALLEST = 0.01
"""Lower bound of a weight before normalisation: from 0 it could not grow again."""


def aims(weights: Tensor, norms: Tensor, losses: Tensor, alpha: float) -> Tensor:
    """Return the target norm of each task's weighted gradient, (tasks,).

    Args:
        weights: weights of the losses, (tasks,).
        norms: gradient norms of the unweighted losses, (tasks,).
        losses: current losses, relative to those of the first step, (tasks,).
        alpha: how strongly a task is held back that learns faster than the others.
    """
    rates_now = losses / losses.mean()
    return (weights * norms).mean() * rates_now**alpha


def stepped(weights: Tensor, norms: Tensor, targets: Tensor, rate: float) -> Tensor:
    """Return weights after one descent step on sum |w G - target|; their sum is their number.

    Args:
        weights: weights of the losses, (tasks,).
        norms: gradient norms G of the unweighted losses, (tasks,), constants here.
        targets: what `aims` returns, constants here.
        rate: rate of the step.
    """
    slopes = norms * torch.sign(weights * norms - targets)
    moved = (weights - rate * slopes).clamp(min=SMALLEST)
    return moved * len(moved) / moved.sum()


class Gradnorm(BothTasks):
    """Learn the two tasks of `multitask`, each weighed so that neither outpaces the other.

    At every step the loss weights take one step towards equal gradient norms in the backbone's last
    layer, larger for the task whose loss has fallen less since the first step. The weights begin at
    1, sum to 2 and stay above 0. The record tells their final values.

    Formula:
        w <- w - rate d/dw sum_i |w_i G_i - mean(w G) r_i^alpha|, r_i the loss over its first value,
        over the mean of both; then sum(w) = 2
    Try it:
        where one of the tasks is learned in a few steps and the other is not; where losses differ
        in scale and no weight was searched
    Cost:
        that of `multitask`, and one more copy of all gradients in memory
    Source:
        Chen et al. 2018, GradNorm, ICML, arXiv 1711.02257, algorithm 1

    Args:
        alpha: how strongly the faster task is held back; 0 makes gradient norms equal at any pace.
        weights_rate: rate of the weights' own steps; 0 leaves them at 1, as in `multitask`.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    space = {
        "lr_factor": rates(9.5, small_images=3.0, images=0.3, text=0.1),
        "alpha": Range(0.5, 3.0, default=1.5),
        "weights_rate": Range(0.001, 0.1, default=0.025),
    }
    also_called = ("gradient_normalization",)
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self, alpha: NotNegative = 1.5, weights_rate: NotNegative = 0.025, **shared: Any
    ) -> None:
        super().__init__(**shared)
        self.alpha, self.weights_rate = alpha, weights_rate

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        keep = self.scaffold.register_buffer
        keep("weights", torch.ones(2))
        keep("first", torch.zeros(2))  # losses of the first step
        keep("seen", torch.zeros(2, 2))  # of each task: sum of losses, number of examples

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.target is not None
        return self._noted(0, super().loss(batch, progress), len(batch.target.labels))

    def of_source(self, batch: Batch, progress: float) -> Tensor:
        return self._noted(1, super().of_source(batch, progress), len(batch.source[0].labels))

    def _noted(self, task: int, loss: Tensor, examples: int) -> Tensor:
        """Return the loss of a part of a batch, and add it to the sum over the batch's parts."""
        seen = self.scaffold.get_buffer("seen")
        seen[task] += torch.stack([loss.detach() * examples, loss.new_tensor(examples)]).to(seen)
        return loss

    def combined(self, gradients: list[list[Tensor]]) -> list[Tensor]:
        """Return the sum of weighted gradients, and update the weights for the next step."""
        now, before = self._losses(), self.scaffold.get_buffer("weights").clone()
        layer = self._last_layer()
        norms = torch.stack([flat([own[i] for i in layer]).norm() for own in gradients])
        if self.weights_rate:
            aimed = aims(before, norms, now, self.alpha)
            self.scaffold.get_buffer("weights").copy_(
                stepped(before, norms, aimed, self.weights_rate)
            )
        target, source = before
        return [target * own + source * other for own, other in zip(*gradients, strict=True)]

    def _losses(self) -> Tensor:
        """Return the losses of this step relative to those of the first, and reset the sums."""
        seen, first = self.scaffold.get_buffer("seen"), self.scaffold.get_buffer("first")
        now = seen[:, 0] / seen[:, 1].clamp(min=1)
        seen.zero_()
        if not first.any():
            first.copy_(now)
        tiny = torch.finfo(now.dtype).tiny
        return (now / first.clamp(min=tiny)).clamp(min=tiny)

    def _last_layer(self) -> list[int]:
        """Return the indices, among learning parameters, of those of the last block with any."""
        named = dict(self.backbone.named_parameters())
        place = {id(parameter): i for i, parameter in enumerate(self.learning())}
        each = [
            [place[id(named[name])] for name in block.parameters if id(named[name]) in place]
            for block in self.backbone.blocks("fine")
        ]
        return next(own for own in reversed(each) if own)

    def tells(self) -> dict[str, Any]:
        """Return the final weights of both losses."""
        target, source = self.scaffold.get_buffer("weights").tolist()
        return {"weight_of_target": target, "weight_of_source": source}
