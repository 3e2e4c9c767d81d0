"""The BatchNorm layers of a network, for methods that are about their statistics."""

from __future__ import annotations

from torch.nn.modules.batchnorm import _BatchNorm

from transfergrid.records.errors import ImpossibleError
from transfergrid.sources.backbone import Backbone


def batch_norms(backbone: Backbone, method: str) -> list[_BatchNorm]:
    """Return the layers that keep running statistics, in order.

    Args:
        backbone: the network.
        method: what is about them, for whoever has a network without any.

    Raises:
        ImpossibleError: there is none; other norms have no statistics but those of each example.
    """
    layers = list(backbone.network.modules())
    found = [m for m in layers if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not found:
        others = sorted({kind for m in layers if "norm" in (kind := type(m).__name__).lower()})
        has = f"normalises by {', '.join(others)}" if others else "has no norms"
        raise ImpossibleError(
            f"{method} is about BatchNorm's statistics of the target, and {backbone.title} {has}"
        )
    return found
