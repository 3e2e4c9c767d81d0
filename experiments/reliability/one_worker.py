"""Whether a worker grows: its memory, open files and threads over a thousand cells.

    OMP_NUM_THREADS=1 python experiments/reliability/one_worker.py [CELLS]

One worker process, as a grid starts it, is ordered one tiny cell after another: fine-tuning, a
probe, a closed form, a searched cell and one with pseudo labels, in turn. The first fifty fill the
caches that are meant to be kept. Writes `growth.csv`, a line each fifty cells. Wanted: under 50 MB
more in the end than after the first fifty, and neither a file nor a thread.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from transfergrid import api
from transfergrid.records.cell import Cell
from transfergrid.records.training import Training
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked
from transfergrid.runs.tuning.searches import RandomSearch
from transfergrid.strategies.baselines.logistic_regression import LogisticRegression
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.self_training.pseudo_labels import PseudoLabels
from transfergrid.testing.tiny_vectors import TinyVectorDomain, TinyVectorSource

HERE = Path(__file__).parent
EVERY = 50
KINDS: tuple[tuple[Any, Any], ...] = (
    (FullFinetuning(), None),
    (FeatureExtraction(), None),
    (LogisticRegression(), None),
    (FullFinetuning(), RandomSearch(trials=2)),
    (PseudoLabels(), None),
)
COLUMNS = ("cells", "seconds", "own_mb", "mapped_mb", "files", "threads")


def cells(number: int) -> Iterator[Cell]:
    """Yield so many cells, the kinds in turn, a new seed each round."""
    rounds = -(-number // len(KINDS))
    own = [iter(_planned(strategy, tuning, rounds)) for strategy, tuning in KINDS]
    for kind in islice(cycle(own), number):
        yield next(kind)


def _planned(strategy: Any, tuning: Any, seeds: int) -> list[Cell]:
    training = Training(steps=8, batch_size=8, validations=2, augmentation="none")
    asked = Asked(
        sources=[api._option(TinyVectorSource())],
        strategies=[api._option(strategy)],
        targets=[api._option(TinyVectorDomain())],
        trainings=[api._option(training)],
        tunings=[tuning and api._option(tuning)],
        labels=[10],
        seeds=range(seeds),
    )
    plan = Planner(api._baseline).plan(asked)
    return [cell for cell in plan.cells if cell.id in plan.wanted]


def look(process: int) -> dict[str, int]:
    """Return what a process holds: MB of its own and of mapped files, open files, threads."""
    told = dict(
        line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines()
    )
    return {
        "own_mb": int(told["RssAnon"].split()[0]) // 1024,
        "mapped_mb": int(told["RssFile"].split()[0]) // 1024,
        "files": len([*Path(f"/proc/{process}/fd").iterdir()]),
        "threads": int(told["Threads"]),
    }


def main(number: int) -> None:
    rows, begun = [], time.monotonic()
    with tempfile.TemporaryDirectory() as results, tempfile.TemporaryFile() as log:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "transfergrid.runs.launching.worker", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert worker.stdin is not None
        assert worker.stdout is not None
        machine = {"accelerator": "cpu", "threads": 1}
        for done, cell in enumerate(cells(number), start=1):
            order = {"cell": asdict(cell), "results": results, "machine": machine}
            print(json.dumps(order), file=worker.stdin, flush=True)
            answer = next(json.loads(a) for a in worker.stdout if not a.startswith('{"doing"'))
            if answer["reason"] is not None:
                raise SystemExit(f"{cell.label}: {answer['reason']}")
            if done % EVERY == 0:
                seconds = round(time.monotonic() - begun)
                rows.append({"cells": done, "seconds": seconds, **look(worker.pid)})
                print(rows[-1], flush=True)
        worker.stdin.close()
        worker.wait()
    with (HERE / "growth.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
