"""Run a grid of pretended cells: `python pretend_grid.py RESULTS WHAT [WHAT ...]`."""

import sys
from pathlib import Path
from unittest.mock import patch

from transfergrid.records.cell import Cell, Names, Parts
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.launching import grids, joining, processes
from transfergrid.runs.launching.launchers import Workers
from transfergrid.runs.launching.settings import Settings

LOOP = (str(Path(__file__).with_name("pretend_loop.py")),)
WORKER = Path(__file__).with_name("pretend_worker.py")
COMMAND = (sys.executable, str(WORKER))
TRAINER = {
    "accelerator": "cpu",
    "workers": 2,
    "threads": 1,
    "loader_workers": 0,
    "deterministic": "warn",
    "progress": "auto",
}


def cell(number, what="work", training=None, **strategy):
    return Cell(
        id=f"{number:016x}",
        names=Names(strategy=what, target="t"),
        parts=Parts(strategy=what, target="t"),
        labels=1,
        seed=number,
        config={
            "source": None,
            "strategy": {"_target_": "x.Y", "what": what, **strategy},
            "target": {},
            "training": training,
        },
    )


def run(results, cells, command=COMMAND, checked=lambda found: None, launcher=None, **trainer):
    """Run what is missing of these cells."""
    workers = patch.object(processes.Pool, "command", command)
    with workers, patch.object(joining, "PROGRAM", LOOP):
        return _run(results, cells, trainer, checked, launcher)


def _run(results, cells, trainer, checked, launcher):
    settings = Settings.read({**TRAINER, **trainer}, {}, None, launcher=launcher)
    ledger = Ledger(results)
    done = ledger.done(c.id for c in cells)
    left = [c for c in cells if c.id not in done]
    pool = processes.Pool(ledger, settings)
    return grids.run_grid(left, pool, done=len(done), checked=checked)


if __name__ == "__main__":
    launched = "--launcher=workers" in sys.argv[1:2] and Workers(n=1)
    results, *told = sys.argv[2:] if launched else sys.argv[1:]
    cells = [cell(i, what) for i, what in enumerate(told)]
    made = run(Path(results), cells, launcher=launched or None)
    print(made, flush=True)
    sys.exit(130 if made.interrupted else made.exit_code)
