"""Hours of small cells with all that goes wrong: kills, a tracker that answers late, a full disk.

    python experiments/reliability/soak.py [MINUTES] [CELLS] [SEED]

One command, a grid of so many tiny cells, is typed again and again until all are done or the time
is over, and then once more, undisturbed, to its end. Meanwhile the grid, a worker or all of them
are killed at random, the service that cells are tracked at takes its time, and once the disk fills
for a while (where a disk may be mounted). Writes `soak.json`: cells asked for, done, done twice and
lost; the longest wait for the next cell; memory over time.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kills import HERE, KINDS, Found, Grid, leftovers, strike
from slow_tracker import service

ARMS = 8
"""Cells that a seed has: three strategies, two baselines and three references, about."""
LOOK = 0.5
BETWEEN_KILLS = 60.0
"""Seconds, on average."""
FULL = 20.0
"""Seconds for which the disk takes nothing."""
MIB = 2**20


@dataclass
class Soaked:
    """What came of it.

    Attributes:
        asked: cells.
        done: of these.
        twice: that progress tells of more than once.
        failed: attempts, by reason.
        struck: what was killed how often.
        typed: how often the command was.
        longest_wait: seconds between two cells that came to be done.
        memory: (seconds, MB of all processes, cells that are done), each minute or so.
        left: what lies about in the end.
    """

    asked: int = 0
    done: int = 0
    twice: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    struck: dict[str, int] = field(default_factory=dict)
    typed: int = 0
    longest_wait: float = 0.0
    disk_was_full: bool = False
    memory: list[tuple[int, int, int]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    exit_code: int | None = None


@contextmanager
def disk(place: Path, size: int) -> Iterator[bool]:
    """Yield whether a disk of so many bytes is mounted at a place."""
    place.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    mounted = subprocess.run(words, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Write to a disk until it takes nothing more."""
    filler = place / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(MIB // 16))
    return filler


def memory_of(grid: Grid) -> int:
    """Return the MB that all processes of a grid hold."""
    pages = 0
    for number in grid.processes():
        with suppress(OSError):
            pages += int(Path(f"/proc/{number}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") // MIB


class Soak:
    """One grid, and what happens to it."""

    def __init__(self, grid: Grid, seconds: float, has_disk: bool) -> None:
        self.grid, self.end, self.has_disk = grid, time.monotonic() + seconds, has_disk
        self.begun, self.found, self.killed = time.monotonic(), Soaked(), Found()
        self.fills_at = self.begun + seconds / 2 if has_disk else float("inf")
        self.filler: Path | None = None
        self.next_kill, self.next_look = self._when(), self.begun
        self.done, self.since = 0, self.begun

    def _when(self) -> float:
        return time.monotonic() + random.expovariate(1 / BETWEEN_KILLS)

    def run(self) -> Soaked:
        """Let it happen until the time is over or all cells are done; then once in peace."""
        self._type()
        process = self.grid.process
        while process is not None and time.monotonic() < self.end:
            time.sleep(LOOK)
            if process.poll() is not None:
                if process.returncode == 0:
                    break
                process = self._type()
            self._disk()
            self._note()
            if time.monotonic() > self.next_kill:
                self.next_kill = self._when()
                if strike(self.grid, random.choice(KINDS), self.killed):
                    process = self._type()
        self._free()
        while process is not None and process.poll() is None:
            time.sleep(LOOK)
            self._note()
        self.found.exit_code = process.returncode if process is not None else None
        if self.found.exit_code == 1:  # what has failed is tried again
            self.found.exit_code = self._type().wait()
        return self._told()

    def _type(self) -> subprocess.Popen[bytes]:
        self.found.typed += 1
        return self.grid.start()

    def _disk(self) -> None:
        now = time.monotonic()
        if now > self.fills_at:
            self.filler, self.fills_at = fill(self.grid.folder / "results"), float("inf")
            self.found.disk_was_full, self.frees_at = True, now + FULL
        if self.filler is not None and now > self.frees_at:
            self._free()

    def _free(self) -> None:
        if self.filler is not None:
            self.filler.unlink()
            self.filler = None

    def _note(self) -> None:
        now, done = time.monotonic(), len(self.grid.done())
        if done > self.done:
            self.done, self.since = done, now
        self.found.longest_wait = max(self.found.longest_wait, round(now - self.since, 1))
        if now > self.next_look:
            self.next_look = now + 60
            self.found.memory.append((round(now - self.begun), memory_of(self.grid), done))

    def _told(self) -> Soaked:
        grid, found = self.grid, self.found
        (asked,) = (grid.folder / "results" / "grids").glob("*.json")
        found.asked = len(json.loads(asked.read_text())["cells"])
        found.done, found.struck = len(grid.done()), self.killed.instants
        said = Counter(
            line.partition("] ")[2]
            for file in grid.said
            for line in file.read_text().splitlines()
            if line.startswith("[") and line.endswith(": done")
        )
        found.twice = sum(number > 1 for number in said.values())
        for file in (grid.folder / "results").glob("attempts/*/*/record.json"):
            reason = json.loads(file.read_text())["reason"].partition(":")[0]
            found.failed[reason] = found.failed.get(reason, 0) + 1
        found.left = leftovers(grid, grid) + self.killed.left
        return found


def main(minutes: float, cells: int, seed: int) -> None:
    random.seed(seed)
    with tempfile.TemporaryDirectory() as root, service() as port:
        folder = Path(root)
        words = (
            *("--config-dir", str(HERE / "conf"), "source=tiny", "target=tiny", "labels=10"),
            *("strategy=full_finetuning,feature_extraction,pseudo_labels", "training=vectors"),
            *("training.steps=40", f"seed=range({-(-cells // ARMS)})", "results=results"),
            *("trainer.accelerator=cpu", "trainer.workers=2", "trainer.checkpoint_minutes=0.01"),
            *("trainer.cell_timeout=5", "trainer.cache=0", "tracking=slow"),
            f"tracking.port={port}",
        )
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(HERE), os.environ.get("PYTHONPATH")])
        )
        with disk(folder / "results", 256 * MIB + cells * MIB // 10) as has_disk:
            found = Soak(Grid(folder, words), 60 * minutes, has_disk).run()
            (HERE / "soak.json").write_text(json.dumps(asdict(found), indent=1) + "\n")
        print(json.dumps(asdict(found)))


if __name__ == "__main__":
    given = [*sys.argv[1:], *("120", "2000", "0")[len(sys.argv) - 1 :]]
    main(float(given[0]), int(given[1]), int(given[2]))
