"""How long a person waits for help or for the answer to a typo.

    python experiments/benchmarks/startup.py

Times whole processes, seven runs each after a warm-up, side by side with an interpreter that does
nothing. Wanted: under one second.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "--help": ["--help"],
    "unknown key": ["sorce=timm"],
    "unknown strategy": ["strategy=full_finetunning"],
    "unknown value in a list": ["-m", "strategy=scratch,skratch"],
    "unknown key in a group": ["strategy=full_finetuning", "strategy.lr_fctor=2"],
    "impossible labels": ["labels=-1"],
}
RUNS = 7


def seconds(words: list[str], folder: str) -> float:
    """Return the wall time of one process."""
    command = (
        words if words[0] == sys.executable else [sys.executable, "-m", "transfergrid.verbs.cli"]
    )
    started = time.perf_counter()
    subprocess.run(
        command if command is words else [*command, *words],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'command':<26} {'min':>6} {'median':>7} {'max':>6}   seconds, n={RUNS}")
        for name, words in COMMANDS.items():
            seconds(words, folder)
            times = [seconds(words, folder) for _ in range(RUNS)]
            median = statistics.median(times)
            print(f"{name:<26} {min(times):6.2f} {median:7.2f} {max(times):6.2f}")


if __name__ == "__main__":
    main()
