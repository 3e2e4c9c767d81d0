"""The base of generated targets for regression of one number."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge

from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import Examples
from transfergrid.data.outline import Outline
from transfergrid.records.arguments import Whole
from transfergrid.records.metrics import NUMBERS


@dataclass(frozen=True, kw_only=True)
class DrawnNumbers(Domain):
    """Generated examples, each with a number to predict.

    Attributes:
        pool_size: number of pool examples.
        test_size: number of test examples.
        seed: of the examples; the same for all seed blocks.
    """

    metric: str = "mae"
    pool_size: Annotated[int, Ge(2)] = 4000
    test_size: Annotated[int, Ge(2)] = 1000
    seed: Whole = 0

    tasks: ClassVar[tuple[str, ...]] = (NUMBERS,)
    number: ClassVar[str]
    """The name of the number."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Empty: the labels are numbers."""
        return ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The name of the one number."""
        return (self.number,)

    def outline(self) -> Outline:
        """See `Domain.outline`; nothing is drawn."""
        return Outline((), (self.pool_size,), (self.test_size,))

    def load(self) -> LoadedDomain:
        """Return examples with numbers (n,)."""
        pool, test = self._part("pool", self.pool_size), self._part("test", self.test_size)
        return LoadedDomain(pool, test, (), outputs=self.outputs)

    @abstractmethod
    def _part(self, name: str, n: int) -> Examples:
        """Return `n` examples of a split, drawn by its name and the seed."""
