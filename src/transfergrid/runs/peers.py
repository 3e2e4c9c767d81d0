"""Data-parallel training of one cell by several processes, each on a device of its own.

Each process runs the whole training. It takes its part of each batch (batches are cut as by
`training.accumulate`), and the gradients of all parts are summed before a step. So all processes
hold the same weights after it, and a batch is as large as on one device. Only the process of rank 0
scores the strategy, and broadcasts the scores.

Lightning's own launcher would start this process's command again, and torch's DDP wrapper cannot
know which of a module's parameters an objective reaches.
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
    """One process's view of all processes that train together; alone, nothing is exchanged.

    Args:
        rank: the number of this process, from 0.
        world: how many processes there are.
        device: kind of device on which this process's messages lie.
    """

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    def own(self, pieces: Sequence[tuple[Piece, float]]) -> list[tuple[Piece, float]]:
        """Return this process's pieces of a batch, each with its share in the gradient.

        If a batch has fewer pieces than there are processes, each process takes the whole batch.
        """
        if self.world == 1:
            return list(pieces)
        if len(pieces) < self.world:
            return [(piece, share / self.world) for piece, share in pieces]
        return list(pieces[self.rank :: self.world])

    def sum_gradients(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Sum gradients, in place, and a loss over all processes; return the summed loss.

        A parameter without a gradient in any process has none afterwards.
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
        """Broadcast the buffers of rank 0 to all, such as the statistics of BatchNorm layers."""
        if self.world > 1:
            self._take(module.buffers())

    def take_all(self, module: nn.Module) -> None:
        """Broadcast the parameters and buffers of rank 0 to all."""
        if self.world > 1:
            self._take((*module.parameters(), *module.buffers()))

    def _take(self, tensors: Iterable[Tensor]) -> None:
        with torch.no_grad():
            _in_flat_pieces([t.data for t in tensors if t.numel()], _from_first)

    def told(self, make: Callable[[], float | None]) -> float | None:
        """Return the number that `make` returns in rank 0, exactly; other ranks do not call it."""
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
    """Exchange all tensors of one dtype in a single message, in place: one each would cost more."""
    kinds: defaultdict[torch.dtype, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        kinds[tensor.dtype].append(tensor)
    for alike in kinds.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in alike])
        exchange(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in alike])
        for tensor, part in zip(alike, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
