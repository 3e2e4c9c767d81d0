"""A small convolutional network for images of digits and the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfergrid.errors import BadInputError
from transfergrid.sources.source import Architecture

if TYPE_CHECKING:
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
        from transfergrid.sources.small_cnn_backbone import SmallCNNBackbone

        self.check()
        return SmallCNNBackbone(self.size, self.channels, tuple(self.widths))
