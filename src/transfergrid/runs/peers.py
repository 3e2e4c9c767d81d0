"""Several processes that train one cell together, each on a device of its own: what they exchange.

Every one runs the whole training. Of each batch it takes its part, as `training.accumulate` cuts a
batch, and the gradients of all parts are summed before a step: so all hold the same weights after
it, and a batch is as large as it would be on one device. The first of them alone looks at what
comes of it, and tells the others its scores.

Lightning's own launcher would start the command of this process again, and torch's wrapper of a
module cannot tell which of its parameters an objective reaches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Peers:
    """What one process knows of the others; with nobody beside it each method does nothing.

    Args:
        rank: the number of this one; the first is 0.
        world: how many there are.
        device: that this one's messages lie on.
    """

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    def own(self, pieces: Sequence[tuple[Piece, float]]) -> list[tuple[Piece, float]]:
        """Return this one's pieces of a batch, and the share that each has in the gradient.

        A batch that was cut into fewer pieces than there are processes is taken whole by each.
        """
        if self.world == 1:
            return list(pieces)
        if len(pieces) < self.world:
            return [(piece, share / self.world) for piece, share in pieces]
        return list(pieces[self.rank :: self.world])

    def sum_gradients(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Sum the gradients of all, and a loss, which is returned.

        Who has no gradient in any process has none afterwards.
        """
        if self.world == 1:
            return loss
        has = torch.tensor([float(p.grad is not None) for p in parameters], device=loss.device)
        zeros = (torch.zeros_like(p) if p.grad is None else p.grad for p in parameters)
        everything = [*zeros, has, loss.detach().clone().reshape(1)]
        _in_flat_pieces(everything, dist.all_reduce)
        *gradients, has, total = everything
        for parameter, gradient, count in zip(parameters, gradients, has.tolist(), strict=True):
            parameter.grad = gradient if count else None
        return total.reshape(loss.shape)

    def take_buffers(self, module: nn.Module) -> None:
        """Take over the first one's buffers, such as the means of its BatchNorm layers."""
        if self.world > 1:
            self._take(module.buffers())

    def take_all(self, module: nn.Module) -> None:
        """Take over the first one's parameters and buffers."""
        if self.world > 1:
            self._take((*module.parameters(), *module.buffers()))

    def _take(self, tensors: Iterable[Tensor]) -> None:
        with torch.no_grad():
            _in_flat_pieces([t.data for t in tensors if t.numel()], _from_first)

    def told(self, make: Callable[[], float | None]) -> float | None:
        """Return what the first one makes, to the last digit; the others make nothing."""
        if self.world == 1:
            return make()
        made = make() if self.rank == 0 else None
        sent = torch.tensor([float(made is not None), made or 0.0], dtype=torch.float64)
        sent = sent.to(self.device)
        dist.broadcast(sent, src=0)
        known, value = sent.tolist()
        return value if known else None


ALONE = Peers()


def _from_first(tensor: Tensor) -> None:
    dist.broadcast(tensor, src=0)


def _in_flat_pieces(tensors: Sequence[Tensor], exchange: Callable[[Tensor], object]) -> None:
    """Let those of one kind be exchanged at once, in place: a message each costs more."""
    kinds: defaultdict[torch.dtype, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        kinds[tensor.dtype].append(tensor)
    for alike in kinds.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in alike])
        exchange(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in alike])
        for tensor, part in zip(alike, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
