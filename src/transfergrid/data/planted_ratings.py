"""Ratings generated from known factors, so that it is known what source and target share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from transfergrid.data.domain import Domain, LoadedDomain, Sampling
from transfergrid.data.entries import EntryExamples, counts
from transfergrid.data.outline import Outline
from transfergrid.records.arguments import Count, NotNegative, Part, Whole
from transfergrid.records.metrics import NUMBERS
from transfergrid.records.seeds import generator

SEVERAL = 2
TEST_SHARE = 0.2
"""Share of the known entries that are test entries."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PlantedRatings(Domain):
    """A matrix of users and items with entries u · v plus noise, of which a part is known.

    u and v are normal, scaled so that u · v has variance 1. All matrices of one seed have the same
    users, with the same names and factors; each value of `items` is another matrix with its own
    items. If `shared` is false, the matrix has users of the same names but with factors of its
    own, so that it holds no information about other matrices.

    Attributes:
        users: number of rows.
        n_items: number of columns.
        rank: dimension of u and v.
        density: share of all entries that are known; a fifth of these are test entries.
        noise: standard deviation of the noise added to each entry.
        items: number of the matrix; matrices with other numbers share the users, not the items.
        shared: whether its users have the same factors as in other matrices of this seed.
        seed: of the factors; the same for all seed blocks.
    """

    metric: str = "rmse"
    sampling: Sampling = "natural"
    users: Annotated[int, Ge(SEVERAL)] = 200
    n_items: Annotated[int, Ge(SEVERAL)] = 100
    rank: Count = 3
    density: Part = 0.2
    noise: NotNegative = 0.5
    items: Whole = 0
    shared: bool = True
    seed: Whole = 0

    modality: ClassVar[str] = "matrix"
    of_entries: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = (NUMBERS,)

    @property
    def classes(self) -> tuple[str, ...]:
        """Empty: the labels are numbers."""
        return ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The name of the one number."""
        return ("value",)

    def outline(self) -> Outline:
        """See `Domain.outline`; nothing is drawn."""
        known, tested = self._sizes
        return Outline((), (known - tested,), (tested,))

    @property
    def _sizes(self) -> tuple[int, int]:
        """How many entries are known, and how many of these are test entries."""
        known = max(2 * SEVERAL, round(self.density * self.users * self.n_items))
        return known, max(SEVERAL, round(TEST_SHARE * known))

    def load(self) -> LoadedDomain:
        """Return the known entries; test entries are clustered by user."""
        known, tested = self._sizes
        rng = generator(self.seed, "planted ratings", "known", self.items)
        chosen = rng.permutation(self.users * self.n_items)[:known]
        values = self.whole_matrix().ravel()[chosen].astype(np.float32)
        parts = (slice(tested, None), slice(tested))
        pool, test = (self._examples(chosen[part], values[part]) for part in parts)
        test.clusters = test.rows
        return LoadedDomain(pool, test, (), counts(pool, test), outputs=self.outputs)

    def _examples(self, places: NDArray[np.int64], values: NDArray[np.float32]) -> EntryExamples:
        rows, columns = np.divmod(places, self.n_items)
        users = [f"user {row}" for row in rows]
        return EntryExamples(users, [f"item {self.items}.{column}" for column in columns], values)

    def whole_matrix(self) -> Floats:
        """Return all entries, with noise, (users, n_items)."""
        told = ("users",) if self.shared else ("other users", self.items)
        rows = self._factors(self.users, *told)
        columns = self._factors(self.n_items, "items", self.items)
        rng = generator(self.seed, "planted ratings", "noise", self.items)
        noise = self.noise * rng.normal(size=(self.users, self.n_items))
        return np.asarray(rows @ columns.T + noise)

    def _factors(self, n: int, *told: str | int) -> Floats:
        drawn = generator(self.seed, "planted ratings", *told).normal(size=(n, self.rank))
        return np.asarray(drawn / self.rank**0.25)
