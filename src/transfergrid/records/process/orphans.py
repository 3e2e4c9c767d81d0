"""A process that ends with the one that started it, however that one ends."""

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
"""Tells a process of the folder that goes with it."""
PARENT = "TRANSFERGRID_PARENT"
"""Tells it who started it: its parent may be gone before it can look."""
_PREFIX = "tg-"
"""What names of such folders begin with; sockets in them want short ones."""
LOOK = 1.0
"""Seconds between two looks at whether the parent is there."""
GRACE = 10.0
"""Seconds in which an orphan may put down what it has."""
_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process is sent when its parent is gone."""


def scratch_for(name: str) -> Path:
    """Return a new folder for all that a process about to be started leaves in temporary folders.

    Whoever starts it, with the environment of `within`, removes the folder once it has ended.
    """
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{name}-"))


def within(scratch: Path) -> dict[str, str]:
    """Return what the environment of a process says of its folder."""
    return {"TMPDIR": str(scratch), SCRATCH: str(scratch), PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """Let this process, the first of its session, and those that it starts end with its parent.

    It is asked to go at once, as by a cluster that wants its machine back, and ended if it does
    not: one that hangs hears nothing. Its folder, if it was given one, is removed then.
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
