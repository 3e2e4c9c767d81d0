"""What a cell costs beyond its training, in a warm process without a tracker.

    OMP_NUM_THREADS=1 python experiments/benchmarks/overhead.py [CELLS]

Overhead is wall time less the record's seconds of training (source, teacher, train): loading,
scoring 797 test images, writing the record. Wanted: under 0.3 s.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from warm_cells import cells, run

from transfergrid.runs.memory import end_of_cell

WARM_UP = 10


def main(number: int) -> None:
    beyond: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for i, cell in enumerate(cells(WARM_UP + number)):
            started = time.perf_counter()
            record = run(cell, Path(folder))
            end_of_cell()  # as a worker does
            wall = time.perf_counter() - started
            seconds = record.cost.seconds
            if i >= WARM_UP:
                training = seconds.source + seconds.teacher + seconds.train
                beyond[record.names.strategy].append(wall - training)
    beyond = {"all": [s for listed in beyond.values() for s in listed], **beyond}
    for name, listed in beyond.items():
        deciles = statistics.quantiles(listed, n=10)
        print(
            f"{name:<20} {statistics.median(listed):.3f} s (n={len(listed)}, "
            f"10 to 90 %: {deciles[0]:.3f} to {deciles[-1]:.3f})"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
