"""Where the examples of each episode of a few-shot target lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfergrid.records.cell import Labels


@dataclass(frozen=True)
class Rounds:
    """Where the examples of each episode lie in the pool and the test part of a target.

    Episodes follow one another, in each the classes, in each class its examples.

    Attributes:
        count: how many episodes there are.
        ways: classes of each.
        supports: examples of a class that it offers to learn from.
        queries: examples of a class that it asks about.
    """

    count: int
    ways: int
    supports: int
    queries: int

    def support(self, number: int, shots: Labels) -> NDArray[np.int64]:
        """Return the places in the pool of the first `shots` examples of each class."""
        first = self.supports if shots == "all" else min(int(shots), self.supports)
        begin = (number * self.ways + np.arange(self.ways)) * self.supports
        return (begin[:, None] + np.arange(first)).ravel().astype(np.int64)

    def query(self, number: int) -> NDArray[np.int64]:
        """Return the places in the test part of what an episode asks about."""
        size = self.ways * self.queries
        return np.arange(number * size, (number + 1) * size, dtype=np.int64)
