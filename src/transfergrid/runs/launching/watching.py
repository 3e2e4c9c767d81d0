"""Watches the worker loops of a launched grid: counts what they do, and replaces those that die.

It runs nothing itself and asks no loop: what is done stands in the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from transfergrid.records.cell import Cell
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.arrivals import Arrivals
from transfergrid.records.ledgers.claims import now_held
from transfergrid.runs.launching.tally import Tally

LOOK = 1.0
"""Seconds between two looks at what is done."""
SHOW = 5.0
"""Seconds between two looks at who runs what."""
VAIN = 3
"""So many loops for each that there should be may end without that any cell does."""


class Loops(Protocol):
    """Worker loops of one launcher."""

    def start(self, number: int) -> None:
        """Start some more."""

    def alive(self) -> int:
        """Return how many there are, or wait in a cluster's line."""

    def deaths(self) -> list[str]:
        """Return a line for each that ended since the last look, and was not to."""

    def last_words(self) -> str:
        """Return the end of what one said that ended, or where to find it."""

    def stop(self) -> None:
        """Ask all to put down what they have, and wait until they are gone."""


@dataclass
class Watch(Tally):
    """Waits until every cell of a queue is done or failed."""

    loops: Loops
    count: int
    """Of the loops that there should be."""
    left: dict[str, Cell] = field(default_factory=dict)
    """Cells of which nothing has come, by identity."""
    _vain: int = 0
    """Loops started since the last cell came."""
    _shown_at: float = 0.0

    def run(self, cells: Sequence[Cell]) -> None:
        """Start loops, and return when each cell is done or failed.

        Raises:
            BadInputError: loops end one after another, and no cell does.
        """
        self.left = {cell.id: cell for cell in cells}
        arrivals = Arrivals(self.ledger.root)
        self.loops.start(min(self.count, len(cells)))
        while True:
            self._gather(arrivals.done() | arrivals.tried() | {*(self.tried or {})})
            if not self.left:
                return
            self._mend()
            self._show()
            time.sleep(LOOK)

    def _gather(self, come: set[str]) -> None:
        for cell in [self.left[name] for name in come & self.left.keys()]:
            if self._has_ended(cell):
                del self.left[cell.id]
                self._vain = 0

    def _mend(self) -> None:
        """Start others for loops that have died, or where none is left."""
        deaths, alive = self.loops.deaths(), self.loops.alive()
        for line in deaths:
            self.shown.remark(line)
        if alive and not deaths:
            return
        self._gather({*self.left})
        missing = min(self.count, len(self.left)) - alive
        if missing <= 0:
            return
        if self._vain >= VAIN * self.count:
            raise BadInputError(
                f"{self._vain} workers ended, and no cell did: {self.loops.last_words()}"
            )
        self._vain += missing
        self.loops.start(missing)

    def _show(self) -> None:
        if time.monotonic() - self._shown_at < SHOW:
            return
        self._shown_at = time.monotonic()
        held = sorted(now_held(self.ledger.root, self.left))
        if held:
            labels = "; ".join(self._called(self.left[name]) for name in held)
            self.shown.doing(0, f"{len(held)} cells at once", labels)
