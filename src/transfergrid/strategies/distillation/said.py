"""A memory of what a network that stands still says of examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class Said(nn.Module):
    """What a network that stands still says of examples, asked of each once.

    Args:
        places: examples, or views of them, (n); 0: nothing is kept.
        shape: of what is said of each.
    """

    outputs: Tensor
    known: Tensor

    def __init__(self, places: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("outputs", torch.zeros(places, *shape))
        self.register_buffer("known", torch.zeros(places, dtype=torch.bool))

    def of(self, places: Tensor, say: Callable[[Tensor], Tensor]) -> Tensor:
        """Return what is said at these places, (batch, *shape).

        Args:
            places: numbers of them, (batch,).
            say: says it of some of them, given where in the batch these are.
        """
        new = (~self.known[places]).nonzero()[:, 0]
        if len(new):
            self.outputs[places[new]] = say(new).to(self.outputs.dtype)
            self.known[places[new]] = True
        return self.outputs[places]
