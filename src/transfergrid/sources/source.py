"""What an architecture and a source are: descriptions from which a backbone is built.

Nothing here needs torch, so that a plan can be made and checked without importing it.
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
    """What it takes: "image", "text" or "vector"; a domain says likewise what it holds."""
    embeds_texts: ClassVar[bool] = False
    """Whether it embeds texts into one space with images, where images are what it takes."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name for tables."""

    @abstractmethod
    def build(self) -> Backbone:
        """Return it with random weights, drawn from torch's current random state.

        Raises:
            BadInputError: there is no such architecture, or not with these options.
        """

    def beside(self, other: Backbone) -> Backbone:
        """Return it with random weights, to take the inputs that are made for another network.

        Raises:
            BadInputError: it takes other ones, or cannot be built.
        """
        made = self.build()
        if made.preprocess != other.preprocess:
            raise BadInputError(
                f"{self.name} stands beside {other.title} and must take the same inputs, which are "
                f"{other.preprocess}, and its own {made.preprocess}: set its size, mean and std"
            )
        return made

    def moved(self, folder: Path) -> Architecture:
        """Return an equal architecture that needs no other file than it writes into a new folder.

        One that a name and plain values describe writes nothing and returns itself.
        """
        return self

    def check(self) -> None:
        """Raise what `build` would raise for a wrong name; imports the library that it is from.

        Raises:
            BadInputError: there is no such architecture.
        """


class Maker(Protocol):
    """Whoever trains a source once and finds its weights again for every later cell."""

    def trained(self, source: TrainedSource, seed: int) -> Mapping[str, Tensor]:
        """Return the state dict of the source's backbone, trained under this seed."""

    def trained_head(self, source: TrainedSource, seed: int) -> Mapping[str, Tensor]:
        """Return the state dict of the head that was trained with it, a linear layer's."""

    def begun(self, source: TrainedSource, seed: int) -> Backbone:
        """Return the network that the training of this source began with, under this seed.

        Raises:
            BadInputError: it is not what the training says that it began with.
        """


class Source(Component, ABC):
    """An architecture with weights and, where it is known, the domain they were learned on."""

    group: ClassVar[str] = "source"
    made_here: ClassVar[bool] = False
    """Whether its weights may come out of a training of our own, so that `load` needs a maker."""
    knows: ClassVar[bool] = True
    """Whether it has something to teach; a placebo has not."""
    labelled: ClassVar[bool] = True
    """Whether it learned from labels of its domain, if it has one."""

    if TYPE_CHECKING:  # for subclasses to have as fields; a dataclass would take them as defaults

        @property
        def architecture(self) -> Architecture:
            """What the weights are for."""

        @property
        def domain(self) -> Domain | None:
            """Its labelled source domain."""

    @abstractmethod
    def initial(self) -> Backbone:
        """Return the backbone as it was before it was trained on its source domain."""

    @abstractmethod
    def load(self, maker: Maker, block_seed: int) -> Backbone:
        """Return the backbone with its weights.

        Args:
            maker: trains, or finds again, what is trained by this program.
            block_seed: of the seed block, for sources that are made anew in each.

        Raises:
            BadInputError: the weights cannot be had or do not fit.
        """

    def each(self, maker: Maker, block_seed: int) -> tuple[Backbone, Sequence[Backbone]]:
        """Return the start of several sources and the network of each, in their domains' order.

        Args:
            maker: see `load`.
            block_seed: see `load`.

        Raises:
            BadInputError: they did not begin with the same weights.
            ImpossibleError: they were not trained here, so that nobody knows with which.
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
            ImpossibleError: the weights came without one, or it is no linear layer on embeddings.
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
        """Look for what would make `load` fail, as far as that needs neither torch nor network.

        Raises:
            BadInputError: a file is missing or holds no weights, or the parts do not go together.
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
        """Return origin, licence and what it was trained on, as far as known; typed values win.

        May import the library that the weights are from, for seconds, where not all is typed.
        """
        typed = Card.read(self._typed_card())
        return typed.plain() if typed.is_full else typed.over(self.told_card()).plain()

    def told_card(self) -> Card:
        """Return what is known of its weights without a person's saying so."""
        return Card()

    def _typed_card(self) -> Mapping[str, Any] | None:
        return getattr(self, "card", None)  # a source of a user's own need not have the field


class TrainedSource(Source):
    """A source whose weights come out of a training of our own, by a `Maker`."""

    made_here: ClassVar[bool] = True

    if TYPE_CHECKING:

        @property
        def domain(self) -> Domain:
            """What it is trained on."""

        @property
        def training(self) -> Component:
            """How."""

        @property
        def shuffle_labels(self) -> bool:
            """Whether the domain's labels come in random order, as a placebo."""

        @property
        def label_noise(self) -> float | None:
            """Share of the domain's labels that are drawn anew."""


class FileSource(Source):
    """A source whose weights were made elsewhere: the same for every seed block."""

    paths: ClassVar[tuple[str, ...]] = ("file",)
    descriptive: ClassVar[tuple[str, ...]] = ("card",)

    if TYPE_CHECKING:

        @property
        def file(self) -> str | None:
            """Where they are on this disk; None if a library has them."""

    def load(self, maker: Maker, block_seed: int) -> Backbone:
        """See `Source.load`."""
        return self.initial()

    def check(self) -> None:
        """See `Source.check`."""
        from transfergrid.sources.files import weights

        super().check()
        if self.file is not None:
            weights.check_file(self.file)
