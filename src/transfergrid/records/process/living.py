"""Identities of processes across machines, and whether the process that wrote a file is gone."""

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
    """The identity of a process, across machines and reboots."""

    place: str
    """Host, boot id and PID namespace: the PID is meaningful only there."""
    process: int
    began: str
    """Start time, in ticks since boot; it tells processes apart that get the same PID later."""

    def is_gone(self) -> bool:
        """Return whether it is known to have ended; False for a process in another `place`."""
        return self.place == place() and began(self.process) != self.began


def this_process() -> Process:
    """Return the identity of the current process."""
    return Process(place(), os.getpid(), began(os.getpid()))


def unique_name() -> str:
    """Return a file name that is unique across processes and machines.

    The name identifies the process, so that files of a process that is gone can be removed.
    """
    me = this_process()
    of = f"{me.process}-{me.began or 'unknown'}-{_short(me.place)}"
    return f"{socket.gethostname()}-{of}-{uuid.uuid4().hex[:12]}"


def is_of_the_dead(name: str) -> bool:
    """Return whether a name that ends with a `unique_name` is of a process known to be gone."""
    found = _NAME.search(name)
    if found is None or found[3] != _short(place()):
        return False
    return Process(place(), int(found[1]), found[2]).is_gone()


@cache
def place() -> str:
    """Return the host name, boot id and PID namespace, as far as the system tells them."""
    parts = [socket.gethostname()]
    for file, read in (("/proc/sys/kernel/random/boot_id", True), ("/proc/self/ns/pid", False)):
        with contextlib.suppress(OSError):
            parts.append(Path(file).read_text().strip() if read else str(Path(file).readlink()))
    return " ".join(parts)


def began(process: int) -> str:
    """Return when a process started, in ticks since boot.

    Empty if the process is gone (or a zombie); "unknown" on systems without /proc.
    """
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else "unknown"
    state, *rest = text.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
