"""A start that moves towards where steps on a few examples lead."""

from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import Batch, Count, Phase, Positive
from transfergrid.strategies.few_examples.inner_loop import StartLearned, descended


class Reptile(StartLearned):
    """Reptile: weights move towards those that some steps on an episode's support lead to.

    w - W stands for the gradient: by plain descent at rate e that is w <- w + e (W - w), and with
    another optimiser what the paper does with Adam. Inner steps are plain, with nothing kept from
    task to task; there are no queries. With one inner step it is training on all tasks together.
    Norms stand as in use.

    Formula:
        w <- w + e (W - w), W = w after inner_steps steps on the support

    Try it:
        As `maml`, where its second order is too much.

    Cost:
        inner_steps passes a step; the target's examples take target_steps passes.

    Source:
        Nichol, Achiam & Schulman 2018, On first-order meta-learning algorithms (arXiv 1803.02999),
        algorithm 1

    Args:
        inner_lr: of the steps on a support.
        inner_steps: how many, while it learns.
        target_steps: how many the target's examples are given.
        shared: `lr_factor` and `schedule`.
    """

    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        inner_lr: Positive = 0.01,
        inner_steps: Count = 5,
        target_steps: Count = 10,
        **shared: Any,
    ) -> None:
        super().__init__(inner_lr, inner_steps, target_steps, **shared)

    def phases(self) -> list[Phase]:
        return self.episodes(queries=1)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Return the support's loss at the end, whose gradient is w - W."""
        assert batch.episode is not None
        support, _ = batch.episode
        begun = dict(self.network.named_parameters())
        free = {name: value.detach().requires_grad_() for name, value in begun.items()}
        fit = self.fit(support.inputs, support.labels)
        found = descended(fit, free, self.inner_lr, self.inner_steps)
        with torch.no_grad():
            reached = fit(found)
        moved = torch.stack([((w - found[n]).detach() * w).sum() for n, w in begun.items()]).sum()
        return moved - moved.detach() + reached
