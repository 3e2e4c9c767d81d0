"""Modes of modules during use: whether BatchNorm records statistics, and which parts are frozen."""

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
    """Put every submodule in which nothing learns into eval mode.

    It then has no dropout, and its running statistics stay. A layer without parameters keeps the
    mode of the module that contains it.
    """
    for child in module.children():
        parameters = list(child.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            child.eval()
        else:
            eval_where_still(child)
