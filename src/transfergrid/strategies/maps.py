"""What crosses a cut of a network, as channels at places: whatever the network is made of."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs
from transfergrid.sources.backbone import Backbone, Granularity, evaluating, last_module


class Map(NamedTuple):
    """A hidden state as channels at places.

    Attributes:
        values: (batch, channels, places).
        real: (batch, 1, places), 1 where a place is no padding and else 0.
    """

    values: Tensor
    real: Tensor


def channel_axes(backbone: Backbone, granularity: Granularity = "coarse") -> tuple[int, ...]:
    """Return which axis holds channels of what crosses each cut, as `boundaries` lists them.

    It is measured by a forward pass when first asked for.

    Raises:
        BadInputError: the network cannot be cut.
    """
    if granularity not in backbone.channel_axes:
        with evaluating(backbone), torch.no_grad():
            crossing = backbone.boundaries(backbone.example(2), granularity)
        backbone.channel_axes[granularity] = tuple(
            channel_axis(boundary[0], *told_by(last_module(backbone, block)))
            for boundary, block in zip(crossing, backbone.blocks(granularity), strict=True)
        )
    return backbone.channel_axes[granularity]


def told_by(end: nn.Module | None) -> tuple[set[int], int | None]:
    """Return how wide layers of the module that ends a block are, and of which axis the last is."""
    layers = [m for m in end.modules() if [*m.parameters(recurse=False)]] if end else []
    widths = {p.shape[0] for m in layers for p in m.parameters(recurse=False) if p.ndim}
    if not layers:
        return widths, None
    # LayerNorm itself is of the last axis, where those made of it may be of the second one.
    if type(layers[-1]) is nn.LayerNorm:
        return widths, 3
    if isinstance(layers[-1], nn.Conv2d | nn.BatchNorm2d):
        return widths, 1
    convolves = any(isinstance(layer, nn.Conv2d) for layer in layers)
    return widths, 3 if isinstance(layers[-1], nn.Linear) and not convolves else None


def channel_axis(hidden: Tensor, widths: Collection[int] = (), usual: int | None = None) -> int:
    """Return which axis of a hidden state holds channels.

    Maps are (batch, channels, height, width), in some transformers of images with channels last;
    tokens (batch, tokens, channels), embeddings (batch, channels). Of a map it is the axis that is
    as long as layers are wide, and the usual one; where these are two or none, the last one if the
    others are alike, and else the second.

    Args:
        hidden: what comes out of a block.
        widths: of the block's layers.
        usual: of which axis the block's last layer is; None: that cannot be told.
    """
    if hidden.ndim != 4:
        return hidden.ndim - 1
    _, second, high, wide = hidden.shape
    told = set() if usual is None else {usual}
    if (second in widths) != (wide in widths):
        told.add(1 if second in widths else 3)
    if len(told) == 1:
        return told.pop()
    return 3 if second == high != wide else 1


def as_map(hidden: Tensor, inputs: Inputs, axis: int | None = None) -> Map:
    """Return a hidden state as channels at places.

    Args:
        hidden: the first tensor of a boundary.
        inputs: of the network; of texts they say which tokens are padding.
        axis: that holds channels; None: the one that its shape tells.
    """
    values = hidden.movedim(channel_axis(hidden) if axis is None else axis, 1)
    values = values.unsqueeze(2) if values.ndim == 2 else values.flatten(2)
    mask = inputs.get("attention_mask") if isinstance(inputs, dict) else None
    shape = (len(values), values.shape[2])
    if mask is None or tuple(mask.shape) != shape:
        return Map(values, values.new_ones(shape).unsqueeze(1))
    return Map(values, mask.to(values.dtype).unsqueeze(1))


def silenced(
    boundary: tuple[Tensor, ...], channels: Tensor, axis: int | None = None
) -> tuple[Tensor, ...]:
    """Return a boundary once for each channel, in which that channel is 0 everywhere.

    Args:
        boundary: of a batch.
        channels: numbers of them, (c,).
        axis: that holds channels; None: the one that its shape tells.

    Returns:
        A boundary of c times as many rows, all of the first channel's first.
    """
    hidden, *beside = (part.repeat(len(channels), *[1] * (part.ndim - 1)) for part in boundary)
    axis = channel_axis(hidden) if axis is None else axis
    size = hidden.shape[axis]
    off = channels.repeat_interleave(len(boundary[0])).unsqueeze(1)
    kept = torch.arange(size, device=hidden.device) != off  # (rows, channels)
    shape = [len(hidden), *(size if i == axis else 1 for i in range(1, hidden.ndim))]
    return (hidden * kept.view(shape), *beside)
