"""Copies of modules that can be updated after their originals have changed."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import nn


class Copied(NamedTuple):
    """Pairs of a copy's tensors and the original's, valid whatever is added to either later.

    Attributes:
        parameters: pairs of the copy's parameter and the original's; these objects stay the same.
        buffers: pairs of modules, with a buffer's name. Buffers are looked up by name, because
            moving a module to another device replaces them by new tensors.
    """

    parameters: list[tuple[nn.Parameter, nn.Parameter]]
    buffers: list[tuple[nn.Module, nn.Module, str]]

    @classmethod
    def of(cls, copy: nn.Module, original: nn.Module) -> Self:
        """Pair the tensors of a fresh copy with those of its original."""
        both = zip(copy.modules(), original.modules(), strict=True)
        return cls(
            list(zip(copy.parameters(), original.parameters(), strict=True)),
            [(m, o, name) for m, o in both for name, _ in m.named_buffers(recurse=False)],
        )

    @torch.no_grad()
    def renew(self) -> None:
        """Copy the original's current values into the copy."""
        for own, theirs in self.parameters:
            own.copy_(theirs)
        for module, original, name in self.buffers:
            module.get_buffer(name).copy_(original.get_buffer(name))
