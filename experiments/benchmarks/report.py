"""How long the report of a large grid takes, how large it is, and how soon a browser shows it.

    OMP_NUM_THREADS=1 python experiments/benchmarks/report.py [CELLS]

The ledger is made up: five targets, four label budgets, five seeds and strategies of up to ten
sources, 500 test items each. Making it is not counted; the command is, with its start. Wanted for
10,000 cells: under 10 s and 10 MB.
"""

from __future__ import annotations

import dataclasses
import hashlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from transfergrid.records.cell import PROTOCOL, Names, Parts, Reference
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Cost, Data, Metric, Record, Scores, Seconds, Status

TARGETS, LABELS, SEEDS, STRATEGIES = 5, (5, 20, 100, "all"), 5, 10
ITEMS, CLASSES, KEYS = 500, 10, 20
RNG = np.random.default_rng(0)


def digest(*names: object) -> str:
    return hashlib.sha256(repr(names).encode()).hexdigest()[:16]


def config(part: str, name: str) -> dict[str, object]:
    return {"_target_": f"made.up.{part}", **{f"key_{i}": f"{name} {i}" for i in range(KEYS)}}


def cell(names: Names, labels: object, seed: int, share: float, **changes: object) -> Record:
    parts = Parts(
        strategy=digest("strategy", names.strategy),
        target=digest("target", names.target),
        source=digest("source", names.source),
        training=digest("training"),
    )
    record = {
        "id": digest(names, labels, seed),
        "status": Status.DONE,
        "names": names,
        "parts": parts,
        "labels": labels,
        "protocol": PROTOCOL,
        "seed": seed,
        "config": {
            "source": config("Source", str(names.source)),
            "strategy": config("Strategy", names.strategy),
            "target": config("Target", names.target),
            "labels": labels,
            "seed": seed,
            "training": config("Training", "default"),
        },
        "metric": Metric(),
        "scores": Scores(test={"accuracy": share}, validation={"accuracy": share}),
        "data": Data(train=2_000, test=ITEMS, classes=tuple(f"class {i}" for i in range(CLASSES))),
        "cost": Cost(seconds=Seconds(total=float(RNG.gamma(4.0)))),
    }
    return Record(**(record | changes))  # type: ignore[arg-type]


def said(right: np.ndarray) -> Predictions:
    labels = np.arange(ITEMS) % CLASSES
    found = np.where(right, labels, (labels + 1) % CLASSES)
    return Predictions(np.eye(CLASSES, dtype=np.float32)[found], labels)


def write(ledger: Ledger, record: Record, chance: float) -> Record:
    right = RNG.random(ITEMS) < chance
    scores = Scores(
        test={"accuracy": float(right.mean())}, validation={"accuracy": float(right.mean())}
    )
    record = dataclasses.replace(record, scores=scores)
    ledger.write(record, said(right))
    return record


def fill(ledger: Ledger, number: int) -> int:
    """Write about so many cells and return how many it were."""
    arms = number // (TARGETS * len(LABELS) * SEEDS)
    written = 0
    for target in (f"target_{i}" for i in range(TARGETS)):
        for labels in LABELS:
            for seed in range(SEEDS):
                written += block(ledger, target, labels, seed, arms)
    ledger.compact()
    return written


def block(ledger: Ledger, target: str, labels: object, seed: int, arms: int) -> int:
    names = Names(strategy="scratch", target=target, architecture="resnet18", training="default")
    scratch = write(ledger, cell(names, labels, seed, 0.7), 0.7)
    for i in range(arms - 1):
        source, strategy = f"source_{i // STRATEGIES}", f"strategy_{i % STRATEGIES}"
        names = Names(strategy=strategy, target=target, source=source,
                      architecture="resnet18", training="default")  # fmt: skip
        reference = Reference(name="scratch", id=scratch.id)
        gain = 0.03 * np.sin(i)
        write(ledger, cell(names, labels, seed, 0.7, baseline=reference), 0.7 + gain)
    return arms


def shown(path: Path) -> str:
    """Return how soon a browser has the page, where there is one."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if browser is None:
        return "no browser here"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page()
        page.goto(path.as_uri())
        ready = page.evaluate("performance.now()")
        begun = time.perf_counter()
        page.select_option("#filters [name=target]", "target_1")
        filtered = time.perf_counter() - begun
        opened.close()
    return f"in a browser after {ready / 1000:.1f} s, filtered in {filtered:.1f} s"


def main(number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger, out = Ledger(Path(folder) / "results"), Path(folder) / "report.html"
        written = fill(ledger, number)
        started = time.perf_counter()
        command = [sys.executable, "-m", "transfergrid", "report", str(ledger.root), "-o", str(out)]
        subprocess.run(command, check=True)
        wall = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = used.ru_utime + used.ru_stime
        size = out.stat().st_size / 1e6
        print(f"{written} cells: {wall:.1f} s ({processor:.1f} s of processor), {size:.1f} MB")
        print(shown(out))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
