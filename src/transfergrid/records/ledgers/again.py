"""Cells that are done and are to be run anew: `again/<id>`, a small file each.

A mark makes a cell one that is not done for whoever runs cells, on any machine, and for nobody
else: its record counts and is read until the new one is whole. Then the old one is moved to
`replaced/<id>/<n>`, the new one takes its place, and the mark goes. So a rerun that was cut short
goes on like any grid. The file holds how often the cell had failed until then: what failed since
failed as it was run anew.
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
    """Return the cells that are to be run anew.

    Args:
        root: the ledger's folder.
    """
    return set(filter(_IDENTITY.fullmatch, folders.listed(root / FOLDER)))


def is_marked(root: Path, identity: str) -> bool:
    """Return whether one cell is to be run anew."""
    return (root / FOLDER / identity).exists()


def mark(root: Path, identities: Iterable[str]) -> None:
    """Let done cells be run anew.

    Raises:
        OSError: the folder takes no files.
    """
    for identity in identities:
        (root / FOLDER).mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError), (root / FOLDER / identity).open("x") as file:
            tries = folders.names(root / "attempts" / identity)
            file.write(str(max(map(int, filter(str.isdecimal, tries)), default=0)))


def tries_before(root: Path, identity: str) -> int | None:
    """Return how often a marked cell had failed when it was marked; None if nobody says."""
    try:
        return int(contents.read_bytes(root / FOLDER / identity))
    except (OSError, ValueError):
        return None


def unmark(root: Path, identity: str) -> None:
    """Let a cell be done; of the last one the folder goes too."""
    with contextlib.suppress(OSError):
        (root / FOLDER / identity).unlink(missing_ok=True)
        (root / FOLDER).rmdir()


def set_aside(root: Path, folder: Path) -> Path | None:
    """Move the folder of a cell that is run anew to where it is kept; None if it is there no more.

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
