"""Kills a grid's process, a worker or all of them at random instants, types the same command again.

    python experiments/reliability/kills.py [INSTANTS] [SEED]

The grid has 65 cells of a tiny network: fine-tuning, a strategy of two phases and one with pseudo
labels, each with one setting and with two that are searched, their baselines and references, in
two workers, with a checkpoint every tenth of a second. An instant is drawn as a number of cells
that come to be done and some seconds after the last of these: so it may lie in imports, in the
training of a cell or between two of them. When a grid is done the next one begins in a new folder.
In the end every grid is held against one that nobody disturbed. Writes `kills.json`.
"""

from __future__ import annotations

import getpass
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
WORDS = (
    *("--config-dir", str(HERE / "conf"), "source=tiny", "target=tiny", "labels=10"),
    *("strategy=full_finetuning,linear_probe_then_finetuning,pseudo_labels", "tuning=none,two"),
    *("training=vectors", "training.steps=120", "trainer.accelerator=cpu", "trainer.workers=2"),
    *("trainer.checkpoint_minutes=0.002", "seed=range(5)", "results=results"),
)
KINDS = ("grid", "worker", "group")
OF_TIME = re.compile(r"^(cost\.(seconds|peak|continued)|started|finished)")
"""Keys of a record that tell when and how long."""
MARK = "TRANSFERGRID_KILLS"


@dataclass
class Found:
    """What came of the instants.

    Attributes:
        instants: by what was killed.
        cells: asked for, over all grids.
        twice: cells of which the progress of all attempts tells more than once that they are done.
        lost: cells that are not there in the end.
        differ: records, predictions or curves that are not those of the undisturbed grid.
        continued: cells that went on from a checkpoint.
        left: files, processes and claims that nobody needs.
        failed: attempts that were kept as failed, by reason: a worker that is killed in the same
            cell twice.
    """

    instants: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    grids: int = 0
    cells: int = 0
    twice: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    differ: list[str] = field(default_factory=list)
    continued: int = 0
    left: list[str] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    seconds_until_orphans_ended: float = 0.0


class Grid:
    """One folder, and the command that is typed in it until all is done."""

    def __init__(self, folder: Path, words: Sequence[str] = WORDS) -> None:
        self.folder, self.words = folder, words
        self.temporary = folder / "temporary"
        self.temporary.mkdir(parents=True)
        self.said: list[Path] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Type the command."""
        said = self.folder / f"said-{len(self.said)}.txt"
        self.said.append(said)
        own = {"TMPDIR": str(self.temporary), MARK: str(self.folder)}
        with said.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "transfergrid", *self.words],
                cwd=self.folder,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **own},
                start_new_session=True,
            )
        return self.process

    def done(self) -> set[str]:
        """Return the identities that have a folder of results."""
        return {f.name for f in (self.folder / "results" / "cells").glob("*/*")}

    def processes(self) -> list[int]:
        """Return those that this grid has started and that are there."""
        wanted = f"{MARK}={self.folder}".encode()
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                is_ours = wanted in (place / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if is_ours:  # a zombie has no environment any more
                found.append(int(place.name))
        return found

    def workers(self) -> list[int]:
        """Return the workers of the grid that runs."""
        assert self.process is not None
        return [number for number in self.processes() if number != self.process.pid]


def strike(grid: Grid, kind: str, found: Found) -> bool:
    """Kill what the kind says; return whether the command is to be typed again."""
    process, workers = grid.process, grid.workers()
    assert process is not None
    if kind == "worker":
        if not workers:
            return False
        os.kill(random.choice(workers), signal.SIGKILL)
        found.instants[kind] += 1
        return False
    found.instants[kind] += 1
    process.kill()
    for number in workers if kind == "group" else ():
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()
    begun = time.monotonic()
    while grid.processes() and time.monotonic() - begun < 60:
        time.sleep(0.05)
    took = time.monotonic() - begun
    found.seconds_until_orphans_ended = max(found.seconds_until_orphans_ended, took)
    found.left += [f"orphan {number}" for number in grid.processes()]
    return True


def disturb(grid: Grid, instants: int, cells: int, pause: float, found: Found) -> int:
    """Run a grid to its end, disturbed at so many instants at most; return how many there were."""
    process, struck = grid.start(), 0
    while True:
        goal = len(grid.done()) + random.randint(0, max(1, cells // 6))
        rest, kind = random.uniform(0, pause), random.choice(KINDS)
        while process.poll() is None and (len(grid.done()) < goal or struck == instants):
            time.sleep(0.02)
        if process.poll() is None:
            time.sleep(rest)
        if process.poll() is not None:
            if process.returncode == 0 and len(grid.done()) >= cells:
                return struck
            if process.returncode not in (0, 1):
                said = grid.said[-1].read_text()[-2000:]
                raise SystemExit(f"exit code {process.returncode}: {said}")
            process = grid.start()  # a cell whose worker was killed twice has failed
            continue
        before = sum(found.instants.values())
        if strike(grid, kind, found):
            process = grid.start()
        struck += sum(found.instants.values()) - before


def compare(grid: Grid, whole: Grid, found: Found) -> None:
    """Hold a disturbed grid against one that was not."""
    mine, theirs = grid.done(), whole.done()
    found.grids, found.cells = found.grids + 1, found.cells + len(theirs)
    found.lost += sorted(theirs ^ mine)
    said = "\n".join(file.read_text() for file in grid.said)
    told = Counter(re.findall(r"^\[[^\]]*\] (.*): done$", said, re.M))
    found.twice += [label for label, number in told.items() if number > 1]
    for identity in sorted(mine & theirs):
        folders = [g.folder / "results" / "cells" / identity[:2] / identity for g in (grid, whole)]
        records = [json.loads((folder / "record.json").read_text()) for folder in folders]
        found.continued += records[0]["cost"]["continued"] > 0
        flat = [dict(plain(record)) for record in records]
        differing = sorted(k for k in flat[0].keys() | flat[1].keys() if differ(k, *flat))
        found.differ += [f"{identity} {key}" for key in differing]
        for name in ("predictions.npz", "curves.npz"):
            if not same_arrays(*(folder / name for folder in folders)):
                found.differ.append(f"{identity} {name}")
    found.left += leftovers(grid, whole)
    for file in (grid.folder / "results").glob("attempts/*/*/record.json"):
        reason = json.loads(file.read_text())["reason"]
        found.failed[reason] = found.failed.get(reason, 0) + 1


def plain(value: Any, key: str = "") -> list[tuple[str, Any]]:
    """Return every value of nested dicts by its dotted key."""
    if isinstance(value, Mapping) and value:
        return [pair for k, v in value.items() for pair in plain(v, f"{key}.{k}".lstrip("."))]
    return [(key, value)]


def differ(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two records say different things that are not about time."""
    return not OF_TIME.match(key) and one.get(key) != other.get(key)


