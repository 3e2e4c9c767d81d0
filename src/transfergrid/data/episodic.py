"""A target made of few-shot tasks: each has a few classes with support and query examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from typing_extensions import override

from transfergrid.data.domain import Domain, LoadedDomain
from transfergrid.data.examples import Subset
from transfergrid.data.outline import Outline
from transfergrid.data.rounds import Rounds
from transfergrid.records.arguments import Count, Whole
from transfergrid.records.errors import BadInputError
from transfergrid.records.seeds import generator

SEVERAL = 2
"""Least number of classes in an episode, and of episodes."""


@dataclass(frozen=True, kw_only=True)
class Episodic(Domain):
    """Episodes over the classes of another domain, which no source should have seen.

    Each episode draws a few classes and calls them way 1, way 2, ... Its support, the labelled
    examples of each class, is from the domain's pool (`labels` is the number of shots); its
    queries are from the domain's test split. Episodes are the same for all seeds and strategies,
    so that comparisons share support and query. A verdict's clusters are the episodes, its items
    the queries.

    Source: Vinyals et al. 2016, Matching networks (arXiv 1606.04080), section 2.2.

    Attributes:
        domain: the domain whose classes are drawn.
        ways: the number of classes in an episode.
        queries: the number of query examples per class.
        episodes: how many episodes there are.
        supports: the largest number of support examples per class.
        seed: of the episodes.
    """

    domain: Domain
    ways: Annotated[int, Ge(SEVERAL)] = 5
    queries: Count = 15
    episodes: Annotated[int, Ge(SEVERAL)] = 100
    supports: Count = 5
    seed: Whole = 0

    episodic: ClassVar[bool] = True

    @property
    @override
    def modality(self) -> str:  # type: ignore[override]
        """The modality of the domain."""
        return self.domain.modality

    @property
    @override
    def classes(self) -> tuple[str, ...]:
        """Names of ways, because each episode has other classes: another class is way 1."""
        return tuple(f"way {number + 1}" for number in range(self.ways))

    @override
    def outline(self) -> Outline:
        told = self.domain.outline()
        rooms = [self._room(told), self.episodes * self.queries]
        return Outline(self.classes, *((count,) * self.ways for count in rooms))

    def _room(self, told: Outline) -> int:
        """Return how many support examples per class an episode can have."""
        return min(self.supports, *told.pool)

    @override
    def check(self) -> None:
        super().check()
        self.domain.check()
        self.domain.check_kept()
        told = self.domain.outline()
        if not told.classes:
            raise BadInputError("episodes are of classes, and target.domain holds numbers")
        if len(told.classes) < self.ways:
            raise BadInputError(
                f"target.ways={self.ways}: target.domain has {len(told.classes)} classes"
            )
        for part, asked, counts in (
            ("pool", 1, told.pool),
            ("test part", self.queries, told.test),
        ):
            least = min(counts)
            if least < asked:
                few = told.classes[counts.index(least)]
                raise BadInputError(
                    f"an episode takes {asked} examples of a class from the {part} of "
                    f"target.domain, and {few} has {least}"
                )

    @override
    def remarks(self) -> list[str]:
        return self.domain.remarks()

    @override
    def load(self) -> LoadedDomain:
        inner = self.domain.load()
        pool, test = inner.pool.labels, inner.test.labels
        counts = np.bincount(pool, minlength=len(inner.classes))
        rounds = Rounds(self.episodes, self.ways, min(self.supports, counts.min()), self.queries)
        supports, queries = [], []
        for number in range(self.episodes):
            rng = generator(self.seed, "few-shot", number)
            for label in rng.choice(len(inner.classes), self.ways, replace=False):
                supports.append(rng.permutation(np.flatnonzero(pool == label))[: rounds.supports])
                queries.append(rng.permutation(np.flatnonzero(test == label))[: self.queries])
        asked = Subset(inner.test, np.concatenate(queries), self._ways(self.queries))
        names = [f"episode {number + 1}" for number in range(self.episodes)]
        asked.groups, asked.clusters = None, np.repeat(names, self.ways * self.queries)
        given = Subset(inner.pool, np.concatenate(supports), self._ways(rounds.supports))
        given.groups = given.clusters = None
        notes: dict[str, Any] = {**inner.notes, "episodes": self.episodes}
        return LoadedDomain(given, asked, self.classes, notes, rounds=rounds)

    def _ways(self, each: int) -> NDArray[np.int64]:
        labels = np.repeat(np.arange(self.ways, dtype=np.int64), each)
        return np.tile(labels, self.episodes)
