"""A user's own network as a backbone."""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar

from torch import nn

from transfergrid.sources.backbones.torchvision_backbone import TorchvisionBackbone
from transfergrid.sources.preprocessing.images import ImagePreprocess


class OwnBackbone(TorchvisionBackbone):
    """A plain torch network without its classifier; see `TorchvisionBackbone`."""

    former_names: ClassVar[tuple[tuple[str, str], ...]] = ()
    any_layout = False
    ways = MappingProxyType(
        {
            "size": "source.size={}",
            "channels": "source.architecture.channels={}",
        }
    )

    def __init__(
        self, network: nn.Module, architecture: str, preprocess: ImagePreprocess, name: str
    ) -> None:
        """Remove the classifier of a network, and wrap the rest."""
        super().__init__(network, architecture, preprocess)
        self.title = name
