"""A running mean of weights during training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class RunningMean(nn.Module):
    """The mean of some tensors after each of a phase's last steps, or their moving average.

    The means are buffers of this module, for the strategy's scaffold; the tensors stay the
    strategy's. With weights w_1, ..., w_n so far, the mean is m_n = m_(n-1) + (w_n - m_(n-1)) / n,
    and the moving average is m_n = d m_(n-1) + (1 - d) w_n, beginning with w_1 (Izmailov et al.
    2018, algorithm 1; Polyak & Juditsky 1992).

    Args:
        tensors: returns the floating-point tensors to average, always in the same order:
            parameters, running statistics. It is called each time, as a buffer that moves to
            another device becomes another tensor.
        begin: share of the steps after which the mean begins; 1: the last step alone.
        decay: d, for the moving average; None: the mean.
    """

    noted: Tensor
    """() int64, the number of steps in the mean."""

    def __init__(
        self,
        tensors: Callable[[], Sequence[Tensor]],
        begin: float = 0.75,
        decay: float | None = None,
    ) -> None:
        super().__init__()
        self._tensors, self.begin, self.decay = tensors, begin, decay
        self.register_buffer("noted", torch.zeros((), dtype=torch.int64))
        for number, tensor in enumerate(tensors()):
            self.register_buffer(f"mean{number}", tensor.detach().clone())

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Return pairs of each mean and its tensor."""
        own = self._tensors()
        return [(self.get_buffer(f"mean{number}"), part) for number, part in enumerate(own)]

    @property
    def is_empty(self) -> bool:
        """Whether the mean has no step yet."""
        return not int(self.noted)

    @torch.no_grad()
    def note(self, step: int, steps: int) -> None:
        """Add the tensors after a step to the mean, if it has begun.

        Args:
            step: number of steps of the phase that are done, from 1.
            steps: number of steps of the phase.
        """
        if step < self.begin * steps:
            return
        self.noted += 1
        n = int(self.noted)
        weight = 1 / n if self.decay is None else 1 - self.decay
        for mean, own in self._pairs():
            if n == 1:
                mean.copy_(own)
            else:
                mean.lerp_(own, weight)

    @torch.no_grad()
    def put(self) -> bool:
        """Overwrite the tensors with their means, if any; return whether a tensor changed."""
        if self.is_empty:
            return False
        moves = any(not torch.equal(mean, own) for mean, own in self._pairs())
        for mean, own in self._pairs():
            own.copy_(mean)
        return moves

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Swap the means in while inside; afterwards restore the tensors, bit for bit."""
        if self.is_empty:
            yield
            return
        self._change_places()
        try:
            yield
        finally:
            self._change_places()

    def _change_places(self) -> None:
        for mean, own in self._pairs():
            mean.data, own.data = own.data, mean.data
