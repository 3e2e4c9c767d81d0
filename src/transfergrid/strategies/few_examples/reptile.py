"""Initial weights that move towards where a few steps on a few examples lead."""

from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import Batch, Count, Phase, Positive
from transfergrid.strategies.few_examples.inner_loop import StartLearned, descended


class Reptile(StartLearned):
    """Reptile: weights move towards those that some steps on an episode's support lead to.

    w - W takes the place of the gradient: with plain gradient descent at rate e this is w <- w + e
    (W - w); with another optimiser it is what the paper does with Adam. Inner steps are plain
    gradient descent, without state from task to task; there are no queries. With one inner step it
    is joint training on all tasks. Norm layers are in eval mode.

    Formula:
        w <- w + e (W - w), W = w after inner_steps steps on the support

    Try it:
        As `maml`, where its second order is too expensive.

    Cost:
        inner_steps passes for each step; the target's examples take target_steps passes.

    Source:
        Nichol, Achiam & Schulman 2018, On first-order meta-learning algorithms (arXiv 1803.02999),
        algorithm 1

    Args:
        inner_lr: rate of the steps on a support.
        inner_steps: number of these steps in an episode.
        target_steps: number of steps on the target's examples.
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
        """Return a scalar with gradient w - W, and the support's loss after the steps as value."""
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
