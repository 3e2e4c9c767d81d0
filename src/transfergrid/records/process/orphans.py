"""Child processes that end when their parent ends, however it ends."""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

SCRATCH = "TRANSFERGRID_SCRATCH"
"""Environment variable: the scratch folder of the child process."""
PARENT = "TRANSFERGRID_PARENT"
"""Environment variable: the PID of the parent, which may be gone before the child can look."""
_PREFIX = "tg-"
"""Prefix of the names of scratch folders; it is short, because sockets need short paths."""
LOOK = 1.0
"""Seconds between two checks of whether the parent is alive."""
GRACE = 10.0
"""Seconds that an orphan has to save its work after SIGTERM."""
_PDEATHSIG = 1
"""PR_SET_PDEATHSIG of Linux's prctl: the signal that a process gets when its parent ends."""


def scratch_for(name: str) -> Path:
    """Create a scratch folder for the temporary files of a child process; return its path.

    The parent starts the child with the environment of `within`, and removes the folder after the
    child has ended.
    """
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{name}-"))


def within(scratch: Path) -> dict[str, str]:
    """Return the environment variables that give a child process its scratch folder and parent."""
    return {"TMPDIR": str(scratch), SCRATCH: str(scratch), PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """Let this process, a session leader, and its child processes end when its parent ends.

    They get SIGTERM, as from a cluster, and SIGKILL after `GRACE` seconds if the process has not
    ended, because a process that hangs does not react to SIGTERM. Its scratch folder, if it has
    one, is removed as well.
    """
    parent = int(os.environ.pop(PARENT, os.getppid()))
    atexit.register(_tidy, parent)
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="orphans").start()


def _tidy(parent: int) -> None:
    scratch = Path(os.environ.get(SCRATCH, ""))
    if os.getppid() != parent and scratch.name.startswith(_PREFIX):
        shutil.rmtree(scratch, ignore_errors=True)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    _tidy(parent)
    if os.getsid(0) == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
