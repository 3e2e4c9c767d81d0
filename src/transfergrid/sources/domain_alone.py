"""A source that is data without a network, for strategies that learn from it beside the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from transfergrid.records.errors import BadInputError
from transfergrid.sources.source import Architecture, Maker, Source

if TYPE_CHECKING:
    from transfergrid.data.domain import Domain
    from transfergrid.sources.backbone import Backbone

TOLD = "this source is data alone, and brings no network"


@dataclass(frozen=True)
class DomainAlone(Source):
    """A labelled source domain without a network, for strategies that need only source data.

    Attributes:
        domain: the labelled source domain.
    """

    domain: Domain

    @property
    def architecture(self) -> Architecture:
        """Raise an error, because there is no network.

        Raises:
            BadInputError: always.
        """
        self._refuse()

    def initial(self) -> Backbone:
        """See `architecture`."""
        self._refuse()

    def load(self, maker: Maker, block_seed: int) -> Backbone:
        """See `architecture`."""
        self._refuse()

    def _check_architecture(self) -> None:
        """Do nothing, because there is no architecture."""

    def _refuse(self) -> NoReturn:
        raise BadInputError(TOLD)
