"""Runs the cells of a grid: checks their parts, runs each, returns the outcome."""

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
    """The result of building the parts of a grid's cells.

    Attributes:
        sizes: bytes of weights that some cells would keep, by identity.
        impossible: why some cells are impossible, by identity; they are not run.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    impossible: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def begun(ledger: Ledger, settings: Settings, cells: int) -> Iterator[Pool]:
    """Yield the workers of a grid, and end them with the block.

    With a new ledger the workers start now, before the grid is planned: their imports take longer
    than planning.

    Args:
        ledger: where records are written.
        settings: how cells are run.
        cells: the least number of cells there will be, if none turns out to be impossible.
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
    """Run cells in their order, several at once; a failing cell does not stop the others.

    Args:
        cells: the cells that are left to run.
        pool: the workers.
        done: how many cells of the grid were done before.
        checked: called once all parts have been built, before any cell runs.
        keeper: decides whose weights are kept; None keeps none.
        labels: labels of cells in the progress display, by identity, where not their own.
        ended: called with each cell that is done or failed, and the forecast of seconds left.
        more: returns further cells whenever none wait; only for this process's own workers.
        coming: about how many further cells there will be in all.

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
    """Run one cell in this process, so that a debugger works; its errors are not caught."""
    from transfergrid.runs.launching.worker import run

    keep = keeper.order(cell) if keeper else None
    with interrupts.interruptible():
        run(cell, ledger, settings.machine, settings.tracking, keep)
    if keeper:
        keeper.ended(cell.id)
