"""Training from random weights until it converges: is transfer better, or only faster?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor
from typing_extensions import override

from transfergrid.records.arguments import NotNegative, Positive
from transfergrid.records.needs import Baselines, Needs
from transfergrid.records.space import Space, rates
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Objective, Phase


class ScratchConverged(Strategy):
    """Random weights, trained until the training loss levels off, then cooled down.

    The learning rate warms up and stays at its peak as long as the mean loss of the last `window`
    is lower than that of the window before by more than the share `tolerance`. Then it falls
    linearly to zero over `cooldown` (the warm-up, stable, decay schedule of Hu et al. 2024). The
    stable part has at least the shared number of steps.

    Formula:
        CE(w), from random w, until mean(last window) > (1 - tolerance) mean(window before)
    Try it:
        to learn whether transfer is better or only faster: with enough labels the two often meet
    Cost:
        up to `max_factor` times the shared steps; reports give the number beside its score
    Source:
        He, Girshick & Dollar 2019, Rethinking ImageNet pre-training, ICCV, arXiv 1811.08883; the
        schedule of Hu et al. 2024, MiniCPM, arXiv 2404.06395, section 4

    Args:
        lr_factor: multiplies the shared learning rate.
        max_factor: maximum number of steps, as a multiple of the shared number.
        window: length of the windows that are compared, as a share of the shared steps.
        tolerance: smallest relative fall of the loss that counts as progress.
        cooldown: length of the decay, as a share of the shared steps.

    Raises:
        BadInputError: `max_factor` is below 1.
    """

    needs: ClassVar[Needs] = Needs(source="architecture")
    baselines: ClassVar[Baselines] = Baselines(labelled="scratch")
    space: ClassVar[Space] = {"lr_factor": rates(1.0, small_images=3.0, images=30.0, text=0.1)}
    transfers = "nothing"
    also_called = ("converged",)
    badges = ("trajectory_exact",)

    def __init__(
        self,
        lr_factor: Positive | None = None,
        max_factor: Annotated[float, Ge(1)] = 4.0,
        window: Positive = 0.2,
        tolerance: NotNegative = 0.05,
        cooldown: NotNegative = 0.3,
    ) -> None:
        super().__init__(lr_factor)
        self.max_factor, self.window = max_factor, window
        self.tolerance, self.cooldown = tolerance, cooldown

    @override
    def phases(self) -> list[Phase]:
        whole = [Objective(self.loss, self.everything())]
        longest = self.max_factor - self.cooldown
        return [
            Phase("stable", whole, longest, until=self.has_levelled, schedule=self._warm_up),
            Phase("cool down", whole, self.cooldown, schedule=sinking, carries_on=True),
        ]

    def _span(self, share: float) -> int:
        return max(1, round(share * self.training_plan.steps))

    def _warm_up(self, step: int, steps: int) -> float:
        return min(1.0, (step + 1) / self._span(0.05))

    def has_levelled(self, losses: Sequence[Tensor]) -> bool:
        """Return whether the mean loss has stopped falling from one window to the next.

        It is False before the shared number of steps, and except at the end of a window.

        Args:
            losses: the losses of all steps so far.
        """
        window, step = self._span(self.window), len(losses)
        if step < max(2 * window, self.training_plan.steps) or step % window:
            return False
        recent = torch.stack(list(losses[-2 * window :]))
        before, now = recent[:window].mean().item(), recent[window:].mean().item()
        return now > (1.0 - self.tolerance) * before


def sinking(step: int, steps: int) -> float:
    """Return the multiple of the rate at a step: it falls linearly from 1 to 0."""
    return max(0.0, 1.0 - step / steps)
