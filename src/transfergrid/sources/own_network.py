"""A user's own plain torch network as a backbone, without any wrapper code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transfergrid.records.arguments import Count, Options, Pixels, Shares
from transfergrid.records.errors import BadInputError, as_line
from transfergrid.sources.source import Architecture

if TYPE_CHECKING:
    from torch import nn

    from transfergrid.sources.backbone import Backbone

WAY = "source.network=MODULE.NAME, a class or function of yours that returns the network"


@dataclass(frozen=True)
class OwnNetwork(Architecture):
    """A network for images that a user's own class or function returns.

    Its last linear layer (or convolution) counts as its classifier and is removed; its blocks are
    found in the same way as those of torchvision's networks.

    Attributes:
        network: `{"_imports_": "my_module.my_function"}`; see `trust` for the reason of this form.
        size: height and width of the inputs in pixels.
        mean: of the images on which its weights were trained, on a scale of 0 to 1, one value or
            one per channel.
        std: the standard deviation, likewise.
        channels: of the inputs.
        options: arguments of the class or function.
    """

    network: Mapping[str, str]
    size: Pixels
    mean: Shares
    std: Shares
    channels: Count = 3
    options: Options = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The dotted name of the class or function."""
        return str(self.network.get("_imports_"))

    @property
    def name(self) -> str:
        """The class's or function's name."""
        return self.target.rpartition(".")[2]

    def build(self) -> Backbone:
        """See `Architecture.build`."""
        from transfergrid.sources.backbones.image_backbone import for_channels
        from transfergrid.sources.backbones.own_backbone import OwnBackbone
        from transfergrid.sources.preprocessing.images import ImagePreprocess

        mean, std = (for_channels(values, self.channels) for values in (self.mean, self.std))
        preprocess = ImagePreprocess((self.size, self.size), self.channels, mean, std, "bilinear")
        text = f"{self.target} {dict(self.options)} {self.size} {self.channels}"
        return OwnBackbone(self._made(), text, preprocess, self.name)

    def _made(self) -> nn.Module:
        from torch import nn

        from transfergrid.records.factory import locate

        made_by = locate(self.target)
        try:
            made = made_by(**self.options)
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            reason = as_line(error)
            raise BadInputError(
                f"{self.target} cannot be called with {dict(self.options)}: {reason}; its "
                "arguments are source.architecture.options={key: value}"
            ) from error
        if not isinstance(made, nn.Module):
            raise BadInputError(f"{self.target} returns no torch network: give {WAY}")
        return made
