"""The base of sources that this program trains itself: a start, a domain, a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from transfergrid.records.errors import BadInputError
from transfergrid.sources.cards import Card, names_of
from transfergrid.sources.source import Architecture, Maker, Source, TrainedSource

if TYPE_CHECKING:
    from transfergrid.data.domain import Domain
    from transfergrid.sources.backbone import Backbone


class MadeHere(TrainedSource):
    """An architecture trained on a source domain, once for all cells with the same source."""

    if TYPE_CHECKING:
        architecture: Architecture
        domain: Domain
        start: Source | None
        seed: int | Literal["block"]

    @classmethod
    def about(cls) -> dict[str, Any]:
        """Add the name of the argument with the weights that training starts from."""
        return {**super().about(), "start": "start"}

    def initial(self) -> Backbone:
        """Return the backbone that training starts from; torch's generator draws random weights."""
        return self.architecture.build() if self.start is None else self.start.initial()

    def seed_in(self, block_seed: int) -> int:
        """Return the seed of the source's training in a seed block."""
        return block_seed if self.seed == "block" else self.seed

    def load(self, maker: Maker, block_seed: int) -> Backbone:
        """See `Source.load`."""
        backbone = self.architecture.build()
        backbone.load_state_dict(maker.trained(self, self.seed_in(block_seed)))
        return backbone

    def each(self, maker: Maker, block_seed: int) -> tuple[Backbone, Sequence[Backbone]]:
        """See `Source.each`."""
        alone = [replace(self, domain=domain) for domain in self.domain.each]  # type: ignore[type-var]
        start, *others = [maker.begun(one, self.seed_in(block_seed)) for one in alone]
        if any(other.fingerprint() != start.fingerprint() for other in others):
            raise BadInputError("the sources did not begin with the same weights")
        return start, [one.load(maker, block_seed) for one in alone]

    def told_card(self) -> Card:
        """Return a card with the training data of its start, and its own domain.

        A domain is given by the names of its dataset, or else by its kind.
        """
        before = Card.read(self.start.known_card()) if self.start else Card()
        taught = [name for one in self.domain.each for name in names_of(one) or (one.kind,)]
        names = tuple(dict.fromkeys((*before.trained_on, *taught)))
        return Card("trained here", before.licence, names)

    def check(self) -> None:
        """See `Source.check`."""
        if self.domain is None:
            raise BadInputError("a source that is trained here needs a domain to be trained on")
        self._check_modality()
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
        """Raise `BadInputError` unless a network for vectors fits the length of the domain's."""
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
