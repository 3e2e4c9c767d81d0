"""A timm model as a backbone."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor, nn

from transfergrid.errors import BadInputError
from transfergrid.sources import cutting
from transfergrid.sources.backbone import Backbone, Block, Granularity, Inputs
from transfergrid.sources.images import INTERPOLATIONS, ImagePreprocess


class TimmBackbone(Backbone):
    """A timm model without classifier; its blocks are timm's own layer groups."""

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
            size: height and width of its inputs, if not what timm says.
            channels: of its inputs, if not what timm says.
            mean: subtracted from inputs in 0 to 1, a value per channel, if not what timm says.
            std: that they are then divided by, likewise.
        """
        preprocess = image_preprocess(network, size, channels, mean, std)
        super().__init__(network, architecture, preprocess, _head_names(network))
        self.image_shape = (preprocess.channels, *preprocess.size)
        self._blocks: dict[str, list[Block]] = {}
        self._traces: dict[str, cutting.Trace] = {}

    def embed(self, inputs: Inputs) -> Tensor:
        """Return embeddings (batch, dim) of images (batch, channels, height, width)."""
        embeddings: Tensor = self.network(inputs)
        return embeddings

    def example(self, batch: int = 1) -> Tensor:
        """Return black images, as `prepare` would."""
        weight = next(self.parameters())
        return torch.zeros(batch, *self.image_shape, device=weight.device, dtype=weight.dtype)

    def blocks(self, granularity: Granularity = "fine") -> list[Block]:
        """See `Backbone.blocks`."""
        if granularity not in self._blocks:
            self._blocks[granularity] = timm_blocks(self, granularity)
        return list(self._blocks[granularity])

    def prefix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """See `Backbone.prefix`."""
        return cutting.prefix(self, self._trace(granularity), k)

    def suffix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """See `Backbone.suffix`."""
        return cutting.suffix(self, self._trace(granularity), k)

    def _trace(self, granularity: Granularity) -> cutting.Trace:
        if granularity not in self._traces:
            self._traces[granularity] = cutting.trace(self, self.blocks(granularity))
        return self._traces[granularity]

    def __getstate__(self) -> dict[str, Any]:
        """Leave traces out of copies: they refer to the original's modules."""
        return {**self.__dict__, "_traces": {}}


def image_preprocess(
    network: nn.Module,
    size: tuple[int, int] | None,
    channels: int | None,
    mean: Iterable[float] | None = None,
    std: Iterable[float] | None = None,
) -> ImagePreprocess:
    """Return what timm says about a network's inputs, but for what is given."""
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(network)
    interpolation = str(config["interpolation"])
    own_channels, *own_size = config["input_size"]
    channels = channels if channels is not None else own_channels
    height, width = size if size is not None else own_size
    return ImagePreprocess(
        size=(height, width),
        channels=channels,
        mean=_for_channels(mean if mean is not None else config["mean"], channels),
        std=_for_channels(std if std is not None else config["std"], channels),
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bilinear",
    )


def _for_channels(values: Iterable[float], channels: int) -> tuple[float, ...]:
    """Cut per-channel values to fewer channels, or begin again with the first."""
    return tuple(islice(cycle(values), channels))


def timm_blocks(backbone: TimmBackbone, granularity: Granularity) -> list[Block]:
    """Return timm's layer groups, parameters and buffers alike.

    Norms after the last layer, which timm leaves ungrouped, join the last block.

    Raises:
        BadInputError: timm does not say how the model's layers are grouped.
    """
    from timm.models._manipulate import group_with_matcher

    matcher = getattr(backbone.network, "group_matcher", None)
    if matcher is None:
        raise BadInputError(f"timm does not say what the blocks of {backbone.architecture} are")
    parameters = dict(backbone.network.named_parameters())
    buffers = dict(backbone.network.named_buffers())
    named = [(name, name) for name in (*parameters, *buffers)]
    groups = group_with_matcher(iter(named), matcher(coarse=granularity == "coarse"))
    ordered = [groups[key] for key in sorted(groups)]
    if len(ordered) > 1 and all(parameters[n].ndim < 2 for n in ordered[-1] if n in parameters):
        ordered[-2:] = [ordered[-2] + ordered[-1]]
    titles = _titles(ordered)
    return [
        Block(
            title,
            tuple(f"network.{name}" for name in group if name in parameters),
            tuple(f"network.{name}" for name in group if name in buffers),
        )
        for title, group in zip(titles, ordered, strict=True)
    ]


def _titles(groups: list[list[str]]) -> list[str]:
    """Name each group by the shortest module path of its first tensor that no other shares."""
    owners: dict[str, set[int]] = {}
    for i, group in enumerate(groups):
        for name in group:
            for path in _paths(name):
                owners.setdefault(path, set()).add(i)
    own = [[p for p in _paths(group[0]) if len(owners[p]) == 1] for group in groups]
    return ["stem", *(paths[0] for paths in own[1:])]


def _paths(name: str) -> list[str]:
    """Return "a", "a.b" and "a.b.c" for "a.b.c"."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _head_names(network: nn.Module) -> tuple[str, ...]:
    names = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)
