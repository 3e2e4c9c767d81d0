"""Weights from a file, loaded into a named architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transfergrid.sources.source import Architecture, FileSource

if TYPE_CHECKING:
    from transfergrid.data.domain import Domain
    from transfergrid.sources.backbone import Backbone


@dataclass(frozen=True)
class Checkpoint(FileSource):
    """An architecture with the weights of a file.

    Attributes:
        architecture: the architecture that the weights belong to.
        file: the weights: safetensors, or a state dict as .pth, .pt or .bin.
        domain: the labelled domain that the weights were learned on, if available.
        card: their metadata: origin, licence, trained_on; see `cards.Card`.
    """

    architecture: Architecture
    file: str
    domain: Domain | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    def initial(self) -> Backbone:
        """Return the backbone with the file's weights."""
        from transfergrid.sources.files import weights
        from transfergrid.sources.files.remembered import remembered

        file, build = self.file, self.architecture.build
        return remembered(self, file, lambda: weights.load(build(), file))
