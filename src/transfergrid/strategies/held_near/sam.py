"""Fine-tune towards weights whose whole neighbourhood has a low loss (SAM)."""

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from transfergrid.strategies import Baselines, Batch, NotNegative, Range, Strategy, rates
from transfergrid.strategies.draws import same_draws
from transfergrid.strategies.modes import unrecorded_statistics

SMALLEST = 1e-12
"""Added to the gradient's norm, which may be 0."""


SCALE = 1024.0
"""Factor of the first loss, against underflow in half precision; the step is normalised anyway."""


def ascent(gradients: list[Tensor | None], rho: float) -> list[Tensor | None]:
    """Return the step of length rho along a gradient, whose tensors are taken as one vector.

    Args:
        gradients: of the loss, one for each parameter; None, where the loss does not depend on it,
            stays None.
        rho: length of the step.
    """
    lengths = [torch.linalg.vector_norm(part) for part in gradients if part is not None]
    scale = rho / (torch.linalg.vector_norm(torch.stack(lengths)) + SMALLEST)
    return [None if part is None else scale * part for part in gradients]


class Sam(Strategy):
    """Fine-tuning whose gradient is taken a step of length rho uphill from the weights.

    The gradient is taken at the point uphill and applied to the original weights. Both passes see
    the same batch with the same dropout; BatchNorm records the statistics of the first one alone.
    Where a batch comes in parts, each part has its own uphill step. SAM is also a control: is the
    gain of staying near a source a gain of flatness alone?

    Formula:
        w <- w - lr grad L(w + e), e = rho g / |g|, g = grad L(w)
    Try it:
        with few labels, where fine-tuning fits the training examples at once; not where time
        matters
    Cost:
        twice the time of full fine-tuning at each step; one more copy of the weights in memory;
        nothing more at prediction
    Source:
        Foret et al. 2021, Sharpness-aware minimization for efficiently improving generalization,
        arXiv 2010.01412, equations 2 and 3

    Args:
        rho: length of the uphill step; 0 is full fine-tuning.
        shared: `lr_factor` and `schedule`.
    """

    also_called = ("sharpness_aware_minimization", "sharpness_aware")
    badges = ("formula_exact", "trajectory_exact")
    baselines = Baselines(exploratory=["full_finetuning"])
    space = {
        "lr_factor": rates(0.95, brief=0.95, small_images=0.95, images=1.0, text=0.095),
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
