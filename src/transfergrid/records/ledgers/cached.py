"""What examples were made to, kept on disk: no worker computes it a second time.

That is what frozen networks make of them, and images that were decoded and resized.

An entry is a folder of *parts*, each a few arrays of some rows. A part is written under a
temporary name and renamed whole, never changed, read by memory map, and believed once its checksums
are right. Who computes rows holds the entry's lock; the others wait, and of one that was killed the
system takes the lock away. What was not used for longest goes first when there are too many bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from transfergrid.records.files.folders import clear_abandoned, names, rename_whole
from transfergrid.records.files.mapped import mapped
from transfergrid.records.identity import digest
from transfergrid.records.printing import told_os, warn
from transfergrid.records.process.living import unique_name

Arrays: TypeAlias = tuple[NDArray[Any], ...]
"""Of the same rows, (n, ...) each."""
Rows: TypeAlias = NDArray[np.int64]
Compute: TypeAlias = Callable[[Rows], Iterable[tuple[Rows, Arrays]]]
"""Yields these rows, batch by batch in any order, with what was made of them."""

FOLDER = "cache"
"""Of a ledger's folder, where it is kept."""
PART_BYTES = 64 * 2**20
"""Rows gather in memory up to this size before a part is written: what a killed worker loses."""
MOST_OPEN = 64
"""Entries whose parts a process has mapped at once."""
_SUMS, _ABOUT, _ROWS = "sums.json", "about.json", "rows.npy"
WRITERS = 8
"""Processes that may write at once without the limit being passed between two looks."""
_LOCK, _USED, _DRAFTS = "lock", "used", "drafts"


class TooLargeError(Exception):
    """An entry alone would take more than all of them may."""


@dataclass(frozen=True)
class Kept:
    """One entry as `Store.entries` tells it: what it is of, its bytes and rows, its last use."""

    folder: Path
    about: Mapping[str, Any]
    bytes: int
    rows: int
    used: float


