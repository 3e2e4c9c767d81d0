"""Index a growing ledger from time to time, so that it opens fast while the grid still runs."""

from __future__ import annotations

from dataclasses import dataclass

from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import told_os, warn

LEAST = 500
"""Smallest number of new cells that is worth a new segment."""
SHARE = 0.05
"""Largest share of cells that may be missing in the index, so that there are few segments."""


@dataclass
class Indexing:
    """Indexes finished cells, many at a time.

    Args:
        ledger: the ledger to index.
        indexed: about how many of its cells are indexed already.
    """

    ledger: Ledger
    indexed: int = 0
    new: int = 0
    """Number of cells that finished since."""

    def count(self) -> None:
        """Count a finished cell, and index all new cells if there are enough of them."""
        self.new += 1
        if self.new >= max(LEAST, SHARE * self.indexed):
            self.index()

    def index(self) -> None:
        """Index the new cells; if that fails, only warn: the ledger then just opens more slowly."""
        self.indexed, self.new = self.indexed + self.new, 0
        try:
            self.ledger.compact()
        except OSError as error:
            warn(f"no index was written: {told_os(error)}")
