"""Damage a study in seeded ways, use it with every verb, and see that nothing gives way.

    python experiments/reliability/mutations.py [COUNT] [FIRST SEED]

Each mutation takes a study as `pristine.build` writes it, makes one file or folder of it wrong as
`damage` does, and runs one verb on it, in this process. Expected, whatever the damage:

- the verb ends with exit code 0, 1 or 2, and prints no traceback;
- nothing that the study names is imported, called or unpickled (an audit hook listens);
- nothing that commands a terminal is printed;
- of the ledger, arms that none of the damage is in are judged as before, to the last digit;
- a cell that is no longer listed is named, with its file and what is wrong with it.

Prints a line for each mutation that breaks one of these, and how many did not.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import random
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # its neighbours, from wherever it is started

import damage
from pristine import Study, build

from transfergrid.verbs.cli import main

COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
FOREIGN = ("evil", "results")
"""Packages that the study brings, and that nobody may import."""

Arms = dict[tuple[str, ...], tuple[Any, ...]]


@dataclass
class Listener:
    """Hears of code that is run out of a folder, and of calls that no verb makes."""

    root: Path | None = None
    heard: list[str] = field(default_factory=list)
    denied: str = ""
    """The path of what may not be opened; root may open all, whatever its mode."""

    def __call__(self, event: str, told: tuple[Any, ...]) -> None:
        """Take note of an audit event."""
        if self.root is None:
            return
        if event in ("open", "os.scandir", "os.listdir") and self._is_denied(told[0]):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), told[0])
        if event == "import" and str(told[0]).partition(".")[0].startswith(FOREIGN):
            self.heard.append(f"import {told[0]}")
        elif event == "exec" and str(getattr(told[0], "co_filename", "")).startswith(
            str(self.root)
        ):
            self.heard.append(f"exec {told[0].co_filename}")
        elif event in ("os.system", "pickle.find_class"):
            self.heard.append(f"{event} {told}")

    def _is_denied(self, path: object) -> bool:
        return bool(self.denied) and str(Path.cwd() / str(path)) == self.denied


LISTENER = Listener()


@dataclass(frozen=True)
class Ran:
    """What came of a command."""

    code: Any
    out: str
    err: str
    raised: str = ""


def run(*words: str) -> Ran:
    """Run a command in this process."""
    out, err, code, raised = io.StringIO(), io.StringIO(), None, ""
    path = list(sys.path)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(words))
        except SystemExit as left:
            code = left.code
        except BaseException:
            raised = traceback.format_exc()
    sys.path[:] = path
    return Ran(code, out.getvalue(), err.getvalue(), raised)


def arms_of(printed: str) -> Arms:
    """Return what verdicts in JSON rest on, by the cells of each arm and of its baseline."""
    keys = ("n", "gain", "low", "high", "p", "metric", "labels")
    return {
        tuple(sorted((*row["cells"], *row["baseline_cells"]))): tuple(row[key] for key in keys)
        for row in json.loads(printed)
        if row["cells"]
    }


def listed(printed: str) -> set[str]:
    """Return the beginnings of the ids that `list cells` shows."""
    return {line[:8] for line in printed.splitlines() if re.match(r"[0-9a-f]{8} ", line)}


@dataclass(frozen=True)
class Mutation:
    """One thing made wrong, and the verb that meets it."""

    path: str
    """Below the study's folder."""
    damage: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.damage} {self.path}: transfergrid {' '.join(self.words)}"


