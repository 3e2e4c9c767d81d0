"""Which parameters of a network are of its norms, and which are biases; statistics that stay."""

from __future__ import annotations

from torch import nn


def norms_of(network: nn.Module) -> list[nn.Parameter]:
    """Return the scales and shifts of a network's norm layers, of whatever kind they are.

    A norm is a layer that says so by its name, and all of whose own parameters are vectors: each
    library has some that are no subclass of torch's.
    """
    found = []
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if "norm" in type(module).__name__.lower() and all(p.ndim <= 1 for p in own):
            found += own
    return found


def biases_of(network: nn.Module) -> list[nn.Parameter]:
    """Return what is added and not multiplied: vectors whose names end in "bias"."""
    named = network.named_parameters()
    return [p for name, p in named if name.endswith("bias") and p.ndim == 1]


def hold_statistics(network: nn.Module) -> None:
    """Put BatchNorm layers into eval mode: they use the source's statistics and keep them."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
