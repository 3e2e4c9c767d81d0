"""The same kill, side by side: Hydra's own launcher with a template's layout, and transfergrid.

    python experiments/reliability/others.py [SECONDS]

Each runs a grid of 12 trainings of a small network, three learning rates by four seeds, in one
process at a time. Once six are done and the seventh has left its first checkpoint, SECONDS later
(0.1), all of its processes are killed with SIGKILL, and the same command is typed again, which is
what its author would do. `plain/` is a Hydra app laid out as lightning-hydra-template is: a folder
a multirun, named by the time; ModelCheckpoint; a logger. Prints and writes `others.csv`.

Counted: trainings that were run to their end more than once; cells without a result in the end;
folders of results that are there and hold none; whether the interrupted training went on.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

HERE = Path(__file__).parent
CELLS, HALF = 12, 6
MARK = "TRANSFERGRID_OTHERS"
PLAIN = ("-m", "model.lr=0.003,0.01,0.03", "seed=0,1,2,3")
OURS = (
    *("-m", "transfergrid", "--config-dir", str(HERE / "conf"), "source=tiny", "target=tiny"),
    *("strategy=full_finetuning", "labels=10", "training=vectors", "training.steps=120"),
    *("training.lr=0.003,0.01,0.03", "seed=0,1,2,3", "baselines=none", "references=[]"),
    *("trainer.accelerator=cpu", "trainer.workers=1", "trainer.checkpoint_minutes=0.02"),
)


@dataclass
class Row:
    """What came of one of them."""

    what: str
    cells: int
    run_to_the_end: int
    """Trainings in all, over both commands."""
    twice: int
    lost: int
    half_written: int
    went_on: int
    """Trainings that went on from what the killed process had left."""


def until(holds: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait for something while a process runs."""
    while not holds():
        if process.poll() is not None:
            raise SystemExit(f"it ended before it could be killed: {process.returncode}")
        time.sleep(0.01)


def processes(place: Path) -> list[int]:
    """Return those that a command in this place has started."""
    wanted, found = f"{MARK}={place}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = wanted in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if is_ours:
            found.append(int(folder.name))
    return found


def killed_once(
    command: Sequence[str], place: Path, is_amid: Callable[[], bool], rest: float
) -> list[str]:
    """Run a command, kill all of it in the middle, run it again; return what it said."""
    said = []
    for is_first in (True, False):
        log = place / f"said-{int(is_first)}.txt"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=place,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, MARK: str(place)},
                start_new_session=True,
            )
        if is_first:
            until(is_amid, process)
            time.sleep(rest)
            for number in processes(place):
                os.kill(number, signal.SIGKILL)
        elif code := process.wait():
            raise SystemExit(f"exit code {code}: {log.read_text()[-2000:]}")
        process.wait()
        said.append(log.read_text())
    return said


def plain(place: Path, rest: float) -> Row:
    """Run the Hydra app."""
    log = place / "job.log"

    def ended() -> list[str]:
        told = log.read_text().splitlines() if log.exists() else []
        return [line for line in told if line.startswith("ended")]

    def is_amid() -> bool:
        begun = any(place.glob(f"logs/train/multiruns/*/{HALF}/checkpoints/last.ckpt"))
        return begun and len(ended()) == HALF

    killed_once([str(HERE / "plain" / "train.py"), *PLAIN], place, is_amid, rest)
    runs = Counter(ended())
    jobs = [folder for folder in place.glob("logs/train/multiruns/*/*") if folder.is_dir()]
    bare = [folder for folder in jobs if not (folder / "metrics.json").exists()]
    return Row(
        "Hydra's launcher, lightning-hydra-template's layout",
        CELLS,
        runs.total(),
        sum(count > 1 for count in runs.values()),
        CELLS - len(runs),
        len(bare),
        0,
    )


def ours(place: Path, rest: float) -> Row:
    """Run transfergrid."""
    results = place / "results"

    def records() -> list[Path]:
        return [*results.glob("cells/*/*/record.json")]

    def is_amid() -> bool:
        return len(records()) == HALF and any(results.glob("running/*.safetensors"))

    said = killed_once(OURS, place, is_amid, rest)
    runs = Counter(re.findall(r"^\[[^\]]*\] (.*): done$", "\n".join(said), re.M))
    told = [json.loads(record.read_text()) for record in records()]
    bare = [f for f in results.glob("cells/*/*") if not (f / "record.json").exists()]
    left = [f for name in ("tmp", "claims", "running") for f in (results / name).rglob("*")]
    return Row(
        "transfergrid",
        CELLS,
        len(told) + sum(count - 1 for count in runs.values()),
        sum(count > 1 for count in runs.values()),
        CELLS - len(told),
        len(bare) + len(left),
        sum(record["cost"]["continued"] > 0 for record in told),
    )


def main(rest: float) -> None:
    rows = []
    for one in (plain, ours):
        with tempfile.TemporaryDirectory() as place:
            rows.append(one(Path(place), rest))
        print(rows[-1], flush=True)
    with (HERE / "others.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, rows))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.1)
