"""One ledger's results brought into another, so that both count as if they had been one.

Looks and grids come first, then failed attempts, then cells. So a merge that is cut short leaves a
ledger that knows of every look that was taken, and of cells each whole or not at all: the same
command again brings the rest.
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
    """What a merge did."""

    taken: int = 0
    """Cells that are new."""
    known: int = 0
    """Cells that were there, with the same record."""
    other_scores: list[str] = field(default_factory=list)
    """Cells that were there, and score otherwise in the other ledger."""
    other_records: list[str] = field(default_factory=list)
    """Cells that were there with the same score, and whose records differ, as in their time."""
    attempts: int = 0
    documents: dict[str, int] = field(default_factory=dict)
    """Grids, looks and scores that are new, by kind."""


def merge(into: Ledger, other: Ledger) -> Merged:
    """Bring everything that another ledger holds; what is damaged there is left out and named.

    All that is new is copied first, and renamed into its place once it is whole. Of a cell that is
    done in both the record stays that is there. Sources that were trained, what was cached and what
    was sent to a tracker are left where they are.

    Raises:
        BadInputError: there is no such other ledger, or both are the same.
        OSError: what is new cannot be written; nothing was brought then.
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
    """Copy what is not done here; count what is."""
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
    """Copy failed attempts that are not known here."""
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
    """Copy grids, looks and scores; one that is here under its name, and other, gets another name.

    Two ledgers may have looked in the same second, and asked for the same grid at two times.
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
                    continue  # of the same pair, computed in both
                name = f"{path.stem}-{hashlib.sha256(text).hexdigest()[:8]}.json"
            if not (into.root / kind / name).exists() and isinstance(told, dict):
                (draft / kind / name).write_bytes(text)
                yield kind, draft / kind / name


def copied(ledger: Ledger, folder: Path, place: Path) -> bool:
    """Copy the files of a folder and of the folders in it; False, with a warning, if it is odd.

    Links are not followed: in a folder of somebody's they may lead anywhere.
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
