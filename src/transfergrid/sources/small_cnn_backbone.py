"""The small convolutional network as a backbone: three blocks, one after another."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from transfergrid.errors import BadInputError
from transfergrid.sources.backbone import Backbone, Block, Granularity, Inputs
from transfergrid.sources.images import ImagePreprocess

BLOCKS = ("conv1", "conv2", "hidden")


class SmallCNNBackbone(Backbone):
    """conv 5x5, pool, conv 5x5, pool, hidden layer; ReLU after each."""

    def __init__(self, size: int, channels: int, widths: tuple[int, ...]) -> None:
        first, second, hidden = widths
        side = ((size - 4) // 2 - 4) // 2
        network = nn.Sequential()
        network.add_module(BLOCKS[0], _convolution(channels, first))
        network.add_module(BLOCKS[1], _convolution(first, second))
        flat = nn.Linear(second * side * side, hidden)
        network.add_module(BLOCKS[2], nn.Sequential(nn.Flatten(), flat, nn.ReLU()))
        half = (0.5,) * channels
        preprocess = ImagePreprocess((size, size), channels, half, half, "bilinear")
        super().__init__(network, f"small_cnn {size} {channels} {list(widths)}", preprocess)
        self.image_shape = (channels, size, size)

    def embed(self, inputs: Inputs) -> Tensor:
        """Return embeddings (batch, dim) of images (batch, channels, height, width)."""
        return cast(Tensor, self.network(inputs))

    def example(self, batch: int = 1) -> Tensor:
        """Return black images, as `prepare` would."""
        return torch.zeros(batch, *self.image_shape, device=next(self.parameters()).device)

    def blocks(self, granularity: Granularity = "fine") -> list[Block]:
        """See `Backbone.blocks`; coarse and fine are the same."""
        return [
            Block(name, tuple(f"network.{name}.{p}" for p, _ in part.named_parameters()), ())
            for name, part in self.network.named_children()
        ]

    def prefix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """See `Backbone.prefix`."""
        return _Prefix(*self._parts(k)[:k])

    def suffix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """See `Backbone.suffix`."""
        return _Suffix(*self._parts(k)[k:])

    def _parts(self, k: int) -> list[nn.Module]:
        if not 0 <= k <= len(BLOCKS):
            raise BadInputError(f"cannot cut before block {k}: there are {len(BLOCKS)}")
        return list(self.network.children())


class _Prefix(nn.Sequential):
    def forward(self, inputs: Inputs) -> tuple[Tensor, ...]:
        return (cast(Tensor, super().forward(inputs)),)


class _Suffix(nn.Sequential):
    def forward(self, boundary: tuple[Tensor, ...]) -> Tensor:
        return cast(Tensor, super().forward(boundary[0]))


def _convolution(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 5), nn.ReLU(), nn.MaxPool2d(2))
