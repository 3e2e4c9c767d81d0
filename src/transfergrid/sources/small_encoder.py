"""A small network that takes the inputs of another network, beside which it is used."""

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
    """An encoder that takes the same images, tokens or vectors as the network beside it.

    For images: convolutions of stride 2 until the feature map is at most 4 wide, then its mean. For
    texts: the same tokens with new embeddings, one convolution over three tokens, and the maximum
    of each channel (Kim 2014). For vectors: one dense layer. It has no batch normalisation, so an
    embedding does not depend on other examples.

    Attributes:
        width: of the embedding.
    """

    width: Count = 64

    @property
    def name(self) -> str:
        """The name of this architecture."""
        return "small_encoder"

    def build(self) -> Backbone:
        """Raise an error, because only the network beside it determines its inputs.

        Raises:
            BadInputError: always.
        """
        raise BadInputError("small_encoder stands beside another network and has no own inputs")

    def beside(self, other: Backbone) -> Backbone:
        """See `Architecture.beside`."""
        from transfergrid.sources.backbones.small_backbone import SmallBackbone

        return SmallBackbone.beside(other, self.width)
