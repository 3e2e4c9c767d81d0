"""Ctrl-C in the process that the user started: at any time it ends with a line and exit code 130.

A `KeyboardInterrupt` that is raised at a random place can get lost, because a library that is being
imported may catch every exception, or may report it as an error of its own. So there are three
modes. "leave": the process exits at once; this is the mode at the start, when nothing can be lost.
"defer" (`deferred`): the signal is only recorded, and acts inside `may_interrupt`; this is for code
that has to clean up. "raise" (`interruptible`): `KeyboardInterrupt` as in any Python program; this
is for verbs that compute.

This module imports only the standard library, because its handler is installed before anything else
is imported.
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
"""Functions to call before the process exits at once."""


def hear() -> None:
    """Install this module's handler for Ctrl-C; before that, Ctrl-C acts as in any Python program.

    It does nothing outside the main thread, and leaves a SIGINT that is ignored as it is.
    """
    global _hears, _mode
    if threading.current_thread() is threading.main_thread():
        _hears, _mode = True, "leave"
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # ignored: run in background
            signal.signal(signal.SIGINT, _obey)


def begin() -> None:
    """Reset what was recorded for earlier commands, if Python code calls several in one process."""
    global _count, _raised
    _count, _raised = 0, False


def hear_all() -> None:
    """Treat SIGTERM (a cluster ends the job) and SIGHUP (the terminal closes) like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in _ALSO:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # ignored: nohup
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
    """Exit the process at once, after the functions of `on_the_spot` were called."""
    for act in reversed(_put_away):
        with suppress(Exception):
            act()
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.write(f"transfergrid: {told()}\n")
        sys.stderr.flush()
    os._exit(EXIT_CODE)


def told() -> str:
    """Return the last line to print; it says whether the command can be resumed."""
    return "stopped; the same command goes on from here" if _put_away else "stopped"


def is_impatient() -> bool:
    """Return whether the process was asked to end at least twice."""
    return _hears and _count > 1


def was_raised() -> bool:
    """Return whether `KeyboardInterrupt` was raised in "raise" mode, even if it was caught."""
    return _raised


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise `KeyboardInterrupt` anywhere in the block."""
    with _in_mode("raise"):
        yield


@contextmanager
def deferred() -> Iterator[None]:
    """Let Ctrl-C interrupt the block only inside `may_interrupt`; a third one exits at once."""
    with _in_mode("defer"):
        yield


@contextmanager
def on_the_spot(put_away: Callable[[], object]) -> Iterator[None]:
    """Let Ctrl-C exit the process at once anywhere in the block, after a call of `put_away`."""
    _put_away.append(put_away)
    try:
        with _in_mode("leave"):
            yield
    finally:
        _put_away.remove(put_away)


@contextmanager
def _in_mode(mode: Literal["leave", "raise", "defer"]) -> Iterator[None]:
    """Set the mode for the block; without `hear` the mode is always "raise"."""
    global _mode
    before, _mode = _mode, mode if _hears else "raise"
    try:
        yield
    finally:
        _mode = before


@contextmanager
def may_interrupt() -> Iterator[None]:
    """Let a first Ctrl-C raise `KeyboardInterrupt` in this block, inside a `deferred` one.

    If Ctrl-C was pressed before, it is raised as the block is entered.
    """
    global _may_raise
    _may_raise = True
    try:
        if _mode == "defer" and _count:
            raise KeyboardInterrupt
        yield
    finally:
        _may_raise = False
