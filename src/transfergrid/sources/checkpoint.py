"""Weights from a file, put into a named architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from transfergrid.sources.source import Architecture, Maker, Source

if TYPE_CHECKING:
    from transfergrid.data.domain import Domain
    from transfergrid.sources.backbone import Backbone


@dataclass(frozen=True)
class Checkpoint(Source):
    """An architecture with the weights of a file.

    Attributes:
        architecture: what the weights are for.
        file: safetensors, or a state dict as .pth, .pt or .bin.
        domain: the labelled domain that they were learned on, if it is at hand.
    """

    architecture: Architecture
    file: str
    domain: Domain | None = None

    paths: ClassVar[tuple[str, ...]] = ("file",)

    def initial(self) -> Backbone:
        """Return the backbone with the file's weights, the only ones there are."""
        from transfergrid.sources import weights

        return weights.load(self.architecture.build(), self.file)

    def load(self, maker: Maker, block_seed: int) -> Backbone:
        """See `Source.load`; every block gets the same weights."""
        return self.initial()

    def check(self) -> None:
        """See `Source.check`."""
        from transfergrid.sources import weights

        super().check()
        weights.check_file(self.file)
