"""Training from random weights for as long as it helps: does transfer win, or only sooner?"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from transfergrid.data.batches import Batch
from transfergrid.records.errors import BadInputError
from transfergrid.records.needs import Baselines, Needs
from transfergrid.strategies.base import Strategy


class ScratchConverged(Strategy):
    """Random weights, trained until the training loss levels off, then cooled down.

    The rate warms up and stays at its peak while the mean loss of the last `window` steps still
    falls by more than the share `tolerance` against the window before; then it sinks linearly to
    zero within `cooldown` steps (the warm-up, stable, decay schedule of Hu et al. 2024).

    Args:
        lr_factor: multiplies the shared learning rate.
        max_factor: at most so many times the shared number of steps.
        window: of the running mean, as a share of the shared steps.
        tolerance: smallest relative fall of the loss that counts as progress.
        cooldown: length of the decay, as a share of the shared steps.

    Raises:
        BadInputError: `max_factor` is below 1.
    """

    needs: ClassVar[Needs] = Needs(source="architecture")
    baselines: ClassVar[Baselines] = Baselines(labelled="scratch")

    def __init__(
        self,
        lr_factor: float = 1.0,
        max_factor: float = 4.0,
        window: float = 0.2,
        tolerance: float = 0.05,
        cooldown: float = 0.3,
    ) -> None:
        super().__init__(lr_factor)
        if max_factor < 1:
            raise BadInputError(f"scratch_converged needs max_factor from 1: {max_factor}")
        self.max_factor, self.tolerance = max_factor, tolerance
        self.window_share, self.cooldown_share = window, cooldown
        self.levelled_at: int | None = None
        self._losses: list[Tensor] = []

    def _span(self, share: float) -> int:
        return max(1, round(share * self.training_plan.steps))

    @override
    def step_limit(self, steps: int) -> int:
        return round(self.max_factor * steps)

    @override
    def rate(self, step: int, limit: int) -> float:
        if self.levelled_at is None:
            return min(1.0, (step + 1) / self._span(0.05))
        return max(0.0, 1.0 - (step - self.levelled_at) / self._span(self.cooldown_share))

    @override
    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self._losses.append(outputs["loss"].detach())
        step, cooldown = batch_idx + 1, self._span(self.cooldown_share)
        if self.levelled_at is None:
            if step >= self.limit - cooldown or self._levelled(step):
                self.levelled_at = step
        elif step >= self.levelled_at + cooldown:
            self.trainer.should_stop = True

    def _levelled(self, step: int) -> bool:
        window = self._span(self.window_share)
        if step < max(2 * window, self.training_plan.steps) or step % window:
            return False
        recent = torch.stack(self._losses[-2 * window :])
        before, now = recent[:window].mean().item(), recent[window:].mean().item()
        return now > (1.0 - self.tolerance) * before
