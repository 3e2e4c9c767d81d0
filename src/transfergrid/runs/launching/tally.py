"""What became of a grid's cells: counted, kept, shown, and told to whoever asked."""

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
    """What became of a grid's cells."""

    done: int = 0
    failed: int = 0
    left: int = 0
    interrupted: bool = False
    detached: bool = False
    """Whether others run what is left, and nobody waits for them."""

    @property
    def exit_code(self) -> int:
        """1 if a cell failed."""
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
    """What cells are called, by identity."""
    pace: Pace = field(default_factory=lambda: Pace((), 1), kw_only=True)
    ended: Callable[[Cell, float | None], None] | None = field(default=None, kw_only=True)
    """Is told of each cell that is done or failed, and of how many seconds are foreseen."""
    tried: Mapping[str, int] | None = field(default=None, kw_only=True)
    """How often cells that many run together had failed before, by identity, where that is not 0;
    None: nobody has them from the same request."""

    def _called(self, cell: Cell) -> str:
        return self.labels.get(cell.id, cell.label)

    def _count(
        self, cell: Cell, reason: str | None, log: str | None, seconds: float | None = None
    ) -> None:
        """Count a cell that is done, or has failed for a reason.

        Its log is kept then, unless there is none: another process kept it.
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
        """Count a cell if others have run it; return whether they have.

        One that failed is tried again, unless it is known how often it had failed before: then
        others have it from the same request.
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
        """Keep a failed attempt; on a disk that takes nothing the cells go on all the same."""
        try:
            self.ledger.fail(record, log)
        except OSError as error:
            line = f"{WARNING} logs of failed cells cannot be kept: {told_os(error)}"
            self._repeat_warnings(line)

    def _repeat_warnings(self, said: str) -> None:
        """Show what a worker warned of, once."""
        for line in said.splitlines():
            if line.startswith(WARNING) and line not in self.warned:
                self.warned.add(line)
                self.shown.remark(line)
