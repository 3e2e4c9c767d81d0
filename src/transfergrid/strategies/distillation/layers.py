"""The layers of two networks, in a form in which they can be compared.

A layer is the output of a coarse block of a backbone, brought to maps (batch, channels, height,
width). Those of convolutions stay as they are. A transformer's tokens of an image become the grid
of its patches, without the tokens before them. Tokens of a text become (batch, width, tokens, 1),
zero at padding. Vectors become maps with one place.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.sources.backbone import Backbone, evaluating
from transfergrid.strategies import maps

LayerName = int | str
"""A coarse block, by its number from 1 at the input, or by its name."""


def count_of(backbone: Backbone) -> int:
    """Return the number of layers of a backbone; the last block's output, the embeddings, is none.

    Raises:
        ImpossibleError: the backbone has no layer.
    """
    count = len(backbone.blocks("coarse")) - 1
    if count < 1:
        raise ImpossibleError(f"{backbone.title} has one block, so that no layer lies within it")
    return count


def number_of(backbone: Backbone, told: LayerName, key: str) -> int:
    """Return the number of a layer.

    Args:
        backbone: the backbone that has the layer.
        told: the layer's number or name.
        key: the argument that it was given as, for messages.

    Raises:
        BadInputError: there is no such layer.
    """
    count = count_of(backbone)
    names = [block.name for block in backbone.blocks("coarse")][:count]
    number = names.index(told) + 1 if told in names else told
    if not isinstance(number, int) or not 1 <= number <= count:
        shown = ", ".join(f"{i} {name}" for i, name in enumerate(names, 1))
        raise BadInputError(f"strategy.{key}={told}: the layers of {backbone.title} are {shown}")
    return number


def layers_of(backbone: Backbone, inputs: Inputs) -> tuple[list[Tensor], Tensor]:
    """Return all layers as maps, and the embeddings (batch, dim), in one forward pass."""
    found = backbone.boundaries(inputs, "coarse")
    layers = zip(found[:-1], maps.channel_axes(backbone), strict=False)
    return [as_map(part[0], inputs, axis) for part, axis in layers], found[-1][0]


def shapes_of(backbone: Backbone) -> list[tuple[int, int, int]]:
    """Return channels, height and width of each layer, measured on an example input.

    For texts the height is a number of tokens, which varies between inputs.
    """
    with evaluating(backbone), torch.no_grad():
        layers, _ = layers_of(backbone, backbone.example())
    return [(part.shape[1], part.shape[2], part.shape[3]) for part in layers]


def as_map(layer: Tensor, inputs: Inputs, axis: int | None = None) -> Tensor:
    """Return the output of a block as maps (batch, channels, height, width).

    Args:
        layer: the block's output.
        inputs: inputs of the network.
        axis: the channel axis; None: inferred from the layer's shape.

    Raises:
        ImpossibleError: the output has no known form.
    """
    if layer.ndim == 2:
        return layer[:, :, None, None]
    if isinstance(inputs, dict) and layer.ndim == 3:
        tokens = maps.as_map(layer, inputs)
        return (tokens.values * tokens.real).unsqueeze(-1)
    if isinstance(inputs, Tensor) and layer.ndim == 3:
        return _grid(layer, inputs.shape[-2] / inputs.shape[-1])
    if isinstance(inputs, Tensor) and layer.ndim == 4:
        return layer.movedim(maps.channel_axis(layer) if axis is None else axis, 1)
    raise ImpossibleError(f"a layer of shape {tuple(layer.shape)} is neither maps nor tokens")


def _grid(tokens: Tensor, aspect: float) -> Tensor:
    """Return the last tokens (batch, tokens, width) as the grid of an image's patches.

    Args:
        tokens: patch tokens row by row, after other tokens such as a class token.
        aspect: height over width of the image.
    """
    high = max(1, math.isqrt(int(tokens.shape[1] * aspect)))
    wide = min(max(1, round(high / aspect)), tokens.shape[1] // high)
    patches = tokens[:, tokens.shape[1] - high * wide :]
    return patches.transpose(1, 2).reshape(len(patches), -1, high, wide)


def resized(found: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps averaged to another size, (batch, channels, *size)."""
    return found if found.shape[2:] == size else nn.functional.adaptive_avg_pool2d(found, size)


def smaller(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int]:
    """Return the smaller height and the smaller width of two shapes."""
    return min(one[1], other[1]), min(one[2], other[2])
