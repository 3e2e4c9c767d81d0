"""Fine-tune towards weights whose whole neighbourhood has a low loss (SAM)."""

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from transfergrid.strategies import Baselines, Batch, NotNegative, Range, Strategy, rates
from transfergrid.strategies.draws import same_draws
from transfergrid.strategies.modes import unrecorded_statistics

SMALLEST = 1e-12
"""Added to the gradient's length, which may be 0."""


SCALE = 1024.0
"""Of the first loss: half-precision gradients would vanish, and the way's length is rho anyway."""


def ascent(gradients: list[Tensor | None], rho: float) -> list[Tensor | None]:
    """Return the way of length rho along a gradient, all tensors of it taken as one vector.

    Args:
        gradients: of the loss; None for what it does not depend on, and for the way there.
        rho: how far.
    """
    lengths = [torch.linalg.vector_norm(part) for part in gradients if part is not None]
    scale = rho / (torch.linalg.vector_norm(torch.stack(lengths)) + SMALLEST)
    return [None if part is None else scale * part for part in gradients]


class Sam(Strategy):
    """Fine-tuning whose gradient is taken a step of length rho uphill from the weights.

    The weights move from where they are, by the gradient found there. Both passes see the same
    batch under the same dropout; BatchNorm takes note of the first alone. Where a batch comes in
    parts, each part has its own way uphill. The control that asks whether what is gained by staying
    near a source is gained by flatness alone.

    Formula:
        w <- w - lr grad L(w + e), e = rho g / |g|, g = grad L(w)
    Try it:
        with few labels, where fine-tuning fits the training examples at once; not where time counts
    Cost:
        twice the time of full fine-tuning at each step; memory of the weights once more; the same
        at prediction
    Source:
        Foret et al. 2021, Sharpness-aware minimization for efficiently improving generalization,
        arXiv 2010.01412, equations 2 and 3

    Args:
        rho: length of the step uphill; 0 is full fine-tuning.
        shared: `lr_factor` and `schedule`.
    """

    also_called = ("sharpness_aware_minimization", "sharpness_aware")
    badges = ("formula_exact", "trajectory_exact")
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(0.95, brief=0.95, small_images=1.0, images=1.0, text=0.095),
        "rho": Range(0.005, 0.5, default=0.05),
    }

    def __init__(self, rho: NotNegative = 0.05, **shared: Any) -> None:
        super().__init__(**shared)
        self.rho = rho

    def loss(self, batch: Batch, progress: float) -> Tensor:
        learning = {name: w for name, w in self.named_parameters() if w.requires_grad}
        with same_draws(self):
            here = super().loss(batch, progress)
            found = torch.autograd.grad(SCALE * here, [*learning.values()], allow_unused=True)
        ways = zip(learning.items(), ascent([*found], self.rho), strict=True)
        uphill = {name: w + way for (name, w), way in ways if way is not None}
        seen = batch.labelled()
        with unrecorded_statistics(self):
            return self.task.loss(functional_call(self, uphill, (seen.inputs,)), seen.labels)
