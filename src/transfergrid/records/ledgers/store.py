"""A folder that many processes write to: complete writes, and warnings about unreadable files."""

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
"""Size in bytes of the test write: about a record with its arrays."""

T = TypeVar("T")
DOCUMENT: Reader[dict[str, Any]] = Reader(dict[str, Any])
"""Reads any JSON object."""


class Store:
    """A folder with documents; base of the ledger.

    Args:
        root: the folder; the first write creates it.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.warnings: list[str] = []
        """What was left out while reading and why, one line each."""

    def check_writable(self) -> None:
        """Check that results can be written here; the check leaves no files behind.

        Raises:
            BadInputError: no file can be created in the folder, or, if it does not exist yet, in
                its nearest existing parent.
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
        """Create a draft folder on the ledger's file system, and remove it after the block."""
        draft = self.root / "tmp" / unique_name()
        draft.mkdir(parents=True)
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def write_document(self, kind: str, content: Mapping[str, Any]) -> str:
        """Store a document of the "grids" or "looks"; return its id.

        The id is the document's "id", or else a digest of its text.
        """
        text = json.dumps(dict(content), indent=1, sort_keys=True)
        name = str(content.get("id") or hashlib.sha256(text.encode()).hexdigest()[:16])
        with self.draft() as draft:
            (draft / "document.json").write_text(text, encoding="utf-8")
            (self.root / kind).mkdir(exist_ok=True)
            (draft / "document.json").replace(self.root / kind / f"{name}.json")
        return name

    def documents(self, kind: str, read: Callable[[bytes], Any] = DOCUMENT) -> list[Any]:
        """Return all documents of a kind ("grids", "looks" or "scores"), ordered by file name.

        Args:
            kind: the kind of document.
            read: makes a document from a file's bytes. Files for which it raises `BadInputError`,
                and files that cannot be opened, are left out with a warning.
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
        """Warn that the contents of a path are left out, and why."""
        if isinstance(why, OSError):
            why = why.strerror or why
        self.warn(f"left out {path}: {str(why).removeprefix(f'{path}/record.json: ')}")

    def warn(self, line: str) -> None:
        """Record a warning about these results and report it, unless it was given before."""
        if line not in self.warnings:
            self.warnings.append(line)
            printing.tell(line)
