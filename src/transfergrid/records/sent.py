"""Which cells of a ledger were sent to a tracker: an empty file each, by the place they went to."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from transfergrid.records import folders


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
