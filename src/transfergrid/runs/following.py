"""A process of rank 1 or more when several train one cell together: it trains, and nothing else.

    python -m transfergrid.runs.following RANK [--allow MODULE]...

It gets cells on stdin, one per line; see `together`, which starts it. It tests and writes nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist

from transfergrid.records import trust
from transfergrid.records.cell import cell_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.process import orphans
from transfergrid.records.tracking.tracker import NoTracker
from transfergrid.runs.cell import learn, maker_of, set_up
from transfergrid.runs.checkpoints import Checkpoint
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.machine import Machine, quiet
from transfergrid.runs.states import State
from transfergrid.runs.together import met


class Read(Checkpoint):
    """A checkpoint that is only read: the process of rank 0 writes it."""

    def is_due(self, step: int) -> bool:
        """Return False: nothing is saved."""
        return False

    def leave(self, state: State | None) -> None:
        """Save nothing."""


def follow(order: Mapping[str, Any], rank: int) -> None:
    """Train the cell of an order together with the other processes."""
    trust.check(order)
    quiet()
    cell, ledger = cell_of(order["cell"]), Ledger(order["results"])
    machine, clock = Machine(**order["machine"]).kept_in(ledger.root), Stopwatch()
    torch.set_num_threads(machine.threads)
    setup = set_up(cell, maker_of(cell, ledger, machine, NoTracker(), clock))
    parts = [*setup.strategy.modules(), setup.preprocess, setup.target.domain]
    left = Read(ledger.root, cell.id, parts, machine, clock)
    peers = met(order["meet"], rank, machine)
    learn(setup, replace(machine, peers=peers), _unheard, left=left)
    dist.destroy_process_group()


def _unheard(values: Mapping[str, float], step: int) -> None:
    """Log nothing: the process of rank 0 does."""


def main(arguments: Sequence[str]) -> None:
    """Run as a program."""
    orphans.end_with_parent()
    rank, *rest = arguments
    for name in rest[1::2]:
        trust.allow(name)
    for line in sys.stdin:
        follow(json.loads(line), int(rank))


if __name__ == "__main__":
    trust.leave_working_directory()
    main(sys.argv[1:])
