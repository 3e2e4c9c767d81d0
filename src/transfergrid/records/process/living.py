"""Which process this is, and whether another one is gone: asked of what it left on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import uuid
from functools import cache
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"-(\d{1,9})-(\w+)-([0-9a-f]{8})-[0-9a-f]{12}(?:\.\w+)?$")


class Process(NamedTuple):
    """A process: which one, and where it lives."""

    place: str
    """Host, boot and space of process numbers: only there its number means anything."""
    process: int
    began: str
    """When, as its system tells it: a number is given to other processes later."""

    def is_gone(self) -> bool:
        """Return whether it is known to have ended: only of processes beside this one."""
        return self.place == place() and began(self.process) != self.began


def this_process() -> Process:
    """Return the process that asks."""
    return Process(place(), os.getpid(), began(os.getpid()))


def unique_name() -> str:
    """Return a name that no other process, here or on another machine, gives to a file.

    It tells whose it is, so that what a process left that is gone need not stay.
    """
    me = this_process()
    of = f"{me.process}-{me.began or 'unknown'}-{_short(me.place)}"
    return f"{socket.gethostname()}-{of}-{uuid.uuid4().hex[:12]}"


def is_of_the_dead(name: str) -> bool:
    """Return whether a `unique_name`, or one that ends with it, is of a process that is gone."""
    found = _NAME.search(name)
    if found is None or found[3] != _short(place()):
        return False
    return Process(place(), int(found[1]), found[2]).is_gone()


@cache
def place() -> str:
    """Return host, boot and space of process numbers."""
    parts = [socket.gethostname()]
    for file, read in (("/proc/sys/kernel/random/boot_id", True), ("/proc/self/ns/pid", False)):
        with contextlib.suppress(OSError):
            parts.append(Path(file).read_text().strip() if read else str(Path(file).readlink()))
    return " ".join(parts)


def began(process: int) -> str:
    """Return when a process began, in ticks since boot; empty if it is gone or nobody tells."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else "unknown"
    state, *rest = text.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
