"""A small convolutional network for images of digits and the like."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Len, Unit, doc

from transfergrid.records.arguments import Count
from transfergrid.sources.source import Architecture

if TYPE_CHECKING:
    from torch import nn

    from transfergrid.sources.backbone import Backbone


@dataclass(frozen=True)
class SmallCNN(Architecture):
    """Two convolutions and a hidden layer: the network for MNIST of Ganin et al. 2016, figure 4a.

    Attributes:
        size: height and width of the inputs in pixels.
        channels: of the inputs.
        widths: of the two convolutions and of the hidden layer, which is the embedding.
    """

    size: Annotated[int, Ge(16), Unit("pixels")] = 28
    channels: Count = 3
    widths: Annotated[Sequence[Count], Len(3, 3), doc("three widths")] = (32, 48, 100)

    @property
    def name(self) -> str:
        """The name of this architecture."""
        return "small_cnn"

    def build(self) -> Backbone:
        """See `Architecture.build`."""
        from transfergrid.sources.backbones.image_backbone import ChildBlocks
        from transfergrid.sources.preprocessing.images import ImagePreprocess

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
