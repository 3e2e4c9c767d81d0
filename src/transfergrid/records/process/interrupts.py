"""Ctrl-C in the process that a person started: exit code 130 and a line, at whichever instant.

An exception that is raised wherever Python happens to be is lost where a library that is being
imported catches all of them, or tells of a fault of its own. So in the beginning, where nothing is
lost by it, the process ends on the spot. Who has something to put away says so with `deferred`:
then it is noted, and heard where `may_interrupt` says that it can be. A verb that computes is
interrupted as any Python program is.

Nothing but the standard library is imported here, for this is heard before anything else is.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Literal, NoReturn

EXIT_CODE = 130
_ALSO = ("SIGTERM", "SIGHUP")
_mode: Literal["leave", "raise", "defer"] = "raise"
_count = 0
_hears = False
_may_raise = False
_raised = False
_put_away: list[Callable[[], object]] = []
"""What is to be done before the process ends on the spot."""


def hear() -> None:
    """Obey Ctrl-C from now on as this module says; else all of it is Python's own affair."""
    global _hears, _mode
    if threading.current_thread() is threading.main_thread():
        _hears, _mode = True, "leave"
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in the background of a shell
            signal.signal(signal.SIGINT, _obey)


def begin() -> None:
    """Forget what earlier commands of this process were told, as where Python calls several."""
    global _count, _raised
    _count, _raised = 0, False


def hear_all() -> None:
    """Obey a cluster that wants its machine back, and a terminal that is closed, as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in _ALSO:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _obey)


def _obey(number: int, frame: FrameType | None) -> None:
    global _count, _raised
    _count += 1
    if _hears and (_mode == "leave" or _count > 2):
        leave()
    if _mode == "raise":
        _raised = True
    if _mode == "raise" or (_may_raise and _count == 1):
        raise KeyboardInterrupt


def leave() -> NoReturn:
    """End the process on the spot."""
    for act in reversed(_put_away):
        with suppress(Exception):
            act()
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.write(f"transfergrid: {told()}\n")
        sys.stderr.flush()
    os._exit(EXIT_CODE)


def told() -> str:
    """Return what to say in the end."""
    return "stopped; the same command goes on from here" if _put_away else "stopped"


def is_impatient() -> bool:
    """Return whether the process was asked to end again while it does."""
    return _hears and _count > 1


def was_raised() -> bool:
    """Return whether a block that is `interruptible` was interrupted, whatever came of it."""
    return _raised


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the block be interrupted wherever it is, by `KeyboardInterrupt`."""
    with _in_mode("raise"):
        yield


@contextmanager
def deferred() -> Iterator[None]:
    """Let the block be interrupted by `may_interrupt` alone, and by a third time on the spot."""
    with _in_mode("defer"):
        yield


@contextmanager
def on_the_spot(put_away: Callable[[], object]) -> Iterator[None]:
    """Let the process end in the block at once, once `put_away` was called."""
    _put_away.append(put_away)
    try:
        with _in_mode("leave"):
            yield
    finally:
        _put_away.remove(put_away)


@contextmanager
def _in_mode(mode: Literal["leave", "raise", "defer"]) -> Iterator[None]:
    """Change what is done where it is this module that hears."""
    global _mode
    before, _mode = _mode, mode if _hears else "raise"
    try:
        yield
    finally:
        _mode = before


@contextmanager
def may_interrupt() -> Iterator[None]:
    """Raise `KeyboardInterrupt` in a block of `deferred`, or before it, if it was asked for."""
    global _may_raise
    _may_raise = True
    try:
        if _mode == "defer" and _count:
            raise KeyboardInterrupt
        yield
    finally:
        _may_raise = False
