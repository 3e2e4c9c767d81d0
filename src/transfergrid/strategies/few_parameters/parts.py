"""The parameters of norm layers, the biases of a network, and BatchNorm statistics kept fixed."""

from __future__ import annotations

from torch import nn


def norms_of(network: nn.Module) -> list[nn.Parameter]:
    """Return the scales and shifts of a network's norm layers, of any kind.

    A layer counts as a norm if its class name contains "norm" and all its own parameters are
    vectors or scalars: libraries have norms that are no subclass of torch's.
    """
    found = []
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if "norm" in type(module).__name__.lower() and all(p.ndim <= 1 for p in own):
            found += own
    return found


def biases_of(network: nn.Module) -> list[nn.Parameter]:
    """Return a network's biases: the vectors whose names end in "bias"."""
    named = network.named_parameters()
    return [p for name, p in named if name.endswith("bias") and p.ndim == 1]


def hold_statistics(network: nn.Module) -> None:
    """Put BatchNorm layers into eval mode: they normalise by running statistics and keep them."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
