"""The result of a search for copies, for every modality."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

PAIRS = 5
"""How many pairs of copies are listed for a reader."""

SEARCHES = {"image": 1, "text": 1, "vector": 1, "matrix": 1}
"""Version of the search in each modality; raise it whenever it may find other copies. Then cached
results are not used any more, and domains with duplicates=drop get another identity."""

Pair = tuple[int, int, str]
"""Index in the pool, index in the test split, and "exact" or "near"."""


def search_version(modality: str) -> int:
    """Return the version of the search, on which the pool depends where copies are dropped."""
    return SEARCHES.get(modality, SEARCHES["image"])


@dataclass
class Copies:
    """Which examples of two sets are copies of each other.

    Attributes:
        exact: (n_test,) test examples with an exact copy in the pool.
        near: (n_test,) other test examples, with a near copy in the pool.
        pool: (n_pool,) pool examples that are an exact or near copy of a test example.
        pairs: a few pairs of copies, exact ones first.
    """

    exact: NDArray[np.bool_]
    near: NDArray[np.bool_]
    pool: NDArray[np.bool_]
    pairs: list[Pair] = field(default_factory=list)

    @classmethod
    def none(cls, n_pool: int, n_test: int) -> Copies:
        """Return the result without any copies, for sets of these sizes."""
        test, pool = (np.zeros(n, dtype=bool) for n in (n_test, n_pool))
        return cls(test, test.copy(), pool)

    def fits(self, n_pool: int, n_test: int) -> bool:
        """Return whether this is a result for sets of these sizes."""
        return len(self.pool) == n_pool and len(self.exact) == len(self.near) == n_test


def exact_copies(pool: NDArray[np.generic], test: NDArray[np.generic]) -> Copies:
    """Return the copies, given keys (n_pool,) and (n_test,) that are equal for copies."""
    in_pool, in_test = np.isin(pool, test), np.isin(test, pool)
    first = {pool[i]: int(i) for i in np.flatnonzero(in_pool)[::-1]}
    pairs = [(first[test[i]], int(i), "exact") for i in np.flatnonzero(in_test)[:PAIRS]]
    return Copies(in_test, np.zeros(len(test), dtype=bool), in_pool, pairs)


def add_near(copies: Copies, pool: NDArray[np.int64], test: NDArray[np.int64]) -> None:
    """Add pairs of near copies to `copies`: indices in the pool (k,) and in the test split (k,)."""
    copies.pool[pool] = True
    new = ~copies.exact[test]
    copies.near[test[new]] = True
    named = {pair[1] for pair in copies.pairs}
    for p, t in zip(pool[new].tolist(), test[new].tolist(), strict=True):
        if len(copies.pairs) == PAIRS:
            return
        if t not in named:
            copies.pairs.append((p, t, "near"))
            named.add(t)
