"""A small network for the inputs of another one, which it stands beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfergrid.records.arguments import Count
from transfergrid.records.errors import BadInputError
from transfergrid.sources.source import Architecture

if TYPE_CHECKING:
    from transfergrid.sources.backbone import Backbone


@dataclass(frozen=True)
class SmallEncoder(Architecture):
    """An encoder that takes whatever images, tokens or vectors the network beside it takes.

    Of images: convolutions of stride 2 until their map is no more than 4 wide, then its mean. Of
    texts: the same tokens embedded anew, one convolution over three neighbours, the highest value
    of each channel (Kim 2014). Of vectors: one dense layer. No norm in it looks at other examples.

    Attributes:
        width: of the embedding.
    """

    width: Count = 64

    @property
    def name(self) -> str:
        """Always the same."""
        return "small_encoder"

    def build(self) -> Backbone:
        """Raise: what its inputs are is said by the network beside it.

        Raises:
            BadInputError: always.
        """
        raise BadInputError("small_encoder stands beside another network and has no own inputs")

    def beside(self, other: Backbone) -> Backbone:
        """See `Architecture.beside`."""
        from transfergrid.sources.backbones.small_backbone import SmallBackbone

        return SmallBackbone.beside(other, self.width)
