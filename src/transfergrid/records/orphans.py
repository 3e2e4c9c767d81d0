"""A process that ends with the one that started it, however that one ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress

LOOK = 1.0
"""Seconds between two looks at whether the parent is there."""
GRACE = 10.0
"""Seconds in which an orphan may put down what it has."""
_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process is sent when its parent is gone."""


def end_with_parent() -> None:
    """Let this process, the first of its session, and those that it starts end with its parent.

    It is asked to go at once, as by a cluster that wants its machine back, and ended if it does
    not: one that hangs hears nothing.
    """
    parent = os.getppid()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="orphans").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    if os.getsid(0) == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
