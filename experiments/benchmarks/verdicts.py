"""How long verdicts over 100,000 records take, and how much memory, as a whole process.

    python experiments/benchmarks/verdicts.py [REPEATS]

10 sources x 20 strategies x 5 targets x 10 label budgets x 10 seeds with 1,000 test items each, and
their baselines; scores are simulated, with items and seeds that differ in difficulty. The ledger is
as a finished grid leaves it: indexed, with the grid's own document; the table holds the same runs
as CSV, without items. Expected on two CPU cores: under 10 s and 2 GB for `transfergrid verdicts
RESULTS --format json` and for `transfergrid verdicts runs.csv --format json`.
CPU seconds are shown as well: they tell more than wall seconds where others use the machine.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.declared.declarations import Declaration
from transfergrid.records.cell import PROTOCOL, Names, Parts, Reference
from transfergrid.records.files.arrays import Packed
from transfergrid.records.ledgers import index
from transfergrid.records.ledgers.index import Indexed
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Cost, Data, Record, Scores, Seconds, Status

SOURCES, STRATEGIES, TARGETS, SEEDS, ITEMS = 10, 20, 5, 10, 1_000
LABELS: tuple[int | str, ...] = (1, 2, 5, 10, 20, 50, 100, 200, 500, "all")
CLASSES = tuple(f"class_{i}" for i in range(10))
RNG = np.random.default_rng(0)


def digest(*parts: object) -> str:
    """Return 16 hex digits that stand for some parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def items_right(accuracy: float, hard: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which items a run gets right that differ in how hard they are."""
    own = 0.8 * hard + 0.6 * RNG.normal(size=len(hard))
    return own < np.quantile(own, np.clip(accuracy + RNG.normal(0, 0.01), 0.02, 0.995))


def records() -> Iterator[list[tuple[Record, Packed]]]:
    """Yield the cells of each target and label budget, baselines first."""
    for target, labels in product(range(TARGETS), LABELS):
        hard = RNG.normal(size=ITEMS)
        base = 0.5 + 0.04 * LABELS.index(labels)
        cells = [cell(None, "scratch", target, labels, s, base, hard) for s in range(SEEDS)]
        there = {record.seed: record for record, _ in cells}
        for source, strategy in product(range(SOURCES), range(STRATEGIES)):
            reached = base + RNG.normal(0.01, 0.02)
            cells += [
                cell(f"source_{source}", f"strategy_{strategy}", target, labels, s, reached, hard)
                for s in range(SEEDS)
            ]
        yield [(named(record, there), right) for record, right in cells]


def named(record: Record, there: dict[int, Record]) -> Record:
    """Return a cell with the baseline that it names."""
    if record.names.source is None:
        return record
    other = there[record.seed]
    fields = {key: getattr(record, key) for key in record.__dataclass_fields__}
    return Record(**{**fields, "baseline": Reference(name="scratch", id=other.id)})


def cell(
    source: str | None,
    strategy: str,
    target: int,
    labels: int | str,
    seed: int,
    accuracy: float,
    hard: NDArray[np.float64],
) -> tuple[Record, Packed]:
    """Return one cell's record and the items it got right."""
    right = items_right(accuracy, hard)
    score = float(right.mean())
    part = {
        "_target_": "transfergrid.strategies.baselines.scratch.Scratch",
        "lr_factor": 1.0,
        "about": {},
    }
    record = Record(
        protocol=PROTOCOL,
        id=digest(source, strategy, target, labels, seed),
        status=Status.DONE,
        names=Names(
            strategy=strategy, target=f"target_{target}", source=source, architecture="small_cnn"
        ),
        parts=Parts(
            strategy=digest(strategy),
            target=digest("target", target),
            source=digest("source", source),
            training=digest("training"),
        ),
        labels=labels,  # type: ignore[arg-type]
        seed=seed,
        config={"source": {"name": source}, "strategy": part, "labels": labels, "seed": seed},
        scores=Scores(
            train={"accuracy": 0.99, "loss": 0.1},
            validation={"accuracy": score, "loss": 0.5},
            test={"accuracy": score, "macro_f1": score, "ece": 0.05, "loss": 0.5},
        ),
        data=Data(train=160, validation=40, test=ITEMS, classes=CLASSES),
        cost=Cost(seconds=Seconds(total=5.0)),
        study="made_up",
        finished="2026-11-21T12:00:00+00:00",
    )
    return record, Packed(np.packbits(right).tobytes(), ITEMS, digest("items", target))


COLUMNS = ("source", "architecture", "strategy", "target", "labels", "seed", "score")


def build(ledger: Ledger, table: Path) -> int:
    """Write the ledger and the table of its runs; return how many there are.

    Cell folders stay empty: those that are indexed are not opened.
    """
    (ledger.root / "index").mkdir(parents=True)
    compared: dict[str, dict[str, object]] = {}
    runs: list[tuple[object, ...]] = []
    for segment, cells in enumerate(records()):
        rows = []
        runs += [run(record) for record, _ in cells]
        for record, right in cells:
            folder = ledger.folder(record.id)
            folder.mkdir(parents=True)
            rows.append(Indexed(record, folder.stat().st_mtime_ns, right))
            other = record.baseline
            compared[record.id] = {
                "baseline": asdict(other) if other else None,
                "exploratory": [],
                "contaminated_by": [],
            }
        index.save(ledger.root / "index" / f"{segment:020d}-made-up.parquet", rows)
    declared = Declaration(seeds=tuple(range(SEEDS)), max_seeds=SEEDS)
    asked = {"id": "made_up", "asked": "2026-11-21T11:00:00+00:00", "cells": compared}
    ledger.write_document("grids", {**asked, "declaration": declared.plain()})
    with table.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([COLUMNS, *runs])
    return len(compared)


def run(record: Record) -> tuple[object, ...]:
    """Return a record as a row of the table."""
    names = record.names
    arm = (names.source or "", names.architecture, names.strategy, names.target)
    return (*arm, record.labels, record.seed, record.score)


def measure(results: Path) -> tuple[float, float, float, int]:
    """Return wall seconds, CPU seconds and peak memory in MB of one run, and its verdicts."""
    command = [sys.executable, "-m", "transfergrid", "verdicts", str(results), "--format", "json"]
    with tempfile.TemporaryFile("w+") as out:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        if status:
            raise SystemExit(f"{' '.join(command)}: status {status}")
        out.seek(0)
        rows = json.load(out)
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, len(rows)


def told(what: str, results: Path, repeats: int) -> str:
    """Return in a line what judging these results takes."""
    runs = [measure(results) for _ in range(repeats)]
    wall, cpu, memory = (sorted(run[i] for run in runs) for i in range(3))
    return (
        f"{what}: {runs[0][3]:,} verdicts in {statistics.median(wall):.1f} s (median of {repeats}, "
        f"{wall[0]:.1f} to {wall[-1]:.1f}; CPU {statistics.median(cpu):.1f} s, {cpu[0]:.1f} to "
        f"{cpu[-1]:.1f}), {memory[-1]:.0f} MB"
    )


def main(repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        results, table = Path(folder) / "results", Path(folder) / "runs.csv"
        number = build(Ledger(results), table)
        print(f"{number:,} runs")
        print(told("ledger", results, repeats))
        print(told("CSV", table, repeats))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