class Store:
    """The entries under one folder, shared by every worker that is given the same one.

    Args:
        root: where they are kept.
        limit: bytes that all may take together.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self.root, self.limit = root, limit
        self._open: OrderedDict[str, Entry] = OrderedDict()
        self._room = 0
        """Bytes that this process may write before it looks again what all have written."""

    def entry(self, about: Mapping[str, Any]) -> Entry:
        """Return the entry of what is described, plain values that say all that its rows are of."""
        name = digest(about)
        if name not in self._open:
            self._open[name] = Entry(self, self.root / name[:2] / name, dict(about))
        self._open.move_to_end(name)
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)
        return self._open[name]

    def entries(self) -> list[Kept]:
        """Return what is kept, the longest not used first."""
        shelves = [self.root / shelf for shelf in names(self.root) if len(shelf) == 2]
        found = [_kept(shelf / name) for shelf in shelves for name in names(shelf)]
        return sorted((kept for kept in found if kept.bytes), key=lambda kept: kept.used)

    def make_room(self, own: Path, written: int) -> None:
        """Remove entries until the limit is kept, the longest not used first, `own` never.

        Args:
            own: folder of the entry that has grown.
            written: bytes by which it has.
        """
        self._room -= written
        if self._room >= 0:
            return
        with FileLock(self.root / _LOCK):
            entries = self.entries()
            over = sum(kept.bytes for kept in entries) - self.limit
            self._room = max(0, -over) // WRITERS
            for kept in entries:
                if over <= 0:
                    break
                if kept.folder != own:
                    shutil.rmtree(kept.folder, ignore_errors=True)
                    over -= kept.bytes

    def clear(self) -> int:
        """Remove every entry; return how many bytes they took."""
        freed = sum(kept.bytes for kept in self.entries())
        shutil.rmtree(self.root, ignore_errors=True)
        self._open.clear()
        return freed


@dataclass
class _Part:
    """Some rows of an entry: their numbers, and the arrays."""

    rows: Rows
    arrays: Arrays
    is_mapped: bool = False
    """Whether they lie in a file."""


@dataclass
class Entry:
    """Rows that one network made of the examples of one split.

    Args:
        store: that it is of.
        folder: where it is kept.
        about: what it is of.
    """

    store: Store
    folder: Path
    about: dict[str, Any]
    _parts: dict[str, _Part] = field(default_factory=dict)
    _place: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Of each row that is there: its part, and where in it."""

    def rows(self, rows: Rows, compute: Compute) -> Arrays:
        """Return these rows, (n,) with n at least 1, computed now where nobody has; see `have`."""
        self.have(rows, compute)
        return self._gathered(rows)

    def have(self, rows: Rows, compute: Compute) -> None:
        """Let these rows be there, those that nobody has computed yet computed now.

        Args:
            rows: (n,).
            compute: makes rows that are missing.

        Raises:
            TooLargeError: they would take more than everything may.
        """
        self._touch()
        if self._missing(rows).size:
            self._read_new()
        if self._missing(rows).size:
            self._complete(rows, compute)

    def __len__(self) -> int:
        """Return how many rows are known to be there."""
        return len(self._place)

    @property
    def bytes_in_memory(self) -> int:
        """Bytes of the rows that this process holds by itself, as no disk took them."""
        own = [part for part in self._parts.values() if not part.is_mapped]
        return sum(array.nbytes for part in own for array in part.arrays)

    def missing(self, rows: Rows) -> Rows:
        """Return which of these rows nobody has computed yet, sorted."""
        if self._missing(rows).size:
            self._read_new()
        return self._missing(rows)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row; 0 as long as there is none."""
        part = next(iter(self._parts.values()), None)
        return sum(a[:1].nbytes for a in part.arrays) if part is not None else 0

    def _missing(self, rows: Rows) -> Rows:
        return np.array(sorted({int(r) for r in rows} - self._place.keys()), dtype=np.int64)

    def _gathered(self, rows: Rows) -> Arrays:
        places = [self._place[int(row)] for row in rows]
        first = next(iter(self._parts.values())).arrays
        found = tuple(np.empty((len(rows), *a.shape[1:]), dtype=a.dtype) for a in first)
        for name in {part for part, _ in places}:
            here = np.array([i for i, (part, _) in enumerate(places) if part == name])
            inside = np.array([places[i][1] for i in here])
            for whole, array in zip(found, self._parts[name].arrays, strict=True):
                whole[here] = array[inside]
        return found

    # Reading -------------------------------------------------------------------------------------

    def _read_new(self) -> None:
        """Take in the parts that others have written; remove what is damaged."""
        for name in names(self.folder):
            if name not in self._parts and name != _DRAFTS:
                part = _read(self.folder / name)
                if part is None:
                    shutil.rmtree(self.folder / name, ignore_errors=True)
                else:
                    self._add(name, part)

    def _add(self, name: str, part: _Part) -> None:
        self._parts[name] = part
        self._place.update({int(row): (name, i) for i, row in enumerate(part.rows)})

    def _touch(self) -> None:
        with contextlib.suppress(OSError):
            (self.folder / _USED).touch()

    # Writing -------------------------------------------------------------------------------------

    def _complete(self, rows: Rows, compute: Compute) -> None:
        """Compute what is missing while nobody else does."""
        with self._alone():
            self._read_new()
            missing = self._missing(rows)
            if not missing.size:
                return
            written = 0
            for part in _gather(compute(missing), self._largest(missing)):
                self._write(part)
                written += sum(array.nbytes for array in part.arrays)
        with contextlib.suppress(OSError):
            self.store.make_room(self.folder, written)

    def _largest(self, missing: Rows) -> Callable[[Arrays], None]:
        def check(arrays: Arrays) -> None:
            one = sum(a.nbytes for a in arrays) / len(arrays[0])
            if one * (len(self._place) + len(missing)) > self.store.limit:
                raise TooLargeError

        return check

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the entry's lock; a folder that cannot be written to has none and needs none."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / _LOCK)
            lock.acquire()
        except OSError:
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def _write(self, part: _Part) -> None:
        """Keep a part on disk, or in this process alone where the disk does not take it."""
        name, draft = unique_name(), self.folder / _DRAFTS / unique_name()
        self._add(name, part)
        try:
            clear_abandoned(draft.parent)
            draft.mkdir(parents=True)
            files = {_ROWS: part.rows, **{f"{i}.npy": a for i, a in enumerate(part.arrays)}}
            for file, array in files.items():
                np.save(draft / file, array, allow_pickle=False)
            sums = {file: _sum(draft / file) for file in files}
            (draft / _SUMS).write_text(json.dumps(sums))
            if not (self.folder / _ABOUT).exists():
                about = draft.with_suffix(".json")
                about.write_text(json.dumps(self.about))
                about.replace(self.folder / _ABOUT)
            rename_whole(draft, self.folder / name)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            warn(f"features were not kept in {self.store.root}: {told_os(error)}")
            return
        part.arrays, part.is_mapped = _mapped(self.folder / name, len(part.arrays)), True
        self._touch()


def _gather(
    made: Iterable[tuple[Rows, Arrays]], check: Callable[[Arrays], None]
) -> Iterator[_Part]:
    """Join batches to parts of `PART_BYTES`; the first one is checked before others are made."""
    waiting: list[tuple[Rows, Arrays]] = []
    size, checked = 0, False
    for rows, arrays in made:
        if not checked:
            check(arrays)
            checked = True
        waiting.append((rows, arrays))
        size += sum(a.nbytes for a in arrays)
        if size >= PART_BYTES:
            yield _joined(waiting)
            waiting, size = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(batches: Sequence[tuple[Rows, Arrays]]) -> _Part:
    columns = zip(*(arrays for _, arrays in batches), strict=True)
    return _Part(
        np.concatenate([rows for rows, _ in batches]),
        tuple(np.ascontiguousarray(np.concatenate(column)) for column in columns),
    )


def _read(folder: Path) -> _Part | None:
    """Return a part; None if it is damaged, or no part."""
    try:
        sums = json.loads((folder / _SUMS).read_text())
        if any(_sum(folder / file) != told for file, told in sums.items()):
            return None
        rows = np.load(folder / _ROWS, allow_pickle=False)
        arrays = _mapped(folder, len(sums) - 1)
    except (OSError, ValueError, TypeError, AttributeError, EOFError):
        return None
    return _Part(rows, arrays, True) if all(len(a) == len(rows) for a in arrays) else None


def _mapped(folder: Path, count: int) -> Arrays:
    return tuple(mapped(folder / f"{i}.npy") for i in range(count))


def _sum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _kept(folder: Path) -> Kept:
    size, rows, used = 0, 0, 0.0
    for name in [n for n in names(folder) if n != _DRAFTS]:
        with contextlib.suppress(OSError, ValueError):
            files = [entry.stat() for entry in os.scandir(folder / name)]
            size += sum(file.st_size for file in files)
            rows += len(np.load(folder / name / _ROWS, mmap_mode="r", allow_pickle=False))
    about: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        about = json.loads((folder / _ABOUT).read_text())
    with contextlib.suppress(OSError):
        used = (folder / _USED).stat().st_mtime
    return Kept(folder, about, size, rows, used)
