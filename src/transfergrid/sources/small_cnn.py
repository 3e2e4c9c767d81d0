"""A small convolutional network for images of digits and the like."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfergrid.records.errors import BadInputError
from transfergrid.sources.source import Architecture

if TYPE_CHECKING:
    from torch import nn

    from transfergrid.sources.backbone import Backbone

SMALLEST = 16


@dataclass(frozen=True)
class SmallCNN(Architecture):
    """Two convolutions and a hidden layer: the network for MNIST of Ganin et al. 2016, figure 4a.

    Attributes:
        size: of the square inputs in pixels.
        channels: of the inputs.
        widths: of the two convolutions and of the hidden layer; the last is the embedding's.
    """

    size: int = 28
    channels: int = 3
    widths: tuple[int, ...] = (32, 48, 100)

    @property
    def name(self) -> str:
        """Always the same."""
        return "small_cnn"

    def check(self) -> None:
        """See `Architecture.check`."""
        counts = (self.size, self.channels, *self.widths)
        whole = all(type(count) is int and count > 0 for count in counts)
        if not whole or len(self.widths) != 3 or self.size < SMALLEST:
            raise BadInputError(
                f"small_cnn takes a size from {SMALLEST}, channels and three widths, not "
                f"size={self.size}, channels={self.channels}, widths={list(self.widths)}"
            )

    def build(self) -> Backbone:
        """See `Architecture.build`."""
        from transfergrid.sources.backbones.image_backbone import ChildBlocks
        from transfergrid.sources.preprocessing.images import ImagePreprocess

        self.check()
        half = (0.5,) * self.channels
        preprocess = ImagePreprocess((self.size, self.size), self.channels, half, half, "bilinear")
        text = f"small_cnn {self.size} {self.channels} {list(self.widths)}"
        made = ChildBlocks(self._network(), text, preprocess)
        made.ways = {k: f"source.architecture.{k}={{}}" for k in ("size", "channels")}
        return made

    def _network(self) -> nn.Module:
        from torch import nn

        first, second, hidden = self.widths
        side = ((self.size - 4) // 2 - 4) // 2
        parts = {
            "conv1": [nn.Conv2d(self.channels, first, 5), nn.ReLU(), nn.MaxPool2d(2)],
            "conv2": [nn.Conv2d(first, second, 5), nn.ReLU(), nn.MaxPool2d(2)],
            "hidden": [nn.Flatten(), nn.Linear(second * side * side, hidden), nn.ReLU()],
        }
        return nn.Sequential(OrderedDict((k, nn.Sequential(*v)) for k, v in parts.items()))
