"""How much a worker's memory grows over 300 cells of five strategies.

    OMP_NUM_THREADS=1 python experiments/benchmarks/memory.py [CELLS]

The first 20 cells fill the caches that are meant to be kept (domains, prepared images, sources);
growth is counted from there. Wanted: under 100 MB.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from warm_cells import cells, run

from transfergrid.runs.memory import end_of_cell

WARM_UP = 20


def resident_megabytes() -> float:
    """Return the resident set of this process in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main(number: int) -> None:
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        for cell in cells(WARM_UP + number):
            run(cell, Path(folder))
            end_of_cell()  # as a worker does
            sizes.append(resident_megabytes())
    warm = sizes[WARM_UP - 1]
    marks = {n: sizes[WARM_UP - 1 + n] - warm for n in range(0, number + 1, max(1, number // 6))}
    told = ", ".join(f"{n}: {grown:+.1f}" for n, grown in marks.items())
    print(f"{warm:.0f} MB after {WARM_UP} cells; growth in MB by cells: {told}")
    print(f"{sizes[-1] - warm:+.1f} MB over {number} cells")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
