"""Verdicts while a grid is running: for each target and label budget that is complete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Sequence

from transfergrid.evidence.declared.judged import bench_of
from transfergrid.records.cell import Cell
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import warn
from transfergrid.report.tables.sheet import show
from transfergrid.report.views import verdict_table
from transfergrid.report.wording.words import plural

WORTHWHILE = 30.0
"""The smallest remaining time of a grid, in seconds, for which verdicts are shown before its
end."""


class Coming:
    """Shows the verdicts of a place as soon as its cells and their baselines are finished.

    This is not an early look: a complete place has all the seeds that the grid declared, and the
    closing table shows the same verdicts again.

    Args:
        ledger: the ledger with the cells.
        cells: the cells of the grid.
        place_of: returns the place of a cell.
        done: ids of cells that were done before.
    """

    def __init__(
        self,
        ledger: Ledger,
        cells: Sequence[Cell],
        place_of: Callable[[Cell], Hashable],
        done: Collection[str],
    ) -> None:
        self.ledger = ledger
        self.ids: defaultdict[Hashable, set[str]] = defaultdict(set)
        there = {cell.id for cell in cells}
        for cell in cells:
            others = [cell.baseline, *cell.exploratory]
            compared = {other.id for other in others if other is not None} & there
            self.ids[place_of(cell)] |= {cell.id, *compared}
        self.waited_for = {place: ids - set(done) for place, ids in self.ids.items()}

    def leave_out(self, cells: Collection[str]) -> None:
        """Stop waiting for these cells, by id, as they turned out to be impossible."""
        for ids in (*self.ids.values(), *self.waited_for.values()):
            ids.difference_update(cells)

    def ended(self, cell: Cell, to_go: float | None) -> None:
        """Register a finished cell, and show the verdicts of places that it completes.

        Args:
            cell: the cell that is done or failed.
            to_go: forecast remaining seconds of the grid; None if unknown.
        """
        mine = [place for place, ids in self.waited_for.items() if cell.id in ids]
        for place in mine:
            self.waited_for[place].discard(cell.id)
        left = sum(map(bool, self.waited_for.values()))
        if left and to_go is not None and to_go >= WORTHWHILE:
            for place in mine:
                if not self.waited_for[place]:
                    try:
                        self._show(place, left)
                    except (BadInputError, OSError) as error:  # the grid goes on anyway
                        warn(f"verdicts are shown at the end of the grid: {error}")

    def _show(self, place: Hashable, left: int) -> None:
        bench = bench_of(self.ledger, self.ids[place])
        verdicts = bench.verdicts()
        if any(verdict.n > 1 for verdict in verdicts):
            lines = [f"All of this is in; {plural(left, 'table')} more to come."]
            show(verdict_table.sheet(verdicts, lines, bench.declaration.correction))
            bench.note_look(verdicts, "grid")
