"""Weights that this program trains itself, on a named source domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from transfergrid.records.arguments import Share, Whole
from transfergrid.records.component import Component
from transfergrid.records.errors import BadInputError
from transfergrid.sources.cards import Card, names_of
from transfergrid.sources.source import Architecture, Maker, Source, TrainedSource

if TYPE_CHECKING:
    from torch import nn

    from transfergrid.data.domain import Domain
    from transfergrid.sources.backbone import Backbone


@dataclass(frozen=True)
class TrainedHere(TrainedSource):
    """An architecture trained on a source domain, once for all cells that ask for the same.

    Attributes:
        architecture: what is trained.
        domain: what it is trained on.
        training: how.
        start: pretrained weights to start from; by default they are random.
        seed: of the training; "block" makes a source anew for each seed block.
        shuffle_labels: train on the domain's labels in random order, as a placebo.
        label_noise: share of the domain's labels that are drawn anew, evenly over all classes;
            wherever the source's labels are learned from, by its weights or beside the target.
    """

    architecture: Architecture
    domain: Domain
    training: Component
    start: Source | None = None
    seed: Whole | Literal["block"] = 0
    shuffle_labels: bool = False
    label_noise: Share | None = None
    optional: ClassVar[tuple[str, ...]] = ("label_noise",)

    @classmethod
    def about(cls) -> dict[str, Any]:
        """Say too which argument holds the weights before the source domain."""
        return {**super().about(), "start": "start"}

    def initial(self) -> Backbone:
        """Return the backbone that the training begins with; random weights by torch's state."""
        return self.architecture.build() if self.start is None else self.start.initial()

    def load(self, maker: Maker, block_seed: int) -> Backbone:
        """See `Source.load`."""
        seed = block_seed if self.seed == "block" else self.seed
        backbone = self.architecture.build()
        backbone.load_state_dict(maker.trained(self, seed))
        return backbone

    def each(self, maker: Maker, block_seed: int) -> tuple[Backbone, Sequence[Backbone]]:
        """See `Source.each`."""
        alone = [replace(self, domain=domain) for domain in self.domain.each]
        seed = block_seed if self.seed == "block" else self.seed
        start, *others = [maker.begun(one, seed) for one in alone]
        if any(other.fingerprint() != start.fingerprint() for other in others):
            raise BadInputError("the sources did not begin with the same weights")
        return start, [one.load(maker, block_seed) for one in alone]

    def head(self, backbone: Backbone, maker: Maker, block_seed: int) -> nn.Module:
        """See `Source.head`."""
        seed = block_seed if self.seed == "block" else self.seed
        backbone.head_weights = dict(maker.trained_head(self, seed))
        return super().head(backbone, maker, block_seed)

    def told_card(self) -> Card:
        """Return what its start was trained on, and its domain by name, or else by kind."""
        before = Card.read(self.start.known_card()) if self.start else Card()
        taught = [name for one in self.domain.each for name in names_of(one) or (one.kind,)]
        names = tuple(dict.fromkeys((*before.trained_on, *taught)))
        return Card("trained here", before.licence, names)

    def check(self) -> None:
        """See `Source.check`."""
        if self.domain is None:
            raise BadInputError("a source that is trained here needs a domain to be trained on")
        self._check_modality()
        if self.label_noise is not None and self.domain.of_numbers:
            raise BadInputError("source.label_noise is for classes, and source.domain has numbers")
        super().check()
        self._check_width()
        if self.start is not None:
            self._check_start(self.start)

    def _check_modality(self) -> None:
        takes, holds = self.architecture.modality, self.domain.modality
        if takes != holds:
            raise BadInputError(
                f"source.domain holds {holds}s ({self.domain.kind}), and the "
                f"architecture {self.architecture.name} takes {takes}s"
            )

    def _check_width(self) -> None:
        """Raise `BadInputError` unless a network for vectors takes as long ones as there are."""
        takes, holds = getattr(self.architecture, "inputs", None), len(self.domain.vector)
        if takes is not None and holds not in (0, takes):
            raise BadInputError(
                f"source.domain holds vectors of {holds} numbers, and the architecture "
                f"{self.architecture.name} takes {takes}: source.architecture.inputs={holds}"
            )

    def _check_start(self, start: Source) -> None:
        start.check()
        if start.made_here:
            raise BadInputError("source.start must be weights from elsewhere, not trained here")
        if start.architecture != self.architecture:
            ours, theirs = self.architecture.name, start.architecture.name
            raise BadInputError(f"source.start is for another architecture ({theirs}) than {ours}")
