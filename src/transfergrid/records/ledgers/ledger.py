"""The ledger: records on disk, written by many processes on many machines, without server or lock.

    cells/ab/<id>/       record.json, predictions.npz, curves.npz (and model/): a done cell
    attempts/<id>/<n>/   record.json, log.txt: a failed attempt
    grids/<id>.json      grids: what was requested and declared
    looks/<id>.json      when verdicts were looked at, and with how many seeds
    index/*.parquet      copies of records, so that many records can be read quickly
    running/             checkpoints from which unfinished cells resume
    claims/              who runs which cell at this moment
    launches/            what worker loops are to run, and their logs
    again/               cells to be rerun; replaced/<id>/<n>/ holds their earlier folders
    tmp/                 drafts that are being written; readers ignore it

Everything is written under `tmp` and then renamed, so a reader sees it complete or not at all.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from transfergrid.records.errors import BadInputError
from transfergrid.records.files import arrays, contents, folders
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.ledgers import again, claims, index
from transfergrid.records.ledgers.store import Store
from transfergrid.records.metrics import is_of_numbers
from transfergrid.records.process.living import unique_name
from transfergrid.records.record import Record, Status, from_json, is_newer

_IDENTITY = re.compile(r"[0-9a-f]{16}")
_SHELF = re.compile(r"[0-9a-f]{2}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_TABLES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".parquet", ".md"})
"""Suffixes of files that may be tables of results, for a hint in an error message."""


class Ledger(Store):
    """A ledger: the records under one folder."""

    def write(
        self,
        record: Record,
        predictions: Predictions | None = None,
        curves: Mapping[str, NDArray[Any]] | None = None,
        also: Callable[[Path], object] = lambda folder: None,
    ) -> bool:
        """Store a done cell, with whatever `also` writes into its folder.

        Returns:
            False if the cell was done before; the earlier record then stays.

        Raises:
            ValueError: the record's status is not done.
        """
        if record.status is not Status.DONE:
            raise ValueError(f"a cell that is {record.status} is no result")
        with self.draft() as draft:
            (draft / "record.json").write_text(record.to_json(), encoding="utf-8")
            if predictions is not None:
                arrays.save(draft / "predictions.npz", predictions.checked().arrays())
            arrays.save(draft / "curves.npz", curves or {})
            also(draft)
            return self.put(draft, record.id)

    def put(self, draft: Path, identity: str) -> bool:
        """Move a draft folder to the place of a cell; return False if the cell was done before.

        The earlier folder of a cell that is to be rerun is kept under `replaced`. A folder without
        a readable record is moved to the cell's failed attempts.
        """
        if folders.rename_whole(draft, final := self.folder(identity)):
            return True
        if self.is_done(identity):
            return False
        if self.is_kept(identity):
            again.set_aside(self.root, final)
        else:
            self._set_aside(final)  # a folder without a readable record would block its cell
        was_put = folders.rename_whole(draft, final)
        again.unmark(self.root, identity)
        return was_put

    def fail(self, record: Record, log: str) -> Path:
        """Store a failed attempt and its log; return its folder."""
        with self.draft() as draft:
            (draft / "record.json").write_text(record.to_json(), encoding="utf-8")
            (draft / "log.txt").write_text(log, encoding="utf-8", errors="replace")
            return self.put_attempt(draft, record.id)

    def compact(self) -> Path | None:
        """Copy the records that no index segment holds into a new segment; return its path, if any.

        Records in segments of an older version, which lack columns, are indexed again. If two
        processes do this at once, some records are indexed twice, which is harmless. It also
        removes abandoned drafts, dead claims and left-over checkpoints of done cells.
        """
        found = self.listed()
        known = index.load(self.root / "index", found, ("id",), self.leave_out, index.HELD)
        new = filter(self._is_whole, self._unindexed(found, known))
        folders.clear_abandoned(self.root / "tmp")
        done = found.keys() - again.marked(self.root)
        claims.clear(self.root, done)
        self._clear_running(done)
        if (first := next(new, None)) is None:
            return None
        name = f"{time.time_ns():020d}-{unique_name()}.parquet"
        with self.draft() as draft, without_garbage_collection():
            index.save(draft / name, chain([first], new))
            (self.root / "index").mkdir(exist_ok=True)
            return (draft / name).replace(self.root / "index" / name)

    def _clear_running(self, done: Container[str]) -> None:
        """Remove left-over checkpoints of cells that are done by now."""
        place = self.root / folders.RUNNING
        for name in folders.listed(place):
            if name.partition(".")[0] in done:
                with contextlib.suppress(OSError):
                    (place / name).unlink()
        with contextlib.suppress(OSError):
            place.rmdir()  # succeeds only if it is empty

    def done(self, ids: Iterable[str], kept: Set[str] | None = None) -> set[str]:
        """Return the subset of these cells that are done; fast even for a hundred thousand cells.

        A cell that is to be rerun (see `records.ledgers.again`) is not done, although its record
        still counts.

        Args:
            ids: identities of the cells.
            kept: identities of all cells that have a record, if already known: see `opened`.
        """
        return (self.kept(ids) if kept is None else {*ids} & kept) - again.marked(self.root)

    def kept(self, ids: Iterable[str]) -> set[str]:
        """Return the subset of these cells that have a record, including cells to be rerun."""
        found = self.listed()
        known = index.load(self.root / "index", found, ("id",), self.leave_out)
        return {n for n in found.keys() & set(ids) if n in known or self.is_kept(n)}

    def is_done(self, identity: str) -> bool:
        """Return whether a cell is done and not marked to be rerun."""
        return self.is_kept(identity) and not again.is_marked(self.root, identity)

    def is_kept(self, identity: str) -> bool:
        """Return whether a cell has a record; a record of a newer schema counts too."""
        try:
            text = contents.read_bytes(self.folder(identity) / "record.json")
            of_cell(from_json(text), identity, Status.DONE)
        except OSError:
            return False
        except BadInputError:
            return is_newer(text)
        return True

    def records(self) -> list[Record]:
        """Return the records of all done cells, ordered by id.

        Unreadable records are left out with a warning.

        Raises:
            BadInputError: there is no ledger here.
        """
        self.check_exists()
        found = self.listed()
        known = index.load(self.root / "index", found, ("record",), self.leave_out)
        records = [record for _, record in self._read(found, known)]
        with without_garbage_collection():
            records += self._indexed(known)
        return sorted(records, key=lambda record: record.id)

    def columns(self, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return these columns (see `index.columns`) of all done cells, ordered by id.

        It reads indexed cells from the index only, so that a hundred thousand cells take seconds.
        Of other cells it reads the record, and the predictions if a column is computed from them.

        Raises:
            BadInputError: there is no ledger here.
        """
        self.check_exists()
        return [*self._rows(names, self.listed()).values()]

    def opened(self, names: Sequence[str]) -> tuple[dict[str, tuple[Any, ...]], set[str]]:
        """Return `columns` by identity, and the identities of all cells with a record.

        Both come from one listing of the folders. The second may include cells whose record only a
        newer program can read: see `is_kept`.

        Raises:
            BadInputError: there is no ledger here.
        """
        self.check_exists()
        rows = self._rows(names, found := self.listed())
        return rows, {*rows, *filter(self.is_kept, found.keys() - rows.keys())}

    def _rows(self, names: Sequence[str], found: Mapping[str, int]) -> dict[str, tuple[Any, ...]]:
        with without_garbage_collection():
            rows = index.load(self.root / "index", found, names, self.leave_out)
            of_items = bool(index.OF_ITEMS & {*names})
            for new in self._unindexed(found, rows, of_items):
                flat = index.columns(new)
                rows[new.record.id] = tuple(flat[name] for name in names)
        return dict(sorted(rows.items()))

    def read(self, identity: str) -> Record:
        """Return the record of a done cell.

        Raises:
            BadInputError: the cell is not done, or its record is unreadable.
        """
        path = self.folder(identity) / "record.json"
        try:
            return of_cell(from_json(contents.read_bytes(path)), identity, Status.DONE)
        except OSError:
            raise BadInputError(f"no results of cell {identity} in '{self.root}'") from None
        except BadInputError as error:
            raise BadInputError(f"{path}: {error}") from None

    def find(self, identity: str) -> Record | None:
        """Return the record of a done cell; None, with a warning, if it cannot be read."""
        try:
            return self.read(identity)
        except BadInputError as error:
            self.leave_out(self.folder(identity), error)
            return None

    def predictions(self, identity: str) -> Predictions:
        """Return a done cell's predictions for the test examples.

        Raises:
            BadInputError: they were not kept, or are unreadable (then it also warns).
        """
        return self._kept(self.folder(identity) / "predictions.npz", arrays.predictions)

    def curves(self, identity: str) -> dict[str, NDArray[Any]]:
        """Return a done cell's curves by name.

        Raises:
            BadInputError: they were not kept, or are unreadable (then it also warns).
        """
        return self._kept(self.folder(identity) / "curves.npz", arrays.curves)

    def failures(self) -> list[Record]:
        """Return the newest failed attempt of each cell without a record, ordered by id."""
        tried = self.tried()
        open_cells = sorted(set(tried) - self.kept(tried)) if tried else []
        newest = (self._newest_attempt(name) for name in open_cells)
        return [record for record in newest if record is not None]

    def failed_anew(self) -> list[Record]:
        """Return the newest failed attempt of each cell whose rerun failed, ordered by id.

        The earlier record of such a cell still counts, and the cell stays marked until a rerun
        succeeds.
        """
        marked = again.marked(self.root)
        names = filter(marked.__contains__, self.tried()) if marked else ()
        return [failed for name in names if (failed := self._failed_since(name)) is not None]

    def _failed_since(self, identity: str) -> Record | None:
        """Return the newest failed attempt of a cell with a record, if it failed after its mark."""
        before = again.tries_before(self.root, identity)
        if before is None or self.tries(identity) <= before or not self.is_kept(identity):
            return None
        return self._newest_attempt(identity)

    def tries(self, identity: str) -> int:
        """Return the number of a cell's newest failed attempt; 0 if none was kept."""
        return max(self.attempts(identity), default=0)

    def newest_failure(self, identity: str) -> Record | None:
        """Return a cell's newest failed attempt, if one can be read."""
        return self._newest_attempt(_identity(identity))

    def exists(self) -> bool:
        """Return whether there is a ledger here."""
        return any((self.root / part).is_dir() for part in ("cells", "attempts"))

    def check_exists(self) -> None:
        """Raise `BadInputError` if there is no ledger here."""
        if not self.exists():
            why = "it is a file" if self.root.is_file() else "there is no such folder"
            why = "it holds no cells" if self.root.is_dir() else why
            if self.root.is_file() and self.root.suffix.lower() in _TABLES:
                why += "; a table of results is judged by transfergrid verdicts"
            raise BadInputError(f"no results in '{self.root}': {why}")

    def folder(self, identity: str) -> Path:
        """Return the folder of a cell, which exists once the cell is done."""
        return self.root / "cells" / _identity(identity)[:2] / identity

    def listed(self) -> dict[str, int]:
        """Return the id and the modification time (ns) of every cell folder; no file is opened.

        The time shows whether a folder was deleted and written again since it was indexed.
        """
        found = {}
        for shelf in folders.listed(self.root / "cells"):
            try:
                entries = os.scandir(self.root / "cells" / shelf)
            except OSError as error:
                if _SHELF.fullmatch(shelf):
                    self.leave_out(self.root / "cells" / shelf, error)
                continue
            with entries:
                for folder in entries:
                    if _IDENTITY.fullmatch(folder.name):
                        try:
                            found[folder.name] = folder.stat().st_mtime_ns
                        except FileNotFoundError:
                            continue  # another process moved it meanwhile
                        except OSError as error:
                            self.leave_out(Path(folder.path), error)
        return found

    def _unindexed(
        self, found: Mapping[str, int], known: Mapping[str, Any], of_items: bool = True
    ) -> Iterator[index.Indexed]:
        for name, record in self._read(found, known):
            right = self._right(record) if of_items else None
            yield index.Indexed(record, found[name], right)

    def _read(
        self, found: Mapping[str, int], known: Mapping[str, Any]
    ) -> Iterator[tuple[str, Record]]:
        for name in sorted(found.keys() - known.keys()):
            try:
                yield name, self.read(name)
            except BadInputError as error:
                self.leave_out(self.folder(name), error)

    def _is_whole(self, row: index.Indexed) -> bool:
        """Return whether a cell's predictions are readable, or were not kept.

        A cell with damaged predictions is not indexed, so that every reading warns about it.
        """
        kept = self.folder(row.record.id) / "predictions.npz"
        return row.right is not None or not kept.exists()

    def _right(self, record: Record) -> arrays.Packed | None:
        try:
            said = self.predictions(record.id)
        except BadInputError:
            return None
        if record.data.test not in (0, len(said.labels)):
            told = f"of {len(said.labels)} examples, and the cell was tested on {record.data.test}"
        elif said.of_numbers != is_of_numbers(record.metric.name):
            told = f"{'numbers' if said.of_numbers else 'classes'}, and the metric is not of these"
        else:
            return arrays.packed(said)
        self.leave_out(self.folder(record.id) / "predictions.npz", told)
        return None

    def _indexed(self, known: Mapping[str, tuple[str]]) -> Iterator[Record]:
        for name, (text,) in known.items():
            try:
                yield of_cell(from_json(text), name, Status.DONE)
            except BadInputError:  # indexed by a newer program, or damaged: read the cell itself
                if record := self.find(name):
                    yield record

    def _newest_attempt(self, identity: str) -> Record | None:
        for number in self.attempts(identity)[::-1]:
            path = self.attempts_folder(identity) / str(number) / "record.json"
            try:
                return of_cell(from_json(contents.read_bytes(path)), identity, Status.FAILED)
            except (OSError, BadInputError) as error:
                self.leave_out(path, error)
        return None

    def attempts(self, identity: str) -> list[int]:
        """Return the numbers of a cell's failed attempts, ascending."""
        tries = folders.names(self.attempts_folder(identity))
        return sorted(int(n) for n in tries if _NUMBER.fullmatch(n))

    def put_attempt(self, draft: Path, identity: str) -> Path:
        """Move a folder to the next free number among the cell's failed attempts; return its place.

        If another process takes the number first, the next number is tried.
        """
        number, tries = max(self.attempts(identity), default=0) + 1, self.attempts_folder(identity)
        while not folders.rename_whole(draft, tries / str(number)):
            number += 1
        return tries / str(number)

    def attempts_folder(self, identity: str) -> Path:
        """Return the folder of a cell's failed attempts."""
        return self.root / "attempts" / _identity(identity)

    def tried(self) -> list[str]:
        """Return the identities of all cells with failed attempts, sorted, even if done since."""
        return list(filter(_IDENTITY.fullmatch, folders.names(self.root / "attempts")))

    def _set_aside(self, folder: Path) -> None:
        with contextlib.suppress(FileNotFoundError):  # another process moved it first
            self.leave_out(self.put_attempt(folder, folder.name), "was in the place of a done cell")


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Disable garbage collection in the block.

    The collector would double the time to read many records, and finds nothing to free in them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _identity(text: str) -> str:
    if not _IDENTITY.fullmatch(text):
        raise BadInputError(f"{text!r} is no cell's id: 16 hex digits")
    return text


def of_cell(record: Record, identity: str, status: Status) -> Record:
    """Return a record after checking that it is the record of this cell, with this status.

    Raises:
        BadInputError: it is the record of another cell, or has another status.
    """
    if record.id != identity:
        raise BadInputError(f"no record of this cell: it says that it is {record.id[:40]!r}")
    if record.status is not status:
        raise BadInputError(f"no record of a cell that is {status}: it is {record.status}")
    return record
