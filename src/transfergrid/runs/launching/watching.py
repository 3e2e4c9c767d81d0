"""Watches the worker loops of a launched grid: counts cells that end, replaces loops that die.

It runs no cell itself and asks no loop: the ledger shows what is done.
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
"""Seconds between two looks at which cells are being run."""
VAIN = 3
"""Replacements per wanted loop, without any cell ending, after which the watch gives up."""


class Loops(Protocol):
    """Worker loops of one launcher."""

    def start(self, number: int) -> None:
        """Start this many more loops."""

    def alive(self) -> int:
        """Return how many loops run, or wait in the queue of a cluster."""

    def deaths(self) -> list[str]:
        """Return a line for each loop that ended unexpectedly since the last call."""

    def last_words(self) -> str:
        """Return the last output of a loop that ended, or where to find it."""

    def stop(self) -> None:
        """Ask all loops to write their checkpoints and end, and wait for that."""


@dataclass
class Watch(Tally):
    """Waits until every cell of a queue is done or failed."""

    loops: Loops
    count: int
    """How many loops there should be."""
    left: dict[str, Cell] = field(default_factory=dict)
    """Cells that have not ended, by identity."""
    _vain: int = 0
    """Loops that were started as replacements since a cell last ended."""
    _shown_at: float = 0.0

    def run(self, cells: Sequence[Cell]) -> None:
        """Start loops, and return when each cell is done or failed.

        Raises:
            BadInputError: loops end one after another without any cell ending.
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
        """Replace loops that have died; start new ones if none is left."""
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
