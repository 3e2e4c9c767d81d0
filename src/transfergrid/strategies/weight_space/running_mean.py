"""A mean of weights along a run, kept as it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class RunningMean(nn.Module):
    """The mean of some tensors after each of a phase's last steps, or their moving average.

    It is a module of buffers, for the strategy's scaffold; the tensors stay the strategy's. Of the
    weights w_1, ..., w_n noted so far the mean is m_n = m_(n-1) + (w_n - m_(n-1)) / n, and the
    moving average m_n = d m_(n-1) + (1 - d) w_n, beginning with the first of them (Izmailov et al.
    2018, algorithm 1; Polyak & Juditsky 1992).

    Args:
        tensors: returns those of floating point whose values move, in one order: parameters,
            running statistics. They are asked for each time, for a buffer that goes to another
            device is another tensor.
        begin: share of the steps after which it begins; 1: the last step alone.
        decay: d, for the moving average; None: the mean.
    """

    noted: Tensor
    """() int64, how many steps are in it."""

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
        """Return each mean with the tensor that it is of."""
        own = self._tensors()
        return [(self.get_buffer(f"mean{number}"), part) for number, part in enumerate(own)]

    @property
    def is_empty(self) -> bool:
        """Whether no step is in it yet."""
        return not int(self.noted)

    @torch.no_grad()
    def note(self, step: int, steps: int) -> None:
        """Take note of the tensors after a step, if the mean has begun.

        Args:
            step: how many steps of the phase are done, from 1.
            steps: how many it has.
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
        """Give the tensors their means, if there are any; return whether that changed one."""
        if self.is_empty:
            return False
        moves = any(not torch.equal(mean, own) for mean, own in self._pairs())
        for mean, own in self._pairs():
            own.copy_(mean)
        return moves

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the tensors be their means inside, and afterwards what they were, bit for bit."""
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
