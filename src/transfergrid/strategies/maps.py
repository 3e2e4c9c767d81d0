"""Hidden states between a network's blocks, brought to one layout: channels at places."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs
from transfergrid.sources.backbone import Backbone, Granularity, evaluating, last_module


class Map(NamedTuple):
    """A hidden state as channels at places (pixels of a feature map, or tokens).

    Attributes:
        values: (batch, channels, places).
        real: (batch, 1, places): 0 where a place is padding, else 1.
    """

    values: Tensor
    real: Tensor


def channel_axes(backbone: Backbone, granularity: Granularity = "coarse") -> tuple[int, ...]:
    """Return the channel axis of each hidden state that `boundaries` lists.

    A forward pass determines them on the first call; later calls use the cached result.

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
    """Return the widths of the layers in a block's last module, and the last layer's channel axis.

    The axis is that of a four-dimensional hidden state; None where the layer does not tell it.
    """
    layers = [m for m in end.modules() if [*m.parameters(recurse=False)]] if end else []
    widths = {p.shape[0] for m in layers for p in m.parameters(recurse=False) if p.ndim}
    if not layers:
        return widths, None
    # LayerNorm itself normalises the last axis; its subclasses may normalise the second one.
    if type(layers[-1]) is nn.LayerNorm:
        return widths, 3
    if isinstance(layers[-1], nn.Conv2d | nn.BatchNorm2d):
        return widths, 1
    convolves = any(isinstance(layer, nn.Conv2d) for layer in layers)
    return widths, 3 if isinstance(layers[-1], nn.Linear) and not convolves else None


def channel_axis(hidden: Tensor, widths: Collection[int] = (), usual: int | None = None) -> int:
    """Return which axis of a hidden state holds channels.

    It is the last axis of tokens (batch, tokens, channels) and embeddings (batch, channels).
    Feature maps are (batch, channels, height, width); some vision transformers put channels last.
    For a map there are two hints: the axis whose length is the width of a layer, and `usual`. Where
    they disagree or there is none, it is the last axis if the other two are equally long, else the
    second.

    Args:
        hidden: the output of a block.
        widths: widths of the block's layers.
        usual: the channel axis of the block's last layer; None if unknown.
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
        inputs: the network's inputs; those of texts say which tokens are padding.
        axis: the channel axis; None: derived from the shape.
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
    """Return copies of a boundary, one per channel, in each of which that channel is set to 0.

    Args:
        boundary: hidden states of a batch.
        channels: indices of the channels, (c,).
        axis: the channel axis; None: derived from the shape.

    Returns:
        A boundary with c times as many rows; the rows of the first channel come first.
    """
    hidden, *beside = (part.repeat(len(channels), *[1] * (part.ndim - 1)) for part in boundary)
    axis = channel_axis(hidden) if axis is None else axis
    size = hidden.shape[axis]
    off = channels.repeat_interleave(len(boundary[0])).unsqueeze(1)
    kept = torch.arange(size, device=hidden.device) != off  # (rows, channels)
    shape = [len(hidden), *(size if i == axis else 1 for i in range(1, hidden.ndim))]
    return (hidden * kept.view(shape), *beside)
