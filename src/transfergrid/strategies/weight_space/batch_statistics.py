"""BatchNorm's running statistics for weights that no training step produced, such as a mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from transfergrid.data.inputs import Inputs
from transfergrid.data.views import size_of
from transfergrid.strategies.phases import View


def norms_of(module: nn.Module, learning: Iterable[Tensor]) -> list[_BatchNorm]:
    """Return the BatchNorm layers whose running statistics move when these parameters learn.

    A layer without parameters of its own is among them if something in its parent module learns.
    """
    known = {id(parameter) for parameter in learning}
    around = {child: part for part in module.modules() for child in part.children()}

    def move(layer: _BatchNorm) -> bool:
        own = [*layer.parameters()] or [*around.get(layer, layer).parameters()]
        return layer.running_mean is not None and any(id(one) in known for one in own)

    return [m for m in module.modules() if isinstance(m, _BatchNorm) and move(m)]


def statistics_of(norms: Sequence[_BatchNorm]) -> list[Tensor]:
    """Return the running means and variances of these layers."""
    found = [part for norm in norms for part in (norm.running_mean, norm.running_var)]
    return [part for part in found if part is not None]


@torch.no_grad()
def retake(
    norms: Sequence[_BatchNorm], views: Sequence[View], embed: Callable[[Inputs], Tensor]
) -> None:
    """Recompute running statistics: the mean over batches, weighted by their numbers of examples.

    All other layers must be in eval mode, without dropout. A layer's count of batches stays. With a
    single example, which has no variance, nothing changes.

    Args:
        norms: the layers.
        views: the examples, not augmented.
        embed: runs inputs through the layers.
    """
    if not norms or sum(map(len, views)) < 2:
        return
    seen = 0
    with _recording(norms):
        for batch in (batch for view in views for batch in view.batches()):
            seen += size_of(batch.inputs)
            for norm in norms:
                norm.momentum = size_of(batch.inputs) / seen
            embed(batch.inputs)


@contextmanager
def _recording(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Let layers record the statistics of their inputs while inside; then restore their modes."""
    before = [(n, n.training, n.momentum, n.num_batches_tracked) for n in norms]
    for norm in norms:
        norm.train()
        norm.num_batches_tracked = None  # otherwise these batches would be counted too
    try:
        yield
    finally:
        for norm, mode, momentum, counted in before:
            norm.training, norm.momentum, norm.num_batches_tracked = mode, momentum, counted
