"""A grid's cells from the first to the last: their parts checked, each run, an outcome told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from transfergrid.records.cell import Cell
from transfergrid.records.keeping import Keeper
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.process import interrupts
from transfergrid.runs.launching.launches import launch
from transfergrid.runs.launching.pace import Pace
from transfergrid.runs.launching.processes import Pool
from transfergrid.runs.launching.progress import progress
from transfergrid.runs.launching.settings import Settings
from transfergrid.runs.launching.tally import Outcome
from transfergrid.runs.planning.plan import left_of


@dataclass(frozen=True)
class Checked:
    """What building the parts of a grid's cells has shown.

    Attributes:
        sizes: bytes that some cells would keep, by identity.
        impossible: why some cells cannot be, by identity; they are not run.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    impossible: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def begun(ledger: Ledger, settings: Settings, cells: int) -> Iterator[Pool]:
    """Yield the workers of a grid, who end with it.

    Where nothing was ever done they begin now and not when the grid is planned: what they import
    takes longer than the plan.

    Args:
        ledger: where records will go.
        settings: how to run.
        cells: how many there will be at least, if none turns out to be impossible.
    """
    pool = Pool(ledger, settings)
    with interrupts.on_the_spot(pool.drop):
        try:
            if cells and not ledger.exists():
                interrupts.hear_all()
                pool.begin(cells)
            yield pool
        finally:
            pool.stop()


def run_grid(
    cells: Sequence[Cell],
    pool: Pool,
    done: int = 0,
    checked: Callable[[Checked], None] = lambda found: None,
    keeper: Keeper | None = None,
    labels: Mapping[str, str] | None = None,
    ended: Callable[[Cell, float | None], None] | None = None,
    more: Callable[[], Sequence[Cell]] | None = None,
    coming: int = 0,
) -> Outcome:
    """Run cells in their order, several at once; a failing cell stops no other.

    Args:
        cells: what is left to do.
        pool: the workers.
        done: how many cells of the grid were done before.
        checked: called once all parts were built, and before any cell is run.
        keeper: decides whose weights are kept; None keeps none.
        labels: what progress calls cells, by identity, where that is not their label.
        ended: is told of each cell that is done or failed, and of how many seconds are foreseen.
        more: gives further cells whenever no others wait; for workers of this process alone.
        coming: how many these will be in all, about.

    Raises:
        BadInputError: a part cannot be built as it was asked for; nothing was run.
    """
    if not cells:
        checked(Checked())
        return Outcome()
    settings = pool.settings
    pool.keeper, pool.labels, pool.ended, pool.more = keeper, labels or {}, ended, more
    pool.pace = Pace(cells, settings.workers, coming)
    try:
        interrupts.hear_all()
        impossible = pool.check(cells)
        checked(Checked(pool.sizes, impossible))
        cells = left_of(cells, impossible)
        local, total = settings.launcher.is_local, done + len(cells) + coming
        waits = interrupts.deferred() if local else interrupts.interruptible()
        with waits, progress(settings.progress, total=total, done=done) as pool.shown:
            if local:
                pool.run(cells)
            else:
                launch(cells, pool)
    except KeyboardInterrupt:
        pool.outcome.interrupted = True
    finally:
        with interrupts.deferred():
            pool.stop()
    outcome = pool.outcome
    outcome.left = max(0, len(cells) + coming - outcome.done - outcome.failed)
    return outcome


def run_here(cell: Cell, ledger: Ledger, settings: Settings, keeper: Keeper | None = None) -> None:
    """Run one cell in this process, so that a debugger works; errors are raised as they are."""
    from transfergrid.runs.launching.worker import run

    keep = keeper.order(cell) if keeper else None
    with interrupts.interruptible():
        run(cell, ledger, settings.machine, settings.tracking, keep)
    if keeper:
        keeper.ended(cell.id)
