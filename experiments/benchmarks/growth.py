"""What judging costs as a ledger grows: processor seconds of each verb, at 1,000 and 10,000 cells.

    OMP_NUM_THREADS=1 python experiments/benchmarks/growth.py [CELLS ...]

The ledger is made up (`made_up.py`), as full as one of `study=digits`; making it is not counted.
Each line is a whole command with its start; the first is the index, made from nothing. Where other
programs use the machine, processor seconds still compare. Wanted of 10,000: under 4 s each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_up import fill

from transfergrid.records.ledgers.ledger import Ledger

INDEX = (
    "import sys; from transfergrid.records.ledgers.ledger import Ledger; "
    "Ledger(sys.argv[1]).compact()"
)
VERBS = {
    "verdicts": ["verdicts", "--format", "json"],
    "table": ["table", "--format", "json"],
    "curves": ["curves", "--format", "json"],
    "curves over steps": ["curves", "--against", "steps", "--format", "json"],
    "report": ["report"],
}


def used(command: list[str], source: str | None = None) -> tuple[float, float, float]:
    """Run a command, of another checkout's `src` if given; return what it took.

    Processor seconds, wall seconds, and the most memory that it held, in MB.
    """
    environment = {**os.environ, **({"PYTHONPATH": source} if source else {})}
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, told = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: status {status}")
    wall = time.perf_counter() - started
    return told.ru_utime + told.ru_stime, wall, told.ru_maxrss / 1024


def measure(command: list[str]) -> str:
    """Run a command and tell its processor seconds, wall seconds and peak memory."""
    processor, wall, megabytes = used(command)
    return f"{processor:6.1f} s of processor, {wall:6.1f} s, {megabytes:6.0f} MB"


def grown(number: int, folder: Path) -> None:
    """Print what each verb takes of a ledger of about so many cells."""
    ledger = Ledger(folder / str(number))
    print(f"{fill(ledger, number):,} cells")
    print(f"  {'index':18}{measure([sys.executable, '-c', INDEX, str(ledger.root)])}")
    for name, (verb, *options) in VERBS.items():
        to = ["-o", str(folder / "report.html")] if verb == "report" else []
        command = [sys.executable, "-m", "transfergrid", verb, str(ledger.root), *options, *to]
        print(f"  {name:18}{measure(command)}", flush=True)


def main(numbers: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            grown(number, Path(folder))


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1_000, 10_000])
