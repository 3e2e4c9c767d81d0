"""Data sets as targets of a grid, made wrong in seeded ways: `python data_mutations.py [COUNT]`.

Each mutation damages one of an image folder, a table of images, tables of texts and an archive of
arrays; then a grid is planned for it and the data of its first cell are read, in this process and
without training. Expected, whatever the damage:

- the data are read, or one printable line names them and says what is wrong, within `SECONDS`;
- nothing that lies beside them is imported, called or unpickled (an audit hook listens).

Prints a line for each mutation that breaks one of these, and how many did not.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # its neighbours, from wherever it is started

import damage
from mutations import COMMANDS, LISTENER, own, restored

from transfergrid.api import _option
from transfergrid.data.arrays import Arrays
from transfergrid.data.domain import Domain
from transfergrid.data.image_folder import ImageFolder
from transfergrid.data.image_table import ImageTable
from transfergrid.data.text_table import TextTable
from transfergrid.records.errors import BadInputError
from transfergrid.records.printing import complain, say, told_os
from transfergrid.records.training import Training
from transfergrid.runs.planning import forewarnings
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked
from transfergrid.strategies.baselines.majority import Majority

SECONDS = 5
LONGEST = 20_000
"""Characters of a line that says what is wrong."""
EACH = 4
"""Images of a class and a split."""
TARGETS: Mapping[str, Domain] = {
    "pictures": ImageFolder("pictures"),
    "skipping": ImageFolder("pictures", skip_broken=True, duplicates="drop"),
    "photos.csv": ImageTable("photos.csv", split_column="split", group_column="patient"),
    "texts.csv": TextTable("texts.csv", test_split=0.25),
    "texts.jsonl": TextTable("texts.jsonl", test_split=0.25, empty="drop"),
    "texts.parquet": TextTable("texts.parquet", split_column="split", cluster_column="patient"),
    "split": TextTable("split", duplicates="drop"),
    "arrays.npz": Arrays("arrays.npz", duplicates="drop"),
    "whole.npz": Arrays("whole.npz", test_split=0.25),
}
"""By the name of what they read, or, of a second way of reading it, by another one."""


def build_data(root: Path) -> None:
    """Write a small one of each kind of data set below a folder that is empty."""
    from PIL import Image

    draw = np.random.default_rng(0)
    splits = [(split, name) for split in ("train", "test") for name in ("cat", "dog")]
    rows = []
    for split, name in splits:
        (root / "pictures" / split / name).mkdir(parents=True)
        for i in range(EACH):
            place = root / "pictures" / split / name / f"{i}.png"
            Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place)
            text = f"a {name}: {' '.join(map(str, draw.integers(0, 99, 5)))}"
            said = {"path": str(place.relative_to(root)), "text": text, "label": name}
            rows.append(said | {"split": split, "patient": f"{split} {i}"})
    _tables(root, rows)
    _arrays(root, draw)
    (root / "evil").mkdir()
    for place in (root / "evil" / "__init__.py", root / "evil_module.py"):
        place.write_text("class X: pass\n")
    (root / "pictures" / "config.yaml").write_text(
        "_target_: !!python/object/apply:os.system [x]\n"
    )


def _tables(root: Path, rows: list[dict[str, str]]) -> None:
    import pandas

    frame = pandas.DataFrame(rows)
    frame.to_csv(root / "photos.csv", index=False)
    frame.to_csv(root / "texts.csv", index=False)
    frame.to_json(root / "texts.jsonl", orient="records", lines=True)
    frame.to_parquet(root / "texts.parquet")
    (root / "split").mkdir()
    (root / "split" / "classes.json").write_text('["cat", "dog"]')
    for split, part in frame.groupby("split"):
        part.to_csv(root / "split" / f"{split}.csv", index=False)


def _arrays(root: Path, draw: np.random.Generator) -> None:
    x = draw.integers(0, 256, (16, 8, 8), dtype=np.uint8)
    y, names = np.arange(16) % 2, np.array(["cat", "dog"])
    np.savez(root / "whole.npz", x=x, y=y, class_names=names)
    np.savez(root / "arrays.npz", x_train=x[:8], y_train=y[:8], x_test=x[8:], y_test=y[8:])


@dataclass(frozen=True)
class Mutation:
    """One thing made wrong, and the target that meets it."""

    path: str
    """Below the folder of data sets."""
    damage: str
    target: str

    def __str__(self) -> str:
        return f"{self.damage} {self.path!r}, read as {self.target}"


def place_of(target: Domain) -> str:
    """Return the file or folder that a target reads."""
    return str(getattr(target, target.paths[0]))


def drawn(root: Path, draw: random.Random) -> Mutation:
    """Draw a target and what to damage of it, and damage it."""
    name = draw.choice(sorted(TARGETS))
    place = root / place_of(TARGETS[name])
    if place.suffix == ".csv" and draw.random() < 0.3:
        place = root / "pictures"  # what the table names
    if place.is_dir() and draw.random() < 0.95:
        place = draw.choice(sorted(place.rglob("*")))
    chosen = damage.of_data(place, draw)
    own(place)
    chosen(place, draw)
    return Mutation(str(place.relative_to(root)), chosen.__name__, name)


def read(target: Domain) -> None:
    """Plan a grid for a target, say what is odd, and read what its first cell reads.

    Raises:
        BadInputError: the target cannot be read.
    """
    from transfergrid.data import opened
    from transfergrid.records.tracking.tracker import NoTracker
    from transfergrid.runs import cell
    from transfergrid.runs.cost import Stopwatch
    from transfergrid.runs.machine import Machine
    from transfergrid.runs.pretraining import SourceMaker

    opened._opened.cache_clear()
    option, strategy = _option(target), _option(Majority())
    parts: dict[str, Any] = {"sources": [None], "strategies": [strategy], "targets": [option]}
    planner = Planner(lambda name: strategy)
    planner.fitting.classes(option.config)
    plan = planner.plan(Asked(**parts, trainings=[_option(Training())], labels=[2], seeds=[0]))
    for line in forewarnings.lines(plan.cells):
        say(line)
    maker = SourceMaker(Path("unused"), Machine(accelerator="cpu"), NoTracker(), Stopwatch())
    setup = cell.set_up(plan.cells[0], maker)
    view = setup.target.whole("test", setup.preprocess)
    view.inputs(view.rows)


class SlowError(BaseException):
    """Reading took longer than `SECONDS`; nothing that reads catches it."""


@contextlib.contextmanager
def hurried(root: Path) -> Iterator[None]:
    """Raise `SlowError` after `SECONDS`; threads that wait at a pipe go on then."""

    def stop(number: int, frame: object) -> None:
        for place in filter(Path.is_fifo, root.rglob("*")):
            os.close(os.open(place, os.O_RDWR | os.O_NONBLOCK))
        raise SlowError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def faults(root: Path, mutation: Mutation) -> Iterator[str]:
    """Yield what a mutation broke."""
    target = TARGETS[mutation.target]
    out, err, raised = io.StringIO(), io.StringIO(), ""
    LISTENER.heard.clear()
    LISTENER.root = root
    denied = mutation.damage == damage.denied.__name__
    LISTENER.denied = str(root / mutation.path) if denied else ""
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            with hurried(root):
                read(target)
        except BadInputError as error:
            complain(error)
        except OSError as error:  # a grid tells these so as well
            complain(told_os(error))
        except BaseException:
            raised = traceback.format_exc()
    LISTENER.root, LISTENER.denied = None, ""
    yield from (*LISTENER.heard, *filter(None, [raised]))
    for text in (out.getvalue(), err.getvalue()):
        if found := COMMANDS.search(text):
            yield f"prints {found[0]!r}"
    yield from _told(err.getvalue(), target)


def _told(text: str, target: Domain) -> Iterator[str]:
    told = text.splitlines()
    if len(told) > 1:
        yield f"{len(told)} lines: {text}"
    if told and not any(name in told[0] for name in (place_of(target), "pictures")):
        yield f"names no file: {text}"
    if any(len(line) > LONGEST for line in told):
        yield f"a line of {len(text)} characters: {text[:200]}"


def broken(pristine: Path, seeds: Sequence[int], place: Path) -> Mapping[str, list[str]]:
    """Return what each mutation broke, by what it was; none is what is expected.

    Args:
        pristine: data sets, of which each mutation meets a copy.
        seeds: of the mutations.
        place: for the copy, on the same file system; it need not be there.
    """
    found: dict[str, list[str]] = {}
    there = Path.cwd()
    restored(pristine, place)
    os.chdir(place)
    try:
        for target in TARGETS.values():
            read(target)  # imports what reading takes, which no mutation's seconds should pay for
        for seed in seeds:
            restored(pristine, place)
            mutation = drawn(place, random.Random(seed))
            if told := list(faults(place, mutation)):
                found[f"{seed}: {mutation}"] = told
    finally:
        os.chdir(there)
    return found


def run_all(count: int, first: int) -> int:
    """Run so many mutations and print what they broke; return how many broke something."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        pristine = Path(folder) / "pristine"
        pristine.mkdir()
        build_data(pristine)
        found = broken(pristine, range(first, first + count), Path(folder) / "work")
    for mutation, told in found.items():
        print(mutation, *told, sep="\n    ")
    spent = time.monotonic() - started
    print(f"{count - len(found)} of {count} mutations broke nothing ({spent:.0f} s)")
    return len(found)


if __name__ == "__main__":
    sys.addaudithook(LISTENER)
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(bool(run_all(*(numbers + [1000, 0][len(numbers) :]))))
