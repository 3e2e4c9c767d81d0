"""Whether this process was asked to go: by Ctrl-C, or by a cluster that wants its machine back.

Who is in the midst of something long says so with `heeding`, looks at `is_asked` from time to time
and, once it has put down what it has, calls `leave`. Anything else is left at once.
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
"""The last is what Slurm sends some time before a job's end, where submitit asked it to."""
_asked: int | None = None
_heeding = 0
_obeys = False


def obey() -> None:
    """End this process, when it is asked to, where `heeding` says that it can; else at once."""
    global _obeys
    _obeys = True
    obey_again()


def obey_again() -> None:
    """Take the signals back from a library that took them, in a process that is to `obey`."""
    for number in _ASKS if _obeys else ():
        signal.signal(number, _hear)


def _hear(number: int, frame: FrameType | None) -> None:
    global _asked
    again, _asked = _asked is not None and number == signal.SIGINT, number
    if again or not _heeding:  # a cluster asks each process, and so does the one that started it
        leave()


@contextmanager
def heeding() -> Iterator[None]:
    """Say that the block looks at `is_asked` every few moments."""
    global _heeding
    _heeding += 1
    try:
        yield
    finally:
        _heeding -= 1
    if is_asked():  # after the last look
        leave()


def interrupt_on(*signals: signal.Signals) -> None:
    """Let signals end what this process does as Ctrl-C would; only its main thread can say so."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in signals:
            signal.signal(number, interrupt)


def is_asked() -> bool:
    """Return whether this process is to end as soon as it can."""
    return _asked is not None


def leave() -> NoReturn:
    """End the process as the signal would have."""
    sys.exit(128 + (_asked or signal.SIGTERM))
