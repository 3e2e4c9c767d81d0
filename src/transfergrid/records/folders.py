"""Folders that appear whole, although many processes on many machines write them at once."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import time
import uuid
from pathlib import Path

RUNNING = "running"
"""Of a ledger's folder, where runs that take long leave what another process goes on from."""
_DAY = 86_400.0


def unique_name() -> str:
    """Return a name that no other process, here or on another machine, gives to a file."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"


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
    """Remove what processes that were killed while writing left, a day ago or longer."""
    for name in names(drafts):
        with contextlib.suppress(OSError):
            if time.time() - (drafts / name).stat().st_mtime > _DAY:
                shutil.rmtree(drafts / name, ignore_errors=True)
