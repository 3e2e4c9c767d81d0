"""The BatchNorm layers of a network, for methods that change their running statistics."""

from __future__ import annotations

from torch.nn.modules.batchnorm import _BatchNorm

from transfergrid.records.errors import ImpossibleError
from transfergrid.sources.backbone import Backbone


def batch_norms(backbone: Backbone, method: str) -> list[_BatchNorm]:
    """Return the network's BatchNorm layers that keep running statistics, in order.

    Args:
        backbone: the network.
        method: name of the method that needs them, for the error message.

    Raises:
        ImpossibleError: there is none; other norms keep no statistics across examples.
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
