"""Records on disk, written by many processes on many machines at once, with no server and no lock.

    cells/ab/<id>/       record.json, predictions.npz, curves.npz (and model/): a cell that is done
    attempts/<id>/<n>/   record.json, log.txt: a try that failed
    grids/<id>.json      what was asked for, and declared
    looks/<id>.json      when verdicts were looked at, and with how many seeds
    index/*.parquet      copies of records, so that many of them open at once
    tmp/                 what is being written; no reader looks here

Everything is written under `tmp` and renamed whole, so a reader meets it complete or not at all.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from transfergrid import arrays, folders, index
from transfergrid.arrays import Predictions
from transfergrid.errors import BadInputError
from transfergrid.record import Record, Status, from_json, is_newer

_IDENTITY = re.compile(r"[0-9a-f]{16}")


class Ledger:
    """The records under one folder.

    Args:
        root: the folder; made by the first write.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.warnings: list[str] = []
        """What reading left out and why, one line each."""

    def check_writable(self) -> None:
        """Make sure that results can be written here, and leave no trace of having tried.

        Raises:
            BadInputError: the folder, or the nearest one above that exists, takes no new files.
        """
        place = next(p for p in (self.root, *self.root.absolute().parents) if p.exists())
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            why = error.strerror or error
            raise BadInputError(f"cannot write results to '{self.root}': {why}") from None

    def write(
        self,
        record: Record,
        predictions: Predictions | None = None,
        curves: Mapping[str, NDArray[Any]] | None = None,
        also: Callable[[Path], object] = lambda folder: None,
    ) -> bool:
        """Keep a done cell and what `also` writes into its folder; False if it was done before."""
        if record.status is not Status.DONE:
            raise ValueError(f"a cell that is {record.status} is no result")
        with self.draft() as draft:
            (draft / "record.json").write_text(record.to_json(), encoding="utf-8")
            if predictions is not None:
                arrays.save(draft / "predictions.npz", predictions.checked().arrays())
            arrays.save(draft / "curves.npz", curves or {})
            also(draft)
            if folders.rename_whole(draft, final := self.folder(record.id)):
                return True
            if _is_done(final):
                return False
            self._set_aside(final)  # a folder without a readable record would block its cell
            return folders.rename_whole(draft, final)

    def fail(self, record: Record, log: str) -> Path:
        """Keep a failed attempt and its log; return its folder."""
        with self.draft() as draft:
            (draft / "record.json").write_text(record.to_json(), encoding="utf-8")
            (draft / "log.txt").write_text(log, encoding="utf-8", errors="replace")
            return self._number(draft, _identity(record.id))

    def write_document(self, kind: str, content: Mapping[str, Any]) -> str:
        """Keep one of the "grids" or "looks" under its "id" or a digest of it; return that id."""
        text = json.dumps(dict(content), indent=1, sort_keys=True)
        name = str(content.get("id") or hashlib.sha256(text.encode()).hexdigest()[:16])
        with self.draft() as draft:
            (draft / "document.json").write_text(text, encoding="utf-8")
            (self.root / kind).mkdir(exist_ok=True)
            (draft / "document.json").replace(self.root / kind / f"{name}.json")
        return name

    def compact(self) -> Path | None:
        """Copy the records that no index segment holds into a new one; return it, if any.

        So are those that an older version indexed, for its segments lack columns. Two processes
        that do so at once write the same records twice, which readers bear.
        """
        found = self._listed()
        known = index.load(self.root / "index", found, ("id", index.NEWEST), self._warn)
        new = [row for row in self._unindexed(found, known) if row.record.status is Status.DONE]
        folders.clear_abandoned(self.root / "tmp")
        if not new:
            return None
        name = f"{time.time_ns():020d}-{folders.unique_name()}.parquet"
        with self.draft() as draft:
            index.save(draft / name, new)
            (self.root / "index").mkdir(exist_ok=True)
            return (draft / name).replace(self.root / "index" / name)

    def done(self, ids: Iterable[str]) -> set[str]:
        """Return those of the cells that are done; cheap for a hundred thousand."""
        found = self._listed()
        known = index.load(self.root / "index", found, ("id",), self._warn)
        return {n for n in found.keys() & set(ids) if n in known or _is_done(self.folder(n))}

    def records(self) -> list[Record]:
        """Return all done cells, ordered by id; unreadable ones are left out with a warning.

        Raises:
            BadInputError: there is no ledger here.
        """
        self.check_exists()
        found = self._listed()
        known = index.load(self.root / "index", found, ("record",), self._warn)
        records = [record for _, record in self._read(found, known)]
        with without_garbage_collection():
            records += self._indexed(known)
        return sorted(records, key=lambda record: record.id)

    def columns(self, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return these columns (see `index.columns`) of all done cells, ordered by id.

        Opens no record that is indexed, and so a hundred thousand cells within seconds.

        Raises:
            BadInputError: there is no ledger here.
        """
        self.check_exists()
        found = self._listed()
        with without_garbage_collection():
            rows = index.load(self.root / "index", found, names, self._warn)
            for new in self._unindexed(found, rows):
                flat = index.columns(new)
                rows[new.record.id] = tuple(flat[name] for name in names)
        return [row for _, row in sorted(rows.items())]

    def read(self, identity: str) -> Record:
        """Return one done cell's record.

        Raises:
            BadInputError: the cell is not done, or its record is unreadable.
        """
        path = self.folder(identity) / "record.json"
        try:
            return from_json(path.read_bytes())
        except OSError:
            raise BadInputError(f"no results of cell {identity} in '{self.root}'") from None
        except BadInputError as error:
            raise BadInputError(f"{path}: {error}") from None

    def predictions(self, identity: str) -> Predictions:
        """Return what a done cell said of each test example.

        Raises:
            BadInputError: they were not kept, or are unreadable.
        """
        path = self.folder(identity) / "predictions.npz"
        kept = arrays.load(path)
        if not {"probabilities", "labels"} <= kept.keys() <= arrays.PREDICTIONS.keys():
            raise BadInputError(f"{path} holds {', '.join(kept)}, not probabilities and labels")
        return Predictions(**kept)

    def curves(self, identity: str) -> dict[str, NDArray[Any]]:
        """Return a done cell's curves by name.

        Raises:
            BadInputError: they were not kept, or are unreadable.
        """
        return arrays.load(self.folder(identity) / "curves.npz")

    def failures(self) -> list[Record]:
        """Return the newest failed attempt of each cell that is not done, ordered by id."""
        tried = folders.names(self.root / "attempts")
        open_cells = sorted(set(tried) - self.done(tried)) if tried else []
        newest = (self._newest_attempt(name) for name in open_cells)
        return [record for record in newest if record is not None]

    def documents(self, kind: str) -> list[dict[str, Any]]:
        """Return the "grids" or "looks", by name; unreadable ones are left out with a warning."""
        found = []
        for path in sorted((self.root / kind).glob("*.json")):
            try:
                found.append(json.loads(path.read_bytes()))
            except (OSError, ValueError) as error:
                self._warn(path, error)
        return found

    def check_exists(self) -> None:
        """Raise `BadInputError` if there is no ledger here."""
        if not any((self.root / part).is_dir() for part in ("cells", "attempts")):
            why = "it holds no cells" if self.root.is_dir() else "there is no such folder"
            raise BadInputError(f"no results in '{self.root}': {why}")

    def folder(self, identity: str) -> Path:
        """Return where a cell is kept once it is done."""
        return self.root / "cells" / _identity(identity)[:2] / identity

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """Give a folder on the ledger's own file system, and remove what is left of it."""
        draft = self.root / "tmp" / folders.unique_name()
        draft.mkdir(parents=True)
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _listed(self) -> dict[str, int]:
        """Return every cell folder's id and time of change in ns: one stat each, nothing opened.

        The time tells a folder from another that was deleted and written anew since it was indexed.
        """
        found = {}
        for shelf in folders.names(self.root / "cells"):
            with os.scandir(self.root / "cells" / shelf) as entries:
                for folder in entries:
                    if _IDENTITY.fullmatch(folder.name):
                        with contextlib.suppress(FileNotFoundError):  # set aside meanwhile
                            found[folder.name] = folder.stat().st_mtime_ns
        return found

    def _unindexed(
        self, found: Mapping[str, int], known: Mapping[str, Any]
    ) -> Iterator[index.Indexed]:
        for name, record in self._read(found, known):
            yield index.Indexed(record, found[name], self._right(name))

    def _read(
        self, found: Mapping[str, int], known: Mapping[str, Any]
    ) -> Iterator[tuple[str, Record]]:
        for name in sorted(found.keys() - known.keys()):
            try:
                yield name, self.read(name)
            except BadInputError as error:
                self._warn(self.folder(name), error)

    def _right(self, identity: str) -> arrays.Packed | None:
        try:
            return arrays.packed(self.predictions(identity))
        except BadInputError:
            return None

    def _indexed(self, known: Mapping[str, tuple[str]]) -> Iterator[Record]:
        for name, (text,) in known.items():
            try:
                yield from_json(text)
            except BadInputError as error:  # indexed by a newer program
                self._warn(self.folder(name), error)

    def _newest_attempt(self, identity: str) -> Record | None:
        for number in self._attempts(identity)[::-1]:
            path = self.root / "attempts" / identity / str(number) / "record.json"
            try:
                return from_json(path.read_bytes())
            except (OSError, BadInputError) as error:
                self._warn(path, error)
        return None

    def _attempts(self, identity: str) -> list[int]:
        return sorted(
            int(n) for n in folders.names(self.root / "attempts" / identity) if n.isdigit()
        )

    def _number(self, draft: Path, identity: str) -> Path:
        """Move a folder to the next free number of the cell's attempts; a race costs a number."""
        number = max(self._attempts(identity), default=0) + 1
        while not folders.rename_whole(draft, self.root / "attempts" / identity / str(number)):
            number += 1
        return self.root / "attempts" / identity / str(number)

    def _set_aside(self, folder: Path) -> None:
        with contextlib.suppress(FileNotFoundError):  # another process did it
            self._warn(self._number(folder, folder.name), "was in the place of a done cell")

    def _warn(self, path: Path, why: object) -> None:
        line = f"left out {path}: {str(why).removeprefix(f'{path}/record.json: ')}"
        if line not in self.warnings:
            self.warnings.append(line)


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Hold the collector off: it doubles the time to read many records and finds nothing there."""
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


def _is_done(folder: Path) -> bool:
    """Return whether the folder holds a done cell, be it one that only a newer program reads."""
    try:
        text = (folder / "record.json").read_bytes()
        return from_json(text).status is Status.DONE
    except OSError:
        return False
    except BadInputError:
        return is_newer(text)
