"""Whether this process was asked to end, by Ctrl-C or by a cluster.

Code that runs long enters `heeding`, checks `is_asked` from time to time and, after it has saved
its work, calls `leave`. Outside such a block the process ends at once.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_ASKS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
"""Slurm sends SIGUSR2 some time before the end of a job, if submitit requested it."""
_asked: int | None = None
_heeding = 0
_obeys = False


def obey() -> None:
    """Install the signal handlers: a signal ends the process at once, except within `heeding`."""
    global _obeys
    _obeys = True
    obey_again()


def obey_again() -> None:
    """Install the handlers again after a library replaced them; only after a call of `obey`."""
    for number in _ASKS if _obeys else ():
        signal.signal(number, _hear)


def _hear(number: int, frame: FrameType | None) -> None:
    global _asked
    again, _asked = _asked is not None and number == signal.SIGINT, number
    # only SIGINT counts as a second request: SIGTERM may come from both the cluster and the parent
    if again or not _heeding:
        leave()


@contextmanager
def heeding() -> Iterator[None]:
    """Declare that the block checks `is_asked` often, so that signals must not end it at once."""
    global _heeding
    _heeding += 1
    try:
        yield
    finally:
        _heeding -= 1
    if is_asked():  # a signal came after the block's last check
        leave()


def interrupt_on(*signals: signal.Signals) -> None:
    """Let these signals raise `KeyboardInterrupt`; no effect outside the main thread."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in signals:
            signal.signal(number, interrupt)


def is_asked() -> bool:
    """Return whether this process is to end as soon as it can."""
    return _asked is not None


def leave() -> NoReturn:
    """Exit with 128 + the number of the signal; SIGTERM's if no signal came."""
    sys.exit(128 + (_asked or signal.SIGTERM))
