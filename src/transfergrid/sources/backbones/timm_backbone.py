"""A timm model as a backbone."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from torch import nn

from transfergrid.records.errors import BadInputError
from transfergrid.sources.backbone import Granularity
from transfergrid.sources.backbones.image_backbone import ImageBackbone, for_channels
from transfergrid.sources.preprocessing.images import INTERPOLATIONS, ImagePreprocess


class TimmBackbone(ImageBackbone):
    """A timm model without classifier; its blocks are timm's own layer groups."""

    ways = MappingProxyType(
        {
            "size": "source.architecture.size={}",
            "channels": "'source.architecture.options={{in_chans: {}}}'",
        }
    )

    def __init__(
        self,
        network: nn.Module,
        architecture: str,
        size: tuple[int, int] | None = None,
        channels: int | None = None,
        mean: Iterable[float] | None = None,
        std: Iterable[float] | None = None,
    ) -> None:
        """Wrap a network that was made with `num_classes=0`.

        Args:
            network: timm's.
            architecture: see `Backbone`.
            size: height and width of its inputs; None: as timm says.
            channels: of its inputs; None: as timm says.
            mean: subtracted from inputs in 0 to 1, a value per channel; None: as timm says.
            std: the divisor after that, likewise.
        """
        preprocess = image_preprocess(network, size, channels, mean, std)
        super().__init__(network, architecture, preprocess, _head_names(network))

    def groups(self, granularity: Granularity) -> list[list[str]]:
        """Return timm's layer groups, parameters and buffers alike.

        Norms after the last layer, which timm leaves ungrouped, join the last block.

        Raises:
            BadInputError: timm does not say how the model's layers are grouped.
        """
        from timm.models._manipulate import group_with_matcher

        matcher = getattr(self.network, "group_matcher", None)
        if matcher is None:
            raise BadInputError(f"timm does not say what the blocks of {self.architecture} are")
        parameters = dict(self.network.named_parameters())
        named = [(name, name) for name in (*parameters, *dict(self.network.named_buffers()))]
        groups = group_with_matcher(iter(named), matcher(coarse=granularity == "coarse"))
        ordered = [groups[key] for key in sorted(groups)]
        if len(ordered) > 1 and all(parameters[n].ndim < 2 for n in ordered[-1] if n in parameters):
            ordered[-2:] = [ordered[-2] + ordered[-1]]
        return ordered


def image_preprocess(
    network: nn.Module,
    size: tuple[int, int] | None,
    channels: int | None,
    mean: Iterable[float] | None = None,
    std: Iterable[float] | None = None,
) -> ImagePreprocess:
    """Return the preprocessing that timm states for a network, with given values replaced."""
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(network)
    interpolation = str(config["interpolation"])
    own_channels, *own_size = config["input_size"]
    channels = channels if channels is not None else own_channels
    height, width = size if size is not None else own_size
    return ImagePreprocess(
        size=(height, width),
        channels=channels,
        mean=for_channels(mean if mean is not None else config["mean"], channels),
        std=for_channels(std if std is not None else config["std"], channels),
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bilinear",
    )


def _head_names(network: nn.Module) -> tuple[str, ...]:
    names = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)
