"""Entries of a matrix: each is a number, given by the names of its row and its column.

Names are hashed to whole numbers, the same in every table: a user has the same number in all
matrices, and an unseen name has a number of its own. Missing entries are simply absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.examples import Examples, Labels

NAMES = 2
"""An entry has two names: that of its row (a user), and that of its column (an item)."""


@lru_cache(maxsize=2**20)
def number_of(name: str) -> int:
    """Return a name's hash, a whole number below 2^63.

    Among a million names two share a number with probability 5e-8 (birthday bound).
    """
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


class EntryExamples(Examples):
    """Entries of a matrix that lie in memory.

    Attributes:
        rows: (n,) the name of each entry's row.
        columns: (n,) the name of each entry's column.
    """

    of_entries = True

    def __init__(
        self,
        rows: Sequence[str],
        columns: Sequence[str],
        labels: Labels,
        groups: NDArray[np.str_] | None = None,
    ) -> None:
        """Keep the names of rows and columns, (n,) each, and values (n,)."""
        if not len(rows) == len(columns) == len(labels):
            raise ValueError(f"{len(rows)} rows, {len(columns)} columns, {len(labels)} values")
        self.rows, self.columns = np.array(rows, np.str_), np.array(columns, np.str_)
        self.labels, self.groups = labels, groups
        names = zip(self.rows.tolist(), self.columns.tolist(), strict=True)
        self._read = np.array(
            [[number_of(row), number_of(column)] for row, column in names], dtype=np.int64
        ).reshape(-1, NAMES)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of the entries' names, (len(indices), 2) int64: row, then column."""
        return self._read[indices]


def users_of(examples: Examples) -> NDArray[np.str_]:
    """Return the name of each entry's row (n,)."""
    whole = getattr(examples, "whole", None)
    if whole is not None:  # a `Subset`
        return users_of(whole)[examples.places]  # type: ignore[attr-defined]
    assert isinstance(examples, EntryExamples)
    return examples.rows


def counts(pool: Examples, test: Examples) -> dict[str, object]:
    """Return as notes the numbers of users, items and entries in the pool, and cold test entries.

    A test entry is cold if its user, or its item, does not occur in the pool.
    """
    inside, asked = (
        np.asarray(part.read(np.arange(len(part), dtype=np.int64))) for part in (pool, test)
    )
    known = [np.isin(asked[:, axis], inside[:, axis]) for axis in (0, 1)]
    sizes = [len(np.unique(inside[:, axis])) for axis in (0, 1)]
    return {
        "matrix": {"users": sizes[0], "items": sizes[1], "entries": len(inside)},
        "cold": {"users": int((~known[0]).sum()), "items": int((~known[1]).sum())},
    }
