"""The index of a ledger that grows: so that it opens quickly before the grid is through, too."""

from __future__ import annotations

from dataclasses import dataclass

from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import told_os, warn

LEAST = 500
"""Cells that are not worth a segment of their own."""
SHARE = 0.05
"""Of all cells that may be out of the index: so few segments do for any number of cells."""


@dataclass
class Indexing:
    """Indexes cells as they come, many at a time.

    Args:
        ledger: is indexed.
        indexed: how many of its cells are so about.
    """

    ledger: Ledger
    indexed: int = 0
    new: int = 0
    """Cells that came since."""

    def count(self) -> None:
        """Take note of a cell that came, and index all of them if it is time to."""
        self.new += 1
        if self.new >= max(LEAST, SHARE * self.indexed):
            self.index()

    def index(self) -> None:
        """Index what is new; where that cannot be, the ledger opens more slowly, no more."""
        self.indexed, self.new = self.indexed + self.new, 0
        try:
            self.ledger.compact()
        except OSError as error:
            warn(f"no index was written: {told_os(error)}")
