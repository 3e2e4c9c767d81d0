"""Merge the results of one ledger into another, as if all had been run in one.

Looks and grids are merged first, then failed attempts, then cells. So a merge that is interrupted
leaves a ledger that knows every look, and that holds each cell complete or not at all. Running the
same command again merges the rest.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from transfergrid.records.errors import BadInputError
from transfergrid.records.files import contents, folders
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.ledgers.packing import DOCUMENTS, whole_record
from transfergrid.records.record import from_json


@dataclass
class Merged:
    """The outcome of a merge, as counts and lists of cells."""

    taken: int = 0
    """Cells that were added."""
    known: int = 0
    """Cells that were there already, with an identical record."""
    other_scores: list[str] = field(default_factory=list)
    """Cells that were there already, with another score than in the other ledger."""
    other_records: list[str] = field(default_factory=list)
    """Cells that were there already, with the same score; records differ elsewhere, as in time."""
    attempts: int = 0
    documents: dict[str, int] = field(default_factory=dict)
    """Number of grids, looks and scores that were added, by kind."""


def merge(into: Ledger, other: Ledger) -> Merged:
    """Merge everything that another ledger holds into `into`; damaged parts are skipped and named.

    All new files are copied to a draft first, and renamed into place once they are complete. If a
    cell is done in both ledgers, the record of `into` stays. Trained sources, the cache and the
    notes on what was sent to a tracker are not merged.

    Raises:
        BadInputError: the other ledger does not exist, or both are the same folder.
        OSError: the new files cannot be written. If that happens while they are copied, `into` is
            unchanged.
    """
    other.check_exists()
    if into.root.exists() and into.root.samefile(other.root):
        raise BadInputError(f"'{into.root}' and '{other.root}' are one folder")
    merged = Merged()
    with into.draft() as draft:
        documents = [*_documents(into, other, draft)]
        tries = [*_attempts(into, other, draft)]
        cells = [*_cells(into, other, draft, merged)]
        for kind, path in documents:
            (into.root / kind).mkdir(exist_ok=True)
            path.replace(into.root / kind / path.name)
            merged.documents[kind] = merged.documents.get(kind, 0) + 1
        for identity, path in tries:
            into.put_attempt(path, identity)
            merged.attempts += 1
        for path in cells:
            merged.taken += into.put(path, path.name)
    return merged


def _cells(into: Ledger, other: Ledger, draft: Path, merged: Merged) -> Iterator[Path]:
    """Copy the cells that `into` does not have, and yield their drafts; compare the others."""
    place = draft / "cells"
    for identity in sorted(other.listed()):
        text = whole_record(other, identity)
        if text is None:
            continue
        if into.is_kept(identity):
            _compare(identity, text, (into.folder(identity) / "record.json").read_bytes(), merged)
            continue
        if copied(other, other.folder(identity), place / identity):
            yield place / identity


def _compare(identity: str, theirs: bytes, ours: bytes, merged: Merged) -> None:
    if theirs == ours:
        merged.known += 1
        return
    try:
        same = from_json(theirs).score == from_json(ours).score
    except BadInputError:  # of a newer program
        same = False
    (merged.other_records if same else merged.other_scores).append(identity)


def _attempts(into: Ledger, other: Ledger, draft: Path) -> Iterator[tuple[str, Path]]:
    """Copy the failed attempts that `into` does not have; yield the cell and the draft of each."""
    for identity in other.tried():
        ours, theirs = into.attempts_folder(identity), other.attempts_folder(identity)
        known = {_text(ours, number) for number in into.attempts(identity)}
        for number in other.attempts(identity):
            if (text := _text(theirs, number)) and text not in known:
                place = draft / "attempts" / identity / str(number)
                if copied(other, theirs / str(number), place):
                    yield identity, place


def _text(tries: Path, number: int) -> bytes:
    try:
        return contents.read_bytes(tries / str(number) / "record.json")
    except OSError:
        return b""


def _documents(into: Ledger, other: Ledger, draft: Path) -> Iterator[tuple[str, Path]]:
    """Copy grids, looks and scores; yield the kind and the draft of each.

    A grid or look whose name is taken by a different document gets a new name: two ledgers may have
    looked in the same second, or may have requested the same grid at different times.
    """
    for kind in DOCUMENTS:
        (draft / kind).mkdir()
        for path in sorted((other.root / kind).glob("*.json")):
            try:
                text = contents.read_bytes(path)
                told = contents.parsed(text)
            except (OSError, ValueError) as error:
                other.leave_out(path, error)
                continue
            name = path.name
            if (here := into.root / kind / name).is_file() and here.read_bytes() != text:
                if kind == "scores":
                    continue  # scores of the same pair, computed in both ledgers
                name = f"{path.stem}-{hashlib.sha256(text).hexdigest()[:8]}.json"
            if not (into.root / kind / name).exists() and isinstance(told, dict):
                (draft / kind / name).write_bytes(text)
                yield kind, draft / kind / name


def copied(ledger: Ledger, folder: Path, place: Path) -> bool:
    """Copy a folder with its subfolders; return False, with a warning, if it cannot be read.

    A folder that holds a symbolic link is not copied, because in a foreign folder a link may point
    anywhere. The same holds for pipes, sockets and devices.
    """
    try:
        files = [*_files(folder)]
    except OSError as error:
        ledger.leave_out(folder, error)
        return False
    for path in files:
        to = place / path.relative_to(folder)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    return True


def _files(folder: Path) -> Iterator[Path]:
    for name in folders.listed(folder):
        path = folder / name
        if path.is_symlink():
            raise OSError(errno.ELOOP, f"{name} is a link")
        contents.status_of(path)
        if path.is_dir():
            yield from _files(path)
        else:
            yield path
