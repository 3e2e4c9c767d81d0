"""A disk cache of values computed from examples, so that no worker computes them twice.

Such values are the outputs of frozen networks, and images after decoding and resizing.

An entry is a folder of *parts*; each part is a few arrays for some of the rows. A part is written
under a temporary name and then renamed, and never changes. It is read by memory map, and used only
if its checksums are right. A worker that computes rows holds the entry's lock, and others wait; the
operating system releases the lock of a killed process. If the cache is too large, the entries that
were unused for longest are removed first.
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
"""Arrays with the same rows, (n, ...) each."""
Rows: TypeAlias = NDArray[np.int64]
Compute: TypeAlias = Callable[[Rows], Iterable[tuple[Rows, Arrays]]]
"""Computes rows: yields them batch by batch, in any order, as row numbers and their arrays."""

FOLDER = "cache"
"""The folder of the cache in a ledger's folder."""
PART_BYTES = 64 * 2**20
"""Rows are collected in memory up to this size, then written as a part; a kill loses them."""
MOST_OPEN = 64
"""Largest number of entries whose parts a process keeps mapped."""
_SUMS, _ABOUT, _ROWS = "sums.json", "about.json", "rows.npy"
WRITERS = 8
"""Up to this many processes may write at once without exceeding the limit between two checks."""
_LOCK, _USED, _DRAFTS = "lock", "used", "drafts"


class TooLargeError(Exception):
    """A single entry would be larger than the limit of the whole cache."""


@dataclass(frozen=True)
class Kept:
    """Summary of an entry: its description (`about`), its size in bytes and rows, its last use."""

    folder: Path
    about: Mapping[str, Any]
    bytes: int
    rows: int
    used: float


class Store:
    """A cache folder with its entries, shared by all workers that use the same folder.

    Args:
        root: the folder.
        limit: largest total size of all entries, in bytes.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self.root, self.limit = root, limit
        self._open: OrderedDict[str, Entry] = OrderedDict()
        self._room = 0
        """Bytes that this process may write before it measures the whole cache again."""

    def entry(self, about: Mapping[str, Any]) -> Entry:
        """Return the entry for a description.

        Args:
            about: plain values that determine everything the rows depend on; their digest is the
                cache key.
        """
        name = digest(about)
        if name not in self._open:
            self._open[name] = Entry(self, self.root / name[:2] / name, dict(about))
        self._open.move_to_end(name)
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)
        return self._open[name]

    def entries(self) -> list[Kept]:
        """Return all entries that hold something, the least recently used first."""
        shelves = [self.root / shelf for shelf in names(self.root) if len(shelf) == 2]
        found = [_kept(shelf / name) for shelf in shelves for name in names(shelf)]
        return sorted((kept for kept in found if kept.bytes), key=lambda kept: kept.used)

    def make_room(self, own: Path, written: int) -> None:
        """Remove entries until the limit holds, the least recently used first, but never `own`.

        Args:
            own: folder of the entry that has grown.
            written: bytes by which it has grown.
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
        """Remove all entries; return their size in bytes."""
        freed = sum(kept.bytes for kept in self.entries())
        shutil.rmtree(self.root, ignore_errors=True)
        self._open.clear()
        return freed


@dataclass
class _Part:
    """Some rows of an entry: the row numbers and the arrays."""

    rows: Rows
    arrays: Arrays
    is_mapped: bool = False
    """Whether the arrays are memory-mapped from files."""


@dataclass
class Entry:
    """One entry of the cache: the rows computed from the examples of one split.

    Args:
        store: the cache that holds the entry.
        folder: the folder of the entry.
        about: what the rows depend on; see `Store.entry`.
    """

    store: Store
    folder: Path
    about: dict[str, Any]
    _parts: dict[str, _Part] = field(default_factory=dict)
    _place: dict[int, tuple[str, int]] = field(default_factory=dict)
    """For each row that is known: the name of its part, and its place in it."""

    def rows(self, rows: Rows, compute: Compute) -> Arrays:
        """Return the arrays of these rows, (n,) with n at least 1; missing ones are computed now.

        See `have`.
        """
        self.have(rows, compute)
        return self._gathered(rows)

    def have(self, rows: Rows, compute: Compute) -> None:
        """Make sure that these rows are cached; compute those that are missing.

        Args:
            rows: row numbers, (n,).
            compute: computes missing rows.

        Raises:
            TooLargeError: with these rows the entry would be larger than the limit of the cache.
        """
        self._touch()
        if self._missing(rows).size:
            self._read_new()
        if self._missing(rows).size:
            self._complete(rows, compute)

    def __len__(self) -> int:
        """Return how many rows this process knows to be cached."""
        return len(self._place)

    @property
    def bytes_in_memory(self) -> int:
        """Bytes of the rows that are only in this process's memory, because writing them failed."""
        own = [part for part in self._parts.values() if not part.is_mapped]
        return sum(array.nbytes for part in own for array in part.arrays)

    def missing(self, rows: Rows) -> Rows:
        """Return which of these rows are not cached yet, sorted."""
        if self._missing(rows).size:
            self._read_new()
        return self._missing(rows)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row; 0 while no row is known."""
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
        """Load the parts that other processes have written; remove damaged parts."""
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
        """Compute and write the missing rows, while holding the entry's lock."""
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
        """Hold the entry's lock; without a lock if the folder is not writable."""
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
        """Write a part to disk; if that fails, keep it in this process's memory, with a warning."""
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
    """Join batches to parts of about `PART_BYTES`; `check` is called with the first batch."""
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
    """Return the part in a folder; None if it is damaged or not a part."""
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
