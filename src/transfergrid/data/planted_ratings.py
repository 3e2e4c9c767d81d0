"""Ratings that are made up, from planted factors: what a source has in common is known."""

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
"""Of the known entries, which are tested on."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PlantedRatings(Domain):
    """A matrix of users and items, u · v and noise, of which a part is known.

    u and v are normal and so long that u · v has a variance of 1. Users are the same in all
    matrices of one seed, by name and by factors; `items` names which matrix it is, whose items are
    its own. Where `shared` is false a matrix has users of the same names with factors of their own:
    nothing in it tells of others.

    Attributes:
        users: rows.
        n_items: columns.
        rank: length of u and v.
        density: share of all entries that is known, a fifth of which is tested on.
        noise: standard deviation of what is added to each entry.
        items: which items: matrices with other ones share users alone.
        shared: whether its users' factors are those of other matrices of this seed.
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
        """None: its labels are numbers."""
        return ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The one number."""
        return ("value",)

    def outline(self) -> Outline:
        """See `Domain.outline`; nothing is drawn."""
        known, tested = self._sizes
        return Outline((), (known - tested,), (tested,))

    @property
    def _sizes(self) -> tuple[int, int]:
        """How many entries are known, and how many of them are tested on."""
        known = max(2 * SEVERAL, round(self.density * self.users * self.n_items))
        return known, max(SEVERAL, round(TEST_SHARE * known))

    def load(self) -> LoadedDomain:
        """Return the known entries; those of one user depend on each other."""
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
        """Return all entries, noise and all, (users, n_items)."""
        told = ("users",) if self.shared else ("other users", self.items)
        rows = self._factors(self.users, *told)
        columns = self._factors(self.n_items, "items", self.items)
        rng = generator(self.seed, "planted ratings", "noise", self.items)
        noise = self.noise * rng.normal(size=(self.users, self.n_items))
        return np.asarray(rows @ columns.T + noise)

    def _factors(self, n: int, *told: str | int) -> Floats:
        drawn = generator(self.seed, "planted ratings", *told).normal(size=(n, self.rank))
        return np.asarray(drawn / self.rank**0.25)
