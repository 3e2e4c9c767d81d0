"""Copies of modules that can be taken anew once their originals have changed."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import nn


class Copied(NamedTuple):
    """Which tensors of a copy are of which ones, whatever is put into either module later.

    Attributes:
        parameters: of the copy and of its original, which stay these objects.
        buffers: by their modules and names, for one that goes to another device is another tensor.
    """

    parameters: list[tuple[nn.Parameter, nn.Parameter]]
    buffers: list[tuple[nn.Module, nn.Module, str]]

    @classmethod
    def of(cls, copy: nn.Module, original: nn.Module) -> Self:
        """Note a copy that was made just now."""
        both = zip(copy.modules(), original.modules(), strict=True)
        return cls(
            list(zip(copy.parameters(), original.parameters(), strict=True)),
            [(m, o, name) for m, o in both for name, _ in m.named_buffers(recurse=False)],
        )

    @torch.no_grad()
    def renew(self) -> None:
        """Give the copy what its original is now."""
        for own, theirs in self.parameters:
            own.copy_(theirs)
        for module, original, name in self.buffers:
            module.get_buffer(name).copy_(original.get_buffer(name))
