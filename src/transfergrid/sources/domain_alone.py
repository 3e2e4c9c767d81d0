"""A source that is data and no network: what is learned from it is learned beside the target."""

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
    """A labelled source domain without a network, for strategies that need no more of a source.

    Attributes:
        domain: what it holds.
    """

    domain: Domain

    @property
    def architecture(self) -> Architecture:
        """There is none.

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
        """There is nothing to check."""

    def _refuse(self) -> NoReturn:
        raise BadInputError(TOLD)
