"""Folders that appear complete or not at all, although many processes write at the same time."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path

from transfergrid.records.process.living import is_of_the_dead

RUNNING = "running"
"""The folder of checkpoints in a ledger, from which another process can resume a long run."""
_DAY = 86_400.0


def names(folder: Path) -> list[str]:
    """Return the names of a folder's subfolders, sorted; none if the folder does not exist."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if _is_folder(entry))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # for example a link to itself
        return False


def listed(folder: Path) -> list[str]:
    """Return the names of all entries of a folder, sorted; none if it is not a folder."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def rename_whole(draft: Path, final: Path) -> bool:
    """Rename a folder; return False if the new name belongs to a folder that is not empty."""
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.rename(final)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def clear_abandoned(drafts: Path) -> None:
    """Remove drafts of processes that are gone, and drafts that were not changed for a day."""
    for name in listed(drafts):
        with contextlib.suppress(OSError):
            place = drafts / name
            if is_of_the_dead(name) or time.time() - place.stat().st_mtime > _DAY:
                shutil.rmtree(place, ignore_errors=True) if place.is_dir() else place.unlink()
