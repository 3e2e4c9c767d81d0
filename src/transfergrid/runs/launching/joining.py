"""A worker loop: it takes cells of a queue as long as there are any that no other loop runs.

    python -m transfergrid.runs.launching.joining results/launches/ID

Any number of loops, on any machines that share the folder of results, together run each cell once:
claims (`ledgers.claims`) say who runs which. A loop may join or die at any time. It ends when every
cell is done or has failed, or when other loops have run all remaining cells for `PATIENCE` leases
without one of them dying.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from transfergrid.records import trust
from transfergrid.records.errors import BadInputError
from transfergrid.records.keeping import Keeper
from transfergrid.records.ledgers.claims import Claims
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.printing import complain, told_os
from transfergrid.records.process import orphans, stopping
from transfergrid.runs.launching.pace import Pace
from transfergrid.runs.launching.processes import Pool
from transfergrid.runs.launching.progress import progress
from transfergrid.runs.launching.queue import Queue
from transfergrid.runs.launching.settings import Settings

BEATS = 6
"""Signs of life (heartbeats) per lease."""
PATIENCE = 2.0
"""Leases to wait, while others run all remaining cells, for one of them to die."""
INTERRUPTED = 130
PROGRAM = ("-P", "-m", "transfergrid.runs.launching.joining")


def join(queue: Queue, cells: int | None = None, threads: int | None = None) -> int:
    """Run cells of a queue; return the exit code, 130 if this process was asked to end.

    Args:
        queue: the grid's queue.
        cells: how many cells at a time; None: `trainer.workers`, or one if that is auto.
        threads: CPU threads per cell, if `trainer.threads` is auto; None: `trainer.threads`.
    """
    told = dict(queue.trainer)
    asked = 1 if told["workers"] == "auto" else told["workers"]
    told |= {"workers": cells or asked, "progress": "lines"}
    told |= {"threads": threads} if threads and told["threads"] == "auto" else {}
    settings = Settings.read(told, queue.tracking, queue.study, queue.keep)
    ledger = Ledger(queue.results)
    keeper = Keeper(ledger, queue.keep, queue.cells)
    pool = Pool(ledger, settings, keeper=keeper, tried=queue.tried)
    pool.claims = Claims(ledger.root, queue.lease, queue.lease / BEATS)
    pool.pace, pool.patience = Pace(queue.cells, settings.workers), PATIENCE * queue.lease
    try:
        with progress("lines", total=len(queue.cells), done=0) as pool.shown:
            pool.run(queue.cells)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        pool.stop()
    return 0


def command(queue: Queue, threads: int | None = None, *options: str) -> list[str]:
    """Return the command line of a loop, for this Python and the modules this process trusts."""
    words = [sys.executable, *PROGRAM, str(queue.folder)]
    words += [] if threads is None else ["--threads", str(threads)]
    return [*words, *options, *(word for name in trust.allowed() for word in ("--allow", name))]


def main(arguments: Sequence[str]) -> int:
    """Run as a program."""
    chosen = _parser().parse_args(arguments)
    try:
        for name in chosen.allow:
            trust.allow(name)
        stopping.interrupt_on(
            signal.SIGTERM, signal.SIGUSR2
        )  # submitit has Slurm send the second one ahead of a job's end
        if chosen.with_parent:
            orphans.end_with_parent()
        return join(Queue.read(chosen.queue), chosen.cells, chosen.threads)
    except BadInputError as error:
        complain(error)
        return 2
    except OSError as error:
        complain(told_os(error))
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m transfergrid.runs.launching.joining")
    parser.add_argument("queue", type=Path, help="results/launches/ID of a grid that was launched")
    parser.add_argument("--cells", type=int, help="how many cells at a time")
    parser.add_argument("--threads", type=int, help="CPU threads of each")
    parser.add_argument("--with-parent", action="store_true", help="end with the parent process")
    parser.add_argument("--allow", action="append", default=[], metavar="MODULE", help="see --help")
    return parser


if __name__ == "__main__":
    trust.leave_working_directory()
    sys.exit(main(sys.argv[1:]))
