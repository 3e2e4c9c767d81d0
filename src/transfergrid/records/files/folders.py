"""Folders that appear whole, although many processes on many machines write them at once."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path

from transfergrid.records.process.living import is_of_the_dead

RUNNING = "running"
"""Of a ledger's folder, where runs that take long leave what another process goes on from."""
_DAY = 86_400.0


def names(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted; none if it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if _is_folder(entry))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself
        return False


def listed(folder: Path) -> list[str]:
    """Return the names of whatever is in a folder, sorted; none if it is no folder."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def rename_whole(draft: Path, final: Path) -> bool:
    """Rename a folder; return False if there is one of that name with something in it."""
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.rename(final)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def clear_abandoned(drafts: Path) -> None:
    """Remove what was being written by processes that are gone, or that began a day ago."""
    for name in listed(drafts):
        with contextlib.suppress(OSError):
            place = drafts / name
            if is_of_the_dead(name) or time.time() - place.stat().st_mtime > _DAY:
                shutil.rmtree(place, ignore_errors=True) if place.is_dir() else place.unlink()
