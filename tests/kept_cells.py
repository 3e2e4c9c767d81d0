"""Small cells that were run with their weights kept."""

from dataclasses import replace

from composed import planned
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine

SMALL = ["source.domain.per_class=4", "source.domain.test_per_class=2", "source.training.steps=3"]
CPU = Machine(accelerator="cpu", threads=1)
CLASSICAL = ("majority", "logistic_regression")


def cell(strategy="full_finetuning", *overrides, labels=20, **changes):
    """Return a planned cell of this strategy on digits."""
    small = [] if strategy in CLASSICAL else [*SMALL, "training.steps=4"]
    made = planned(*small, f"strategy={strategy}", f"labels={labels}", *overrides)
    (chosen,) = [c for c in made.cells if c.id in made.wanted]
    return replace(chosen, **changes)


def made(folder, *strategies, keep="all"):
    """Return a ledger with a done cell of each strategy, and their records by strategy."""
    ledger = Ledger(folder / "results")
    return ledger, {name: run_cell(cell(name), ledger, CPU, keep=keep) for name in strategies}
