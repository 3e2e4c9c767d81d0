"""Modes in which modules are while they are used: what keeps statistics, and what stands still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def unrecorded_statistics(module: nn.Module) -> Iterator[None]:
    """Let BatchNorm layers normalise by the batch at hand without recording its statistics."""
    layers = [
        m
        for m in module.modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training and m.track_running_stats
    ]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def eval_where_still(module: nn.Module) -> None:
    """Put every part in which nothing learns into eval mode: no dropout, no moving statistics.

    A layer without parameters does as the part does that it is in.
    """
    for child in module.children():
        parameters = list(child.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            child.eval()
        else:
            eval_where_still(child)
