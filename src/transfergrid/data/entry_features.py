"""Entries of a matrix as features for matrix completion: the numbers of their names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.inputs import Raw
from transfergrid.records.component import Part


class NamesOfEntries(Part):
    """The plain features of an entry: the numbers of its names. Nothing is fitted."""

    def fit(self, entries: Raw, labels: Any = None) -> NamesOfEntries:
        """Return itself."""
        return self

    def transform(self, entries: Raw) -> NDArray[np.int64]:
        """Return the numbers as they are, (n, 2)."""
        return np.asarray(entries, dtype=np.int64)

    def kept(self) -> dict[str, Any]:
        """Return an empty state: nothing was fitted."""
        return {}

    def restore(self, kept: dict[str, Any]) -> NamesOfEntries:
        """Return itself."""
        return self
