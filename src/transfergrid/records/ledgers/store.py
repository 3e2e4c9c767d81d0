"""A folder that many write at once: what appears in it whole, and what reading left out."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from transfergrid.records import printing
from transfergrid.records.errors import BadInputError
from transfergrid.records.files import contents
from transfergrid.records.files.border import Reader
from transfergrid.records.process.living import unique_name

_TRIED = 65_536
"""Bytes that a folder must take: a record with its arrays."""

T = TypeVar("T")
DOCUMENT: Reader[dict[str, Any]] = Reader(dict[str, Any])
"""Reads any JSON object."""


class Store:
    """What lies under one folder.

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
            with tempfile.TemporaryFile(dir=place) as tried:
                tried.write(bytes(_TRIED))
                tried.flush()
        except OSError as error:
            why = error.strerror or error
            raise BadInputError(f"cannot write results to '{self.root}': {why}") from None

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """Give a folder on the ledger's own file system, and remove what is left of it."""
        draft = self.root / "tmp" / unique_name()
        draft.mkdir(parents=True)
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def write_document(self, kind: str, content: Mapping[str, Any]) -> str:
        """Keep one of the "grids" or "looks" under its "id" or a digest of it; return that id."""
        text = json.dumps(dict(content), indent=1, sort_keys=True)
        name = str(content.get("id") or hashlib.sha256(text.encode()).hexdigest()[:16])
        with self.draft() as draft:
            (draft / "document.json").write_text(text, encoding="utf-8")
            (self.root / kind).mkdir(exist_ok=True)
            (draft / "document.json").replace(self.root / kind / f"{name}.json")
        return name

    def documents(self, kind: str, read: Callable[[bytes], Any] = DOCUMENT) -> list[Any]:
        """Return the "grids", "looks" or "scores", by name.

        Args:
            kind: of document.
            read: makes one of a file's text; those that it raises `BadInputError` for, and those
                that cannot be opened, are left out with a warning.
        """
        found = []
        for path in sorted((self.root / kind).glob("*.json")):
            try:
                found.append(read(contents.read_bytes(path)))
            except (OSError, BadInputError) as error:
                self.leave_out(path, error)
        return found

    def _kept(self, path: Path, read: Callable[[Path], T]) -> T:
        try:
            return read(path)
        except FileNotFoundError:
            raise BadInputError(f"{path} was not kept") from None
        except BadInputError as error:
            self.leave_out(path, error)
            raise BadInputError(f"{path} is unreadable: {error}") from None

    def leave_out(self, path: Path, why: object) -> None:
        """Note that what a path holds is left out, and why."""
        if isinstance(why, OSError):
            why = why.strerror or why
        self.warn(f"left out {path}: {str(why).removeprefix(f'{path}/record.json: ')}")

    def warn(self, line: str) -> None:
        """Note what a reader of these results must be told; once, however often it is met."""
        if line not in self.warnings:
            self.warnings.append(line)
            printing.tell(line)
