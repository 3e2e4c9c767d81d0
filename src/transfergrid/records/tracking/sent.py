"""Which cells of a ledger were sent to a tracker: an empty file each, by the place they went to."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from transfergrid.records.files import folders


def note(ledger: Path, identity: str, place: str) -> None:
    """Note that a cell's numbers were sent to a place, such as a project.

    Where that cannot be written, the cell may be sent a second time; it is no less done.

    Args:
        ledger: the folder of results.
        identity: of the cell.
        place: as the tracker spells it.
    """
    marks = _marks(ledger, place)
    with suppress(OSError):
        marks.mkdir(parents=True, exist_ok=True)
        (marks / identity).touch()


def to(ledger: Path, place: str) -> set[str]:
    """Return the cells that were sent there."""
    return set(folders.listed(_marks(ledger, place)))


def _marks(ledger: Path, place: str) -> Path:
    return ledger / "sent" / hashlib.sha256(place.encode()).hexdigest()[:16]


def mark(ledger: Path, place: str) -> str:
    """Return six digits that tell a ledger's runs at a place from all others, for good.

    Where they cannot be kept they are of this moment alone.

    Args:
        ledger: the folder of results.
        place: as the tracker spells it.
    """
    file = ledger / "sent" / "mark"
    try:
        own = file.read_text()
    except OSError:
        own = _made(file)
    return hashlib.sha256(f"{own} {place}".encode()).hexdigest()[:6]


def _made(file: Path) -> str:
    """Make the file, unless another process was quicker; return what it says."""
    own = secrets.token_hex(8)
    draft = file.with_name(f".mark-{own}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(own)
        try:
            os.link(draft, file)  # whole, or not at all
        except FileExistsError:
            own = file.read_text()
        draft.unlink()
    except OSError:
        pass
    return own
