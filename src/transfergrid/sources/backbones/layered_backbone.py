"""Models of the library transformers as backbones, for texts or images; `layers` cuts them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from transfergrid.data.inputs import Inputs, Preprocess
from transfergrid.records.errors import BadInputError
from transfergrid.sources.backbone import Backbone, Block, Change, Granularity, evaluating
from transfergrid.sources.backbones import layers


class LayeredBackbone(Backbone):
    """A model that calls one layer after another; its fine and coarse blocks are the same."""

    def __init__(
        self,
        network: nn.Module,
        architecture: str,
        preprocess: Preprocess,
        embedding: Callable[[Any, tuple[Tensor, ...]], Tensor],
        head_names: tuple[str, ...] = (),
    ) -> None:
        """Wrap a network.

        Args:
            network: of transformers, without a head.
            architecture: see `Backbone`.
            preprocess: see `Backbone`.
            embedding: returns embeddings from the network's output and its inputs as a tuple.
            head_names: see `Backbone`.
        """
        super().__init__(network, architecture, preprocess, head_names)
        self.embedding = embedding
        self._layout: layers.Layout | None = None
        self._proven: set[int] = set()

    @abstractmethod
    def unpacked(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """Return inputs as a tuple of tensors: the boundary before block 0."""

    @abstractmethod
    def arguments(self, parts: tuple[Tensor, ...]) -> dict[str, Any]:
        """Return the network's keyword arguments for inputs that are given as a tuple."""

    @abstractmethod
    def beside(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the inputs that are needed after a cut, in addition to the hidden state."""

    @abstractmethod
    def restored(self, hidden: Tensor, kept: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return inputs of the right shape for the network after a cut, from what `beside` kept."""

    @abstractmethod
    def sample(self, number: int) -> Inputs:
        """Return a batch of two examples, with other contents for each number."""

    def embed(self, inputs: Inputs) -> Tensor:
        """Return embeddings (batch, dim)."""
        parts = self.unpacked(inputs)
        return self.embedding(self.network(**self.arguments(parts)), parts)

    @property
    def layout(self) -> layers.Layout:
        """Its layers, found by a forward pass when first asked for."""
        if self._layout is None:
            config = self.network.config
            counts = [getattr(config, "num_hidden_layers", None), len(_depths(config))]
            self._layout = layers.lay_out(
                self.network,
                [n for n in counts if isinstance(n, int) and n > 0],
                lambda network, i: network(**self.arguments(self.unpacked(self.sample(i)))),
            )
        return self._layout

    def blocks(self, granularity: Granularity = "fine") -> list[Block]:
        """See `Backbone.blocks`."""
        return layers.blocks(self, self.layout)

    @contextmanager
    def rebuilding(self) -> Iterator[None]:
        """See `Backbone.rebuilding`."""
        assert self.layout.n_blocks  # find the layout before anything changes
        yield
        self._proven = set()

    def prefix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """See `Backbone.prefix`."""
        self._check_cut(k)
        return Prefix(self, k)

    def suffix(self, k: int, granularity: Granularity = "fine") -> nn.Module:
        """See `Backbone.suffix`."""
        self._check_cut(k)
        return Suffix(self, k)

    def boundaries(
        self, inputs: Inputs, granularity: Granularity = "coarse"
    ) -> list[tuple[Tensor, ...]]:
        """See `Backbone.boundaries`."""
        parts = self.unpacked(inputs)
        with layers.noted(self.network, self.layout) as hidden:
            output = self.network(**self.arguments(parts))
        beside = self.beside(parts)
        return [*((state, *beside) for state in hidden), (self.embedding(output, parts),)]

    def steered(
        self, inputs: Inputs, change: Change, granularity: Granularity = "coarse"
    ) -> Tensor:
        """See `Backbone.steered`."""
        parts = self.unpacked(inputs)
        with layers.steered(self.network, self.layout, change):
            output = self.network(**self.arguments(parts))
        return self.embedding(output, parts)

    def _check_cut(self, k: int) -> None:
        """Raise unless a cut before block `k` is possible and leaves the embeddings unchanged."""
        if not 0 <= k <= self.layout.n_blocks:
            raise BadInputError(f"cannot cut before block {k}: there are {self.layout.n_blocks}")
        if k in self._proven:
            return
        inputs = self.sample(0)
        with evaluating(self), torch.inference_mode(False), torch.no_grad():
            whole = self.embed(inputs)
            joined = Suffix(self, k)(Prefix(self, k)(inputs))
        if not torch.equal(whole, joined):
            raise BadInputError(f"{self.architecture} cannot be cut before block {k}")
        self._proven.add(k)


def _depths(config: Any) -> list[int]:
    return list(getattr(config, "depths", None) or [])


class Prefix(nn.Module):
    """The part before a block; it shares its modules with the backbone."""

    def __init__(self, backbone: LayeredBackbone, k: int) -> None:
        super().__init__()
        self._backbone = (backbone,)  # in a tuple: not registered as a submodule
        self.k, self.last = k, k == backbone.layout.n_blocks
        if 0 < k < backbone.layout.n_blocks:
            self.network = layers.head_of(backbone.network, backbone.layout, k)
        elif self.last:
            self.network = backbone.network
        self.training = backbone.training

    def forward(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """Return the boundary."""
        (backbone,) = self._backbone
        parts = backbone.unpacked(inputs)
        if self.k == 0:
            return parts
        try:
            output = self.network(**backbone.arguments(parts))
        except layers.Reached as reached:
            return (reached.hidden, *backbone.beside(parts))
        assert self.last
        return (backbone.embedding(output, parts),)


class Suffix(nn.Module):
    """The part from a block on; it shares its modules with the backbone."""

    def __init__(self, backbone: LayeredBackbone, k: int) -> None:
        super().__init__()
        self._backbone = (backbone,)  # in a tuple: not registered as a submodule
        self.k, self.last = k, k == backbone.layout.n_blocks
        self.slot = layers.Slot()
        if k == 0:
            self.network = backbone.network
        elif not self.last:
            self.network, self.slot = layers.tail_of(backbone.network, backbone.layout, k)
        self.training = backbone.training

    def forward(self, boundary: tuple[Tensor, ...]) -> Tensor:
        """Return embeddings (batch, dim)."""
        if self.last:
            return boundary[0]
        (backbone,) = self._backbone
        parts = boundary
        if self.k > 0:
            self.slot.hidden = boundary[0]
            parts = backbone.restored(boundary[0], boundary[1:])
        try:
            return backbone.embedding(self.network(**backbone.arguments(parts)), parts)
        finally:
            self.slot.hidden = None
