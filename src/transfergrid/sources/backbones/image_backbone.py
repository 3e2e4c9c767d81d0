"""Image networks as backbones, whatever library they come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, fx, nn

from transfergrid.data.inputs import Inputs
from transfergrid.sources.backbone import Backbone, Block, Change, Granularity
from transfergrid.sources.backbones import cutting
from transfergrid.sources.backbones.layout import quickest
from transfergrid.sources.preprocessing.images import ImagePreprocess

GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)

fx.wrap("quickest")  # one call in the trace, not traced into


class ImageBackbone(Backbone):
    """A network from images to embeddings that can be traced by torch.fx, and therefore cut.

    Attributes:
        any_layout: whether its layers take tensors in any memory format; `Tensor.view` does not.
    """

    preprocess: ImagePreprocess
    image_shape: tuple[int, int, int]
    any_layout: ClassVar[bool] = True

    def __init__(
        self,
        network: nn.Module,
        architecture: str,
        preprocess: ImagePreprocess,
        head_names: tuple[str, ...] = (),
    ) -> None:
        """Wrap a network without classifier; see `Backbone`."""
        super().__init__(network, architecture, preprocess, head_names)
        self.image_shape = (preprocess.channels, *preprocess.size)
        self._blocks: dict[str, list[Block]] = {}
        self._traces: dict[str, cutting.Trace] = {}
        self._passes: dict[tuple[str, str, torch.device], fx.GraphModule] = {}

    @abstractmethod
    def groups(self, granularity: Granularity) -> list[list[str]]:
        """Return the names of parameters and buffers in `network`, one list per block."""

    def embed(self, inputs: Inputs) -> Tensor:
        """Return embeddings (batch, dim) of images (batch, channels, height, width)."""
        embeddings: Tensor = self.network(quickest(inputs) if self.any_layout else inputs)
        return embeddings

    def example(self, batch: int = 1) -> Tensor:
        """Return black images in the form that `preprocess.prepare` returns."""
        weight = next(self.parameters())
        return torch.zeros(batch, *self.image_shape, device=weight.device, dtype=weight.dtype)

    def blocks(self, granularity: Granularity = "fine") -> list[Block]:
        """See `Backbone.blocks`."""
        if granularity not in self._blocks:
            self._blocks[granularity] = named_blocks(self.network, self.groups(granularity))
        return list(self._blocks[granularity])

    @contextmanager
    def rebuilding(self) -> Iterator[None]:
        """See `Backbone.rebuilding`."""
        before = {g: self.blocks(g) for g in GRANULARITIES}
        yield
        self._blocks = {g: regrouped(self, blocks) for g, blocks in before.items()}
        self._traces, self._passes = {}, {}

    def prefix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """See `Backbone.prefix`."""
        return cutting.prefix(self, self._trace(granularity), k)

    def suffix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """See `Backbone.suffix`."""
        return cutting.suffix(self, self._trace(granularity), k)

    def boundaries(
        self, inputs: Inputs, granularity: Granularity = "coarse"
    ) -> list[tuple[Tensor, ...]]:
        """See `Backbone.boundaries`."""
        found: list[tuple[Tensor, ...]] = self._pass(cutting.whole, granularity)(inputs)
        return found

    def steered(
        self, inputs: Inputs, change: Change, granularity: Granularity = "coarse"
    ) -> Tensor:
        """See `Backbone.steered`."""
        embeddings: Tensor = self._pass(cutting.steered, granularity)(inputs, change)
        return embeddings

    def _pass(
        self, made_by: Callable[[Backbone, cutting.Trace], fx.GraphModule], granularity: Granularity
    ) -> fx.GraphModule:
        """Return a graph module that is made from the trace; made once per device."""
        key = (made_by.__name__, granularity, next(self.parameters()).device)
        if key not in self._passes:
            self._passes[key] = made_by(self, self._trace(granularity))
        return self._passes[key]

    def _trace(self, granularity: Granularity) -> cutting.Trace:
        if granularity not in self._traces:
            self._traces[granularity] = cutting.trace(self, self.blocks(granularity))
        return self._traces[granularity]

    def __getstate__(self) -> dict[str, Any]:
        """Leave traces out of copies, because they refer to the original's modules."""
        return {**self.__dict__, "_traces": {}, "_passes": {}}


class ChildBlocks(ImageBackbone):
    """A network whose child modules with weights are its blocks, in the order of definition."""

    def groups(self, granularity: Granularity) -> list[list[str]]:
        """See `ImageBackbone.groups`; coarse and fine are the same."""
        found = [
            [f"{name}.{own}" for own, _ in (*child.named_parameters(), *child.named_buffers())]
            for name, child in self.network.named_children()
        ]
        return [names for names in found if names]


def for_channels(values: Iterable[float], channels: int) -> tuple[float, ...]:
    """Return one value per channel: the values are cut off, or repeated from the first on."""
    return tuple(islice(cycle(values), channels))


def named_blocks(network: nn.Module, groups: list[list[str]]) -> list[Block]:
    """Return one named block per group of tensors; the first is the stem."""
    parameters = {name for name, _ in network.named_parameters()}
    return [
        Block(
            title,
            tuple(f"network.{name}" for name in group if name in parameters),
            tuple(f"network.{name}" for name in group if name not in parameters),
        )
        for title, group in zip(_titles(groups), groups, strict=True)
    ]


def regrouped(backbone: nn.Module, blocks: list[Block]) -> list[Block]:
    """Return these blocks with the present names of the parameters and buffers.

    A tensor belongs to the block that owned the longest prefix of its path; if several blocks
    owned it, to the last of them.
    """
    owners: dict[str, int] = {}
    for number, block in enumerate(blocks):
        for name in (*block.parameters, *block.buffers):
            owners |= dict.fromkeys(_paths(name), number)

    def own(named: Iterable[tuple[str, Tensor]]) -> list[tuple[str, ...]]:
        found: list[list[str]] = [[] for _ in blocks]
        for name, _ in named:
            inner = next(path for path in reversed(_paths(name)) if path in owners)
            found[owners[inner]].append(name)
        return [tuple(names) for names in found]

    parameters, buffers = own(backbone.named_parameters()), own(backbone.named_buffers())
    titles = [block.name for block in blocks]
    return [Block(*parts) for parts in zip(titles, parameters, buffers, strict=True)]


def _titles(groups: list[list[str]]) -> list[str]:
    """Name each group by the shortest path of its first tensor that no other group shares."""
    owners: dict[str, set[int]] = {}
    for i, group in enumerate(groups):
        for name in group:
            for path in _paths(name):
                owners.setdefault(path, set()).add(i)
    own = [[p for p in _paths(group[0]) if len(owners[p]) == 1] for group in groups]
    return ["stem", *(paths[0] for paths in own[1:])]


def _paths(name: str) -> list[str]:
    """Return all prefixes of a path: "a", "a.b" and "a.b.c" for "a.b.c"."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
