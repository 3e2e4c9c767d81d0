"""A cache of a frozen network's outputs for each example."""

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
"""Outputs are cached up to this size."""


class Said(nn.Module):
    """A cache of a frozen network's outputs, computed once for each example or view.

    Args:
        places: number of examples, or of their views; 0: nothing is cached.
        shape: shape of one example's output.
    """

    outputs: Tensor
    known: Tensor

    def __init__(self, places: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("outputs", torch.zeros(places, *shape))
        self.register_buffer("known", torch.zeros(places, dtype=torch.bool))

    def of(self, places: Tensor, say: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the outputs at these places, (batch, *shape); compute the missing ones.

        Args:
            places: indices in the cache, (batch,).
            say: computes the outputs for some of the batch, given their positions in it.
        """
        new = (~self.known[places]).nonzero()[:, 0]
        if len(new):
            self.outputs[places[new]] = say(new).to(self.outputs.dtype)
            self.known[places[new]] = True
        return self.outputs[places]


def memory(plan: Training, examples: int, shape: Sequence[int] | None) -> Said:
    """Return a cache for all views of all examples.

    It caches nothing where each step augments afresh, where the outputs are larger than
    `MOST_BYTES`, or where they have no fixed shape (`shape` is None).
    """
    views = 1 if plan.augmentation == "none" else plan.views or 0
    places = examples * views if shape is not None else 0
    fits = places * math.prod(shape or ()) * 4 <= MOST_BYTES
    return Said(places if fits else 0, shape or ())


def heard(
    said: nn.Module, plan: Training, seen: Labelled, inputs: Inputs, say: Callable[[Inputs], Tensor]
) -> Tensor:
    """Return the network's outputs for a batch, (batch, *shape), from the cache if possible.

    Args:
        said: the cache that was made for this plan.
        plan: the training config that all arms share.
        seen: the batch.
        inputs: the same examples, preprocessed for this network.
        say: computes the outputs for some inputs.
    """
    assert isinstance(said, Said)
    if seen.rows is None or not len(said.known):
        return say(inputs)
    views = plan.views or 1
    places = seen.rows if seen.views is None else seen.rows * views + seen.views
    return said.of(places, lambda new: say(take(inputs, new)))