LEDGER_VERBS: tuple[tuple[str, ...], ...] = (
    *(("verdicts", "results", "--format", f) for f in ("table", "csv", "markdown", "latex")),
    *(("verdicts", "results", "--show", s) for s in ("flips", "classes", "beside", "scores")),
    ("verdicts", "results", "--show", "groups", "--format", "json"),
    *(("table", "results", "--format", f) for f in ("table", "json", "csv", "markdown")),
    ("table", "results", "--by-group"),
    *(("curves", "results", "--against", a) for a in ("labels", "steps")),
    ("curves", "results", "--format", "json"),
    ("calibrate", "results", "--simulations", "20", "--seeds", "3", "--scenario", "normal"),
    ("compare", "results", "results"),
    ("compare", "results@1", "results"),
    *(("explain", "CELL", "--results", "results", "--format", f) for f in ("text", "json")),
    ("list", "cells", "--results", "results"),
    ("export", "CELL", "--results", "results", "-o", "exported"),
    ("predict", "CELL", "texts.txt", "--results", "results"),
    ("reproduce", "CELL", "--results", "results"),
    ("dashboard", "--results", "results", "-o", "dashboard.json"),
    ("report", "results", "-o", "report.html"),
    ("rank", "--results", "results"),
)
HEAVY = ("report", "dashboard", "rank", "reproduce")
"""They compile charts, import a tracker, or compose configs."""
LIGHT = tuple(words for words in LEDGER_VERBS if words[0] not in HEAVY)


def drawn(study: Study, root: Path, draw: random.Random, light: bool = False) -> Mutation:
    """Draw what to damage, damage it, and draw a verb that meets it."""
    kind = draw.choice(("ledger",) * 8 + ("table", "saved", "model"))
    words: tuple[str, ...]
    if kind == "table":
        place, words = root / "runs.csv", ("verdicts", "runs.csv", "--format", "table")
    elif kind == "saved":
        place, words = root / "saved.json", ("compare", "saved.json", "results")
    elif kind == "model" and study.model.is_dir():
        place = draw.choice(sorted((root / "model").rglob("*")))
        words = ("predict", "model", "pictures")
    else:
        place, words = _place(root / "results", draw), draw.choice(LIGHT if light else LEDGER_VERBS)
    cell = place.parent.name if place.name == "record.json" else draw.choice(study.cells)
    chosen = damage.of(place, draw)
    own(place)
    chosen(place, draw)
    if draw.random() < 0.5 and place.parent.is_dir():
        os.utime(place.parent)  # an index then reads it anew
    if kind == "ledger" and draw.random() < 0.05:
        damage.strange_names(place.parent, draw)
    typed = tuple(cell[:8] if word == "CELL" else word for word in words)
    return Mutation(str(place.relative_to(root)), chosen.__name__, typed)


def _place(results: Path, draw: random.Random) -> Path:
    pattern = draw.choice(
        ("cells/*/*/record.json",) * 6
        + ("cells/*/*/predictions.npz", "cells/*/*/curves.npz", "index/*.parquet") * 2
        + ("grids/*.json", "looks/*.json") * 3
        + ("scores/*.json", "attempts/*/*/record.json", "cells/*/*", "cells/*", "attempts/*/*")
        + ("attempts/*", "*")
    )
    return draw.choice(sorted(results.glob(pattern)))


def faults(study: Study, root: Path, mutation: Mutation, before: Arms) -> Iterator[str]:
    """Yield what a mutation broke."""
    LISTENER.heard.clear()
    LISTENER.root = root
    try:
        results = [run(*mutation.words), run("verdicts", "results", "--format", "json")]
        cells = run("list", "cells", "--results", "results")
    finally:
        LISTENER.root = None
    yield from LISTENER.heard
    for ran in (*results, cells):
        yield from _ended(ran)
    verdicts = results[1]
    if verdicts.code == 0 and not verdicts.raised:
        yield from _judged(study, mutation, verdicts, before)
    shown = listed(cells.out)
    for name in study.cells:
        if cells.code == 0 and name[:8] not in shown and not _is_named(name, mutation, cells.err):
            yield f"cell {name} is gone from the list without a word"


def _ended(ran: Ran) -> Iterator[str]:
    if ran.raised:
        yield ran.raised
    elif ran.code not in (0, 1, 2):
        yield f"exit code {ran.code}"
    for text in (ran.out, ran.err):
        if "Traceback (most recent" in text:
            yield text
        if found := COMMANDS.search(text):
            yield f"prints {found[0]!r}"


