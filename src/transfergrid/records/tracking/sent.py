"""Which cells of a ledger were sent to a tracker: for each destination an empty file per cell."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from transfergrid.records.files import folders


def note(ledger: Path, identity: str, place: str) -> None:
    """Note that a cell's numbers were sent to a destination, such as a project.

    If the note cannot be written, the error is ignored, and the cell may be sent a second time.

    Args:
        ledger: the folder of results.
        identity: identity of the cell.
        place: the destination, as the tracker spells it.
    """
    marks = _marks(ledger, place)
    with suppress(OSError):
        marks.mkdir(parents=True, exist_ok=True)
        (marks / identity).touch()


def to(ledger: Path, place: str) -> set[str]:
    """Return the identities of the cells that were sent to a destination."""
    return set(folders.listed(_marks(ledger, place)))


def _marks(ledger: Path, place: str) -> Path:
    return ledger / "sent" / hashlib.sha256(place.encode()).hexdigest()[:16]


def mark(ledger: Path, place: str) -> str:
    """Return six hex digits that identify a ledger at a destination; they make run ids unique.

    They are the same at every call, unless they cannot be stored in the ledger.

    Args:
        ledger: the folder of results.
        place: the destination, as the tracker spells it.
    """
    file = ledger / "sent" / "mark"
    try:
        own = file.read_text()
    except OSError:
        own = _made(file)
    return hashlib.sha256(f"{own} {place}".encode()).hexdigest()[:6]


def _made(file: Path) -> str:
    """Create the file with a random text, unless another process was faster; return its text."""
    own = secrets.token_hex(8)
    draft = file.with_name(f".mark-{own}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(own)
        try:
            os.link(draft, file)  # atomic: complete, or not at all
        except FileExistsError:
            own = file.read_text()
        draft.unlink()
    except OSError:
        pass
    return own
