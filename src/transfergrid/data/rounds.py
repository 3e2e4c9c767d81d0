"""The places of the examples of each episode of a few-shot target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfergrid.records.cell import Labels


@dataclass(frozen=True)
class Rounds:
    """The places of each episode's examples in the pool and the test split of a target.

    Examples are sorted by episode, then by class.

    Attributes:
        count: the number of episodes.
        ways: the number of classes per episode.
        supports: the number of support examples per class, in the pool.
        queries: the number of query examples per class, in the test split.
    """

    count: int
    ways: int
    supports: int
    queries: int

    def support(self, number: int, shots: Labels) -> NDArray[np.int64]:
        """Return the pool indices of the first `shots` support examples of each class."""
        first = self.supports if shots == "all" else min(int(shots), self.supports)
        begin = (number * self.ways + np.arange(self.ways)) * self.supports
        return (begin[:, None] + np.arange(first)).ravel().astype(np.int64)

    def query(self, number: int) -> NDArray[np.int64]:
        """Return the test indices of an episode's query examples."""
        size = self.ways * self.queries
        return np.arange(number * size, (number + 1) * size, dtype=np.int64)
