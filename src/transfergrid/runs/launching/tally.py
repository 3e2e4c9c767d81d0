"""Counts the cells of a grid that end: done or failed, shown, and failures kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from transfergrid.records.cell import Cell
from transfergrid.records.keeping import Keeper
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import told_os
from transfergrid.records.provenance import identified
from transfergrid.records.record import Record, Status
from transfergrid.runs.launching.pace import Pace, kind_of
from transfergrid.runs.launching.progress import Progress, Silent

WARNING = "transfergrid: warning:"


@dataclass
class Outcome:
    """How the cells of a grid ended: how many are done, failed, or left."""

    done: int = 0
    failed: int = 0
    left: int = 0
    interrupted: bool = False
    detached: bool = False
    """Whether worker loops run the remaining cells and this process does not wait for them."""

    @property
    def exit_code(self) -> int:
        """1 if a cell failed, else 0."""
        return 1 if self.failed else 0


@dataclass
class Tally:
    """Counts the cells that end."""

    ledger: Ledger
    shown: Progress = field(default_factory=Silent, kw_only=True)
    outcome: Outcome = field(default_factory=Outcome, kw_only=True)
    warned: set[str] = field(default_factory=set, kw_only=True)
    keeper: Keeper | None = field(default=None, kw_only=True)
    labels: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """Labels to show instead of cells' own, by identity."""
    pace: Pace = field(default_factory=lambda: Pace((), 1), kw_only=True)
    ended: Callable[[Cell, float | None], None] | None = field(default=None, kw_only=True)
    """Called with each cell that is done or failed, and the forecast of the seconds left."""
    tried: Mapping[str, int] | None = field(default=None, kw_only=True)
    """For a queue that several loops share: how often its cells had failed before it, by identity,
    where that is not 0. None: no other process runs the same request."""

    def _called(self, cell: Cell) -> str:
        return self.labels.get(cell.id, cell.label)

    def _count(
        self, cell: Cell, reason: str | None, log: str | None, seconds: float | None = None
    ) -> None:
        """Count a cell that is done or, with a `reason`, has failed.

        The failure and its log are kept; `log` is None if another process has kept them.
        """
        if reason is None:
            self.outcome.done += 1
            if self.keeper:
                self.keeper.ended(cell.id)
        else:
            self.outcome.failed += 1
            if log is not None:
                self._keep_failure(identified(cell, Status.FAILED, reason=reason), log)
        self.pace.ended(kind_of(cell), seconds)
        to_go = self.pace.to_go()
        self.shown.ended(self._called(cell), reason, to_go)
        if self.ended is not None:
            self.ended(cell, to_go)

    def _has_ended(self, cell: Cell) -> bool:
        """Count a cell if another process has ended it; return whether one has.

        A cell that failed elsewhere counts as ended only in a shared queue (`tried`), and if it has
        failed since the queue was written; otherwise it is tried again here.
        """
        if self.ledger.is_done(cell.id):
            self._count(cell, None, None)
        elif self.tried is not None and self.ledger.tries(cell.id) > self.tried.get(cell.id, 0):
            failure = self.ledger.newest_failure(cell.id)
            self._count(cell, (failure and failure.reason) or "its log cannot be read", None)
        else:
            return False
        return True

    def _keep_failure(self, record: Record, log: str) -> None:
        """Keep a failed attempt; if the disk takes no files, warn and go on."""
        try:
            self.ledger.fail(record, log)
        except OSError as error:
            line = f"{WARNING} logs of failed cells cannot be kept: {told_os(error)}"
            self._repeat_warnings(line)

    def _repeat_warnings(self, said: str) -> None:
        """Show each warning in a worker's output, once in all."""
        for line in said.splitlines():
            if line.startswith(WARNING) and line not in self.warned:
                self.warned.add(line)
                self.shown.remark(line)
