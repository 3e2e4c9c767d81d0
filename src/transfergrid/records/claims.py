"""Who runs which cell, where many processes on many machines share one folder and no server.

    claims/<id>.<n>    whoever made it runs the cell; n counts from 0

A claim is a file that appears whole by a hard link, which one of many wins, over NFS too. Its time
is its holder's last sign of life, by the clock of the file system, which is the same for all. One
that gave none for the lease that it says is dead, and so at once is one whose process, on this
machine, is gone. Then the cell is claimed by the next number: a dead claim is never removed by
anyone else, so that no two can take it for the same. Whoever comes back from the dead finishes a
cell that another one runs too; the ledger keeps the record of the first.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from transfergrid.records import contents, folders
from transfergrid.records.errors import BadInputError

FOLDER = "claims"
LEASE = 60.0
"""Seconds without a sign of life after which a holder is dead."""
BEAT = 10.0
"""Seconds between two signs of life."""
_CLAIM = re.compile(r"([0-9a-f]{16})\.([0-9]{1,9})")


class Holder(NamedTuple):
    """A process that may hold claims: which one, and where it lives."""

    place: str
    """Host, boot and space of process numbers: only there its number means anything."""
    process: int
    began: str
    """When, as its system tells it: a number is given to other processes later."""

    def is_gone(self) -> bool:
        """Return whether it is known to have ended: only of processes beside this one."""
        return self.place == _place() and _began(self.process) != self.began


class Claims:
    """The cells that this process runs.

    Args:
        root: the ledger's folder.
        lease: see `LEASE`.
        beat: see `BEAT`.
    """

    def __init__(self, root: Path, lease: float = LEASE, beat: float = BEAT) -> None:
        self.folder, self.drafts = root / FOLDER, root / "tmp"
        self.lease, self.beat = lease, beat
        self.me = Holder(_place(), os.getpid(), _began(os.getpid()))
        self._held: dict[str, Path] = {}
        self._ended = threading.Event()
        self._pulse: threading.Thread | None = None

    def take(self, identity: str) -> bool:
        """Return whether this process holds a cell from now on, or held it before.

        Raises:
            OSError: the folder takes no new file.
        """
        if identity in self._held:
            return True
        number, newest = self._newest(identity)
        if newest is not None:
            if self._lives(newest):
                return False
            number += 1
        made = self._made(self.folder / f"{identity}.{number}")
        if made is None:
            return False
        self._held[identity] = made
        self._begin()
        return True

    def deaths(self, identity: str) -> int:
        """Return how many died while they held a cell, since one last let it go; 0 if not held."""
        place = self._held.get(identity)
        return _number(place.name) if place is not None else 0

    def release(self, identity: str) -> None:
        """Let a cell go, done or not."""
        place = self._held.pop(identity, None)
        if place is None:
            return
        older = [name for name in self._of(identity) if _number(name) < _number(place.name)]
        for name in (*older, place.name):  # its own last: as long as it stands nobody takes another
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()

    def close(self) -> None:
        """Let all cells go."""
        self._ended.set()
        for identity in [*self._held]:
            self.release(identity)
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # where nobody else holds any

    def others(self, identities: Iterable[str]) -> set[str]:
        """Return those of the cells that another living process runs."""
        wanted, newest = {*identities} - self._held.keys(), dict[str, int]()
        for name in folders.listed(self.folder):
            if (found := _CLAIM.fullmatch(name)) and found[1] in wanted:
                newest[found[1]] = max(newest.get(found[1], -1), int(found[2]))
        return {name for name, n in newest.items() if self._lives(self.folder / f"{name}.{n}")}

    def _newest(self, identity: str) -> tuple[int, Path | None]:
        numbers = [*map(_number, self._of(identity))]
        return (max(numbers), self.folder / f"{identity}.{max(numbers)}") if numbers else (0, None)

    def _of(self, identity: str) -> list[str]:
        here = folders.listed(self.folder)
        return [name for name in here if (m := _CLAIM.fullmatch(name)) and m[1] == identity]

    def _lives(self, place: Path) -> bool:
        """Return whether a claim's holder has given a sign of life lately."""
        try:
            age = self._clock() - place.stat().st_mtime
        except FileNotFoundError:
            return False
        holder, lease = _told(place)
        return age < (lease or self.lease) and not holder.is_gone()

    def _clock(self) -> float:
        """Return the time by the file system's clock; else, as read-only, by this one's."""
        probe = self.drafts / f"clock-{folders.unique_name()}"
        try:
            self.drafts.mkdir(parents=True, exist_ok=True)
            probe.touch()
            now = probe.stat().st_mtime
            probe.unlink()
        except OSError:
            return time.time()
        return now

    def _made(self, place: Path) -> Path | None:
        """Return a claim of this process's own; None if another one was quicker."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.drafts.mkdir(parents=True, exist_ok=True)
        draft = self.drafts / f"claim-{folders.unique_name()}"
        told = {**self.me._asdict(), "lease": self.lease}
        draft.write_text(json.dumps(told), encoding="utf-8")
        try:
            _link(draft, place)
        except FileExistsError:
            return None
        finally:
            draft.unlink()
        return place

    def _begin(self) -> None:
        if self._pulse is None:
            self._pulse = threading.Thread(target=self._beating, daemon=True, name="claims")
            self._pulse.start()

    def _beating(self) -> None:
        while not self._ended.wait(self.beat):
            for place in [*self._held.values()]:
                with contextlib.suppress(OSError):
                    os.utime(place)


def _link(draft: Path, place: Path) -> None:
    """Make a file appear whole, or raise `FileExistsError`; where no links are, all but whole."""
    try:
        os.link(draft, place)
    except FileExistsError:
        raise
    except OSError:
        with place.open("xb") as file:
            file.write(draft.read_bytes())


def _number(name: str) -> int:
    return int(name.rpartition(".")[2])


def _told(place: Path) -> tuple[Holder, float | None]:
    """Return who made a claim, and the seconds after which he is dead, where it says so.

    Of one that cannot be read nothing is known but its time.
    """
    try:
        told: Any = contents.parsed(contents.read_bytes(place))
        holder = Holder(str(told["place"]), int(told["process"]), str(told["began"]))
        return holder, float(told["lease"]) if "lease" in told else None
    except (OSError, BadInputError, KeyError, TypeError, ValueError):
        return Holder("", 0, ""), None


def _place() -> str:
    parts = [socket.gethostname()]
    for file, read in (("/proc/sys/kernel/random/boot_id", True), ("/proc/self/ns/pid", False)):
        with contextlib.suppress(OSError):
            parts.append(Path(file).read_text().strip() if read else str(Path(file).readlink()))
    return " ".join(parts)


def _began(process: int) -> str:
    """Return when a process began, in ticks since boot; empty if it is gone or nobody tells."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else "unknown"
    state, *rest = text.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]


def now_held(root: Path, identities: Iterable[str]) -> set[str]:
    """Return those of the cells that a living process runs."""
    return Claims(root).others(identities) if (root / FOLDER).is_dir() else set()