def same_arrays(one: Path, other: Path) -> bool:
    """Return whether two files hold the same arrays."""
    if not (one.exists() and other.exists()):
        return one.exists() == other.exists()
    with np.load(one) as a, np.load(other) as b:
        return {*a} == {*b} and all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)


def leftovers(grid: Grid, whole: Grid) -> list[str]:
    """Return what lies about: temporary files, claims, checkpoints, processes."""
    results = grid.folder / "results"
    usual = f"torchinductor_{getpass.getuser()}"  # one for all of a user's programs, by torch
    temporary = [f for f in grid.temporary.rglob("*") if f.name != usual]
    found = [str(f.relative_to(grid.folder)) for f in temporary]
    for name in ("tmp", "claims", "running"):
        found += [str(f.relative_to(grid.folder)) for f in (results / name).rglob("*")]
    known = {f.name for f in (whole.folder / "results").iterdir()} | {"attempts"}
    found += [f.name for f in results.iterdir() if f.name not in known and f.is_file()]
    return found + [f"process {number}" for number in grid.processes()]


def undisturbed(folder: Path, words: Sequence[str] = WORDS) -> tuple[Grid, float]:
    """Run the grid once as it is; return it and the seconds that a cell took."""
    whole, begun = Grid(folder, words), time.monotonic()
    if code := whole.start().wait():
        raise SystemExit(f"exit code {code}: {whole.said[0].read_text()[-2000:]}")
    return whole, (time.monotonic() - begun) / len(whole.done())


def run(root: Path, instants: int, words: Sequence[str] = WORDS) -> Found:
    """Disturb grids until there were so many instants; return what came of it."""
    found = Found()
    whole, pause = undisturbed(root / "whole", words)
    cells, number = len(whole.done()), 0
    while (rest := instants - sum(found.instants.values())) > 0:
        grid = Grid(root / f"grid-{number}", words)
        disturb(grid, rest, cells, 3 * pause, found)
        compare(grid, whole, found)
        number += 1
        print(json.dumps(asdict(found)), flush=True)
    return found


def main(instants: int, seed: int) -> None:
    random.seed(seed)
    with tempfile.TemporaryDirectory() as root:
        found = run(Path(root), instants)
    told = {"seed": seed, **asdict(found)}
    (HERE / "kills.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(*given, *(30, 0)[len(given) :]))
