"""Few-shot tasks as a target: in each a few classes, some examples of each, and questions."""

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
"""Classes and episodes that there are at least."""


@dataclass(frozen=True, kw_only=True)
class Episodic(Domain):
    """Episodes over the classes of another domain, which no source should have seen.

    Each draws a few classes, calls them way 1, way 2, ..., and gives some labelled examples of each
    from the domain's pool (`labels` says how many: the shots); its queries are from the domain's
    test part. Episodes are the same for all seeds and strategies, so that what is compared has the
    same support and query; they are the clusters of a verdict, whose items are the queries.

    Source: Vinyals et al. 2016, Matching networks (arXiv 1606.04080), section 2.2.

    Attributes:
        domain: whose classes are drawn.
        ways: classes of an episode.
        queries: examples of each class that are asked about.
        episodes: how many there are.
        supports: examples of each class that there are to learn from, at most.
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
        """What the domain holds."""
        return self.domain.modality

    @property
    @override
    def classes(self) -> tuple[str, ...]:
        """Classes have no names of their own: another one is way 1 in each episode."""
        return tuple(f"way {number + 1}" for number in range(self.ways))

    @override
    def outline(self) -> Outline:
        told = self.domain.outline()
        rooms = [self._room(told), self.episodes * self.queries]
        return Outline(self.classes, *((count,) * self.ways for count in rooms))

    def _room(self, told: Outline) -> int:
        """Return how many examples of a class an episode can offer."""
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
