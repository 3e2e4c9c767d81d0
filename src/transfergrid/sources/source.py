"""Architectures and sources: descriptions from which a backbone is built.

This module does not import torch, so that a plan can be made and checked without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from transfergrid.records.component import Component
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.sources.cards import Card

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transfergrid.data.domain import Domain
    from transfergrid.sources.backbone import Backbone


class Architecture(Component, ABC):
    """A backbone without its weights."""

    modality: ClassVar[str] = "image"
    """The kind of its inputs, "image", "text" or "vector", as in `Domain.modality`."""
    embeds_texts: ClassVar[bool] = False
    """Whether a network of images also embeds texts into the same space, as CLIP does."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name for tables."""

    @abstractmethod
    def build(self) -> Backbone:
        """Return the backbone with random weights, drawn from torch's global generator.

        Raises:
            BadInputError: there is no such architecture, or not with these options.
        """

    def beside(self, other: Backbone) -> Backbone:
        """Return the backbone with random weights, checked to take another network's inputs.

        Raises:
            BadInputError: it takes other inputs, or cannot be built.
        """
        made = self.build()
        if made.preprocess != other.preprocess:
            raise BadInputError(
                f"{self.name} stands beside {other.title} and must take the same inputs, which are "
                f"{other.preprocess}, and its own {made.preprocess}: set its size, mean and std"
            )
        return made

    def moved(self, folder: Path) -> Architecture:
        """Copy the files that it needs into a new folder; return the architecture that uses those.

        An architecture that a name and plain values describe needs no files and returns itself.
        """
        return self

    def check(self) -> None:
        """Raise what `build` would raise for a wrong name; imports the architecture's library.

        Raises:
            BadInputError: there is no such architecture.
        """


class Maker(Protocol):
    """Trains each source once, and loads the stored weights for every later cell."""

    def trained(self, source: TrainedSource, seed: int) -> Mapping[str, Tensor]:
        """Return the state dict of the source's backbone, trained under this seed."""

    def trained_head(self, source: TrainedSource, seed: int) -> Mapping[str, Tensor]:
        """Return the state dict of the head trained with the backbone, a linear layer."""

    def begun(self, source: TrainedSource, seed: int) -> Backbone:
        """Return the network from which this source's training started, under this seed.

        Raises:
            BadInputError: the network differs from the one that the training has recorded.
        """


