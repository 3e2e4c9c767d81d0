"""Marks on done cells that are to be rerun: `again/<id>`, a small file per cell.

For processes that run cells, on any machine, a marked cell is not done. For everybody else it is:
its record still counts and is read until the new record is complete. Then the old folder is moved
to `replaced/<id>/<n>`, the new one takes its place, and the mark is removed. So an interrupted
rerun resumes like any grid. The file holds the number of the cell's newest failed attempt at the
time of the mark; attempts with higher numbers are failed reruns.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

from transfergrid.records.files import contents, folders

FOLDER, REPLACED = "again", "replaced"
_IDENTITY = re.compile(r"[0-9a-f]{16}")


def marked(root: Path) -> set[str]:
    """Return the identities of the cells that are marked to be rerun.

    Args:
        root: the ledger's folder.
    """
    return set(filter(_IDENTITY.fullmatch, folders.listed(root / FOLDER)))


def is_marked(root: Path, identity: str) -> bool:
    """Return whether a cell is marked to be rerun."""
    return (root / FOLDER / identity).exists()


def mark(root: Path, identities: Iterable[str]) -> None:
    """Mark done cells to be rerun.

    Raises:
        OSError: a mark cannot be written.
    """
    for identity in identities:
        (root / FOLDER).mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError), (root / FOLDER / identity).open("x") as file:
            tries = folders.names(root / "attempts" / identity)
            file.write(str(max(map(int, filter(str.isdecimal, tries)), default=0)))


def tries_before(root: Path, identity: str) -> int | None:
    """Return the number of the newest failed attempt when a cell was marked; None if unmarked."""
    try:
        return int(contents.read_bytes(root / FOLDER / identity))
    except (OSError, ValueError):
        return None


def unmark(root: Path, identity: str) -> None:
    """Remove the mark of a cell, and the folder of marks if it is empty then."""
    with contextlib.suppress(OSError):
        (root / FOLDER / identity).unlink(missing_ok=True)
        (root / FOLDER).rmdir()


def set_aside(root: Path, folder: Path) -> Path | None:
    """Move the folder of a rerun cell to `replaced`; return its new path, or None if it is gone.

    Raises:
        OSError: it cannot be moved.
    """
    place = root / REPLACED / folder.name
    number = max(map(int, filter(str.isdecimal, folders.names(place))), default=0) + 1
    try:
        while not folders.rename_whole(folder, place / str(number)):
            number += 1
    except FileNotFoundError:
        return None
    return place / str(number)
