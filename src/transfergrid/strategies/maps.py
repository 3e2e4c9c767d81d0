"""What crosses a cut of a network, as channels at places: whatever the network is made of."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from transfergrid.data.inputs import Inputs


class Map(NamedTuple):
    """A hidden state as channels at places.

    Attributes:
        values: (batch, channels, places).
        real: (batch, 1, places), 1 where a place is no padding and else 0.
    """

    values: Tensor
    real: Tensor


def channel_axis(hidden: Tensor) -> int:
    """Return which axis of a hidden state holds channels.

    Maps are (batch, channels, height, width), in some transformers of images with channels last;
    tokens (batch, tokens, channels), embeddings (batch, channels).
    """
    if hidden.ndim == 4 and not hidden.shape[1] == hidden.shape[2] != hidden.shape[3]:
        return 1
    return hidden.ndim - 1


def as_map(hidden: Tensor, inputs: Inputs) -> Map:
    """Return a hidden state as channels at places.

    Args:
        hidden: the first tensor of a boundary.
        inputs: of the network; of texts they say which tokens are padding.
    """
    values = hidden.movedim(channel_axis(hidden), 1)
    values = values.unsqueeze(2) if values.ndim == 2 else values.flatten(2)
    mask = inputs.get("attention_mask") if isinstance(inputs, dict) else None
    shape = (len(values), values.shape[2])
    if mask is None or tuple(mask.shape) != shape:
        return Map(values, values.new_ones(shape).unsqueeze(1))
    return Map(values, mask.to(values.dtype).unsqueeze(1))


def silenced(boundary: tuple[Tensor, ...], channels: Tensor) -> tuple[Tensor, ...]:
    """Return a boundary once for each channel, in which that channel is 0 everywhere.

    Args:
        boundary: of a batch.
        channels: numbers of them, (c,).

    Returns:
        A boundary of c times as many rows, all of the first channel's first.
    """
    hidden, *beside = (part.repeat(len(channels), *[1] * (part.ndim - 1)) for part in boundary)
    axis = channel_axis(hidden)
    size = hidden.shape[axis]
    off = channels.repeat_interleave(len(boundary[0])).unsqueeze(1)
    kept = torch.arange(size, device=hidden.device) != off  # (rows, channels)
    shape = [len(hidden), *(size if i == axis else 1 for i in range(1, hidden.ndim))]
    return (hidden * kept.view(shape), *beside)