class Source(Component, ABC):
    """An architecture with weights and, if known, the domain that these were learned on."""

    group: ClassVar[str] = "source"
    made_here: ClassVar[bool] = False
    """Whether this program may have to train its weights, so that `load` needs a maker."""
    knows: ClassVar[bool] = True
    """Whether it has knowledge to transfer; a placebo has none."""
    labelled: ClassVar[bool] = True
    """Whether it learned from labels of its domain, if it has one."""

    if TYPE_CHECKING:  # fields of subclasses; a dataclass would take these properties as defaults

        @property
        def architecture(self) -> Architecture:
            """The architecture of its backbone."""

        @property
        def domain(self) -> Domain | None:
            """Its labelled source domain, if known."""

    @abstractmethod
    def initial(self) -> Backbone:
        """Return the backbone as it was before its training on the source domain."""

    @abstractmethod
    def load(self, maker: Maker, block_seed: int) -> Backbone:
        """Return the backbone with its weights.

        Args:
            maker: trains sources that this program trains, or loads their stored weights.
            block_seed: of the seed block, for sources that are trained anew in each block.

        Raises:
            BadInputError: the weights cannot be obtained or do not fit.
        """

    def each(self, maker: Maker, block_seed: int) -> tuple[Backbone, Sequence[Backbone]]:
        """Return the common start of several sources, and each source's network.

        The networks are in the order of the source domains.

        Args:
            maker: see `load`.
            block_seed: see `load`.

        Raises:
            BadInputError: the sources did not start from the same weights.
            ImpossibleError: they were not trained by this program, so their start is unknown.
        """
        raise ImpossibleError(
            "it merges weights of several sources that began with the same weights, which is known "
            "of those alone that are trained here: source=trained_here target@source.domain=[A,B]"
        )

    def head(self, backbone: Backbone, maker: Maker, block_seed: int) -> nn.Module:
        """Return the head that was learned with the weights, from embeddings to class scores.

        Its outputs are in the order of the classes that the weights were learned on.

        Args:
            backbone: what `load` returned.
            maker: see `load`.
            block_seed: see `load`.

        Raises:
            ImpossibleError: the weights came without a head, or the head is not one linear layer.
            BadInputError: it has another number of outputs than the source domain has.
        """
        from transfergrid.sources.files import heads

        found = heads.linear(backbone.head_weights, backbone.dim)
        if found is None:
            raise ImpossibleError(
                f"{backbone.title}: its weights came without a classifier that is one linear layer "
                "on its embeddings, and the strategy needs the source's own: give weights with "
                "their classifier, or a source that is trained here"
            )
        self._check_outputs(found.out_features)
        return found

    def _check_outputs(self, outputs: int) -> None:
        domain = self.domain
        known = (domain.classes or domain.outputs) if domain is not None else None
        if known is not None and len(known) != outputs:
            raise BadInputError(
                f"the source's own classifier tells {outputs} classes apart, and source.domain has "
                f"{len(known)}: give the domain that the weights were learned on"
            )

    def check(self) -> None:
        """Check for what would make `load` fail, without importing torch or using the network.

        Raises:
            BadInputError: a file is missing or holds no weights, or parts are inconsistent.
        """
        Card.read(self._typed_card())
        self._check_architecture()
        if self.domain is not None:
            self.domain.check()
            self.domain.check_kept()

    def _check_architecture(self) -> None:
        given: object = self.architecture
        if not isinstance(given, Architecture):
            kind = type(given).__name__
            raise BadInputError(
                f"source.architecture is a {kind} and no Architecture: a plain torch network is "
                "taken by source=own_network source.network=MODULE.NAME (docs/own_network.md)"
            )

    def known_card(self) -> dict[str, Any]:
        """Return origin, licence and training data, as far as known; the user's values win.

        Where the user's card is incomplete, this may import the weights' library, for seconds.
        """
        typed = Card.read(self._typed_card())
        return typed.plain() if typed.is_full else typed.over(self.told_card()).plain()

    def told_card(self) -> Card:
        """Return what is known of its weights without the user's card."""
        return Card()

    def _typed_card(self) -> Mapping[str, Any] | None:
        return getattr(self, "card", None)  # a user's own source class may lack the field


class TrainedSource(Source):
    """A source that this program trains itself, by a `Maker`."""

    made_here: ClassVar[bool] = True

    if TYPE_CHECKING:

        @property
        def domain(self) -> Domain:
            """The domain that it is trained on."""

        @property
        def training(self) -> Component:
            """The recipe of its training."""

        @property
        def shuffle_labels(self) -> bool:
            """Whether the domain's labels are shuffled, as a placebo."""

        @property
        def label_noise(self) -> float | None:
            """Share of the domain's labels that are redrawn at random; None for none."""


class FileSource(Source):
    """A source whose weights were made elsewhere: the same for every seed block."""

    paths: ClassVar[tuple[str, ...]] = ("file",)
    descriptive: ClassVar[tuple[str, ...]] = ("card",)

    if TYPE_CHECKING:

        @property
        def file(self) -> str | None:
            """Path of the weight file; None if the weights come from a library."""

    def load(self, maker: Maker, block_seed: int) -> Backbone:
        """See `Source.load`."""
        return self.initial()

    def check(self) -> None:
        """See `Source.check`."""
        from transfergrid.sources.files import weights

        super().check()
        if self.file is not None:
            weights.check_file(self.file)
