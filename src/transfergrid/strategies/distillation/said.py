"""A memory of what a network that stands still says of examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from transfergrid.data.batches import Labelled
from transfergrid.data.inputs import Inputs
from transfergrid.data.views import take
from transfergrid.records.training import Training

MOST_BYTES = 256 * 2**20
"""What is said is remembered up to this size."""


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


def memory(plan: Training, examples: int, shape: Sequence[int] | None) -> Said:
    """Return one of all examples, seen in all ways; of none where each time is a fresh view.

    Of none too where what is said is too large to remember, or, its shape being None, not always of
    one shape.
    """
    views = 1 if plan.augmentation == "none" else plan.views or 0
    places = examples * views if shape is not None else 0
    fits = places * math.prod(shape or ()) * 4 <= MOST_BYTES
    return Said(places if fits else 0, shape or ())


def heard(
    said: nn.Module, plan: Training, seen: Labelled, inputs: Inputs, say: Callable[[Inputs], Tensor]
) -> Tensor:
    """Return what is said of a batch, (batch, *shape), from memory if it can be.

    Args:
        said: the memory that was made for this plan.
        plan: what all arms share.
        seen: the batch.
        inputs: the same examples as whoever speaks takes them.
        say: says it of some inputs.
    """
    assert isinstance(said, Said)
    if seen.rows is None or not len(said.known):
        return say(inputs)
    views = plan.views or 1
    places = seen.rows if seen.views is None else seen.rows * views + seen.views
    return said.of(places, lambda new: say(take(inputs, new)))