def _judged(study: Study, mutation: Mutation, ran: Ran, before: Arms) -> Iterator[str]:
    if _may_change_all(mutation, ran.err):
        return
    touched = {name for name in study.cells if _is_in(name, mutation.path)}
    after = arms_of(ran.out)
    for cells, told in before.items():
        if touched.isdisjoint(cells) and after.get(cells) != told:
            yield f"an untouched arm was {told} and is {after.get(cells)}"


def _may_change_all(mutation: Mutation, err: str) -> bool:
    """Return whether the ledger now says something else, in a way that can be read.

    Such are other comparisons, and another copy of the results.
    """
    copies = ("results/index/", "results/grids/")
    asked = mutation.path in ("results/cells", "results/grids")
    return asked or (mutation.path.startswith(copies) and mutation.path not in err)


def _is_in(cell: str, path: str) -> bool:
    return path.startswith(f"results/cells/{cell[:2]}") and (cell in path or len(path) < 20)


def _is_named(cell: str, mutation: Mutation, err: str) -> bool:
    gone = mutation.damage in ("removed", "a_file", "a_link_to_itself", "a_pipe")  # with its folder
    return cell in err or (_is_in(cell, mutation.path) and gone) or mutation.path == "results/cells"


def restored(pristine: Path, place: Path) -> None:
    """Make a place like a pristine folder again, as old as it is; files are shared with it."""
    place.mkdir(exist_ok=True)
    kept = {entry.name: entry for entry in os.scandir(pristine)}
    for entry in os.scandir(place):
        like = kept.get(entry.name)
        is_folder = entry.is_dir(follow_symlinks=False)
        alike = like is not None and (
            is_folder if like.is_dir() else entry.inode() == like.inode() and not is_folder
        )
        if not alike:
            damage.removed(Path(entry.path), random.Random())
    for name, entry in kept.items():
        if entry.is_dir():
            restored(Path(entry.path), place / name)
        elif not (place / name).exists():
            os.link(entry.path, place / name)
    times = pristine.stat()
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))


def own(path: Path) -> None:
    """Give a file that is shared with the pristine study a copy of its own, in the same place."""
    if path.is_file():
        folder = path.parent.stat()
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        os.utime(path.parent, ns=(folder.st_atime_ns, folder.st_mtime_ns))


def broken(
    study: Study, seeds: Sequence[int], place: Path, light: bool = False
) -> Mapping[str, list[str]]:
    """Return what each mutation broke, by what it was; none is what is expected.

    Args:
        study: of which each mutation meets a copy.
        seeds: of the mutations.
        place: for the copy, on the study's file system; it need not be there.
        light: leave out the verbs that take seconds.
    """
    found: dict[str, list[str]] = {}
    there = Path.cwd()
    restored(study.root, place)
    os.chdir(place)
    try:
        before = arms_of(run("verdicts", "results", "--format", "json").out)
        for seed in seeds:
            restored(study.root, place)
            mutation = drawn(study, place, random.Random(seed), light)
            if told := list(faults(study, place, mutation, before)):
                found[f"{seed}: {mutation}"] = told
    finally:
        os.chdir(there)
    return found


def run_all(count: int, first: int) -> int:
    """Run so many mutations and print what they broke; return how many broke something."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "pristine"
        root.mkdir()
        study = build(root)
        found = broken(study, range(first, first + count), Path(folder) / "work")
    for mutation, told in found.items():
        print(mutation, *told, sep="\n    ")
    kinds = Counter(told[-1].strip().splitlines()[-1] for told in found.values())
    for kind, number in kinds.most_common():
        print(f"{number} x {kind[:200]}")
    spent = time.monotonic() - started
    print(f"{count - len(found)} of {count} mutations broke nothing ({spent:.0f} s)")
    return len(found)


if __name__ == "__main__":
    sys.addaudithook(LISTENER)
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(bool(run_all(*(numbers + [1000, 0][len(numbers) :]))))
