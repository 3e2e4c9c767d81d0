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
import threading
import time
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from transfergrid.records import contents, folders
from transfergrid.records.errors import BadInputError
from transfergrid.records.living import Process, this_process, unique_name

FOLDER = "claims"
LEASE = 60.0
"""Seconds without a sign of life after which a holder is dead."""
BEAT = 10.0
"""Seconds between two signs of life."""
_CLAIM = re.compile(r"([0-9a-f]{16})\.([0-9]{1,9})")


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
        self.me = this_process()
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
            if self.is_alive(newest):
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
        return {name for name, n in newest.items() if self.is_alive(self.folder / f"{name}.{n}")}

    def _newest(self, identity: str) -> tuple[int, Path | None]:
        numbers = [*map(_number, self._of(identity))]
        return (max(numbers), self.folder / f"{identity}.{max(numbers)}") if numbers else (0, None)

    def _of(self, identity: str) -> list[str]:
        here = folders.listed(self.folder)
        return [name for name in here if (m := _CLAIM.fullmatch(name)) and m[1] == identity]

    def is_alive(self, place: Path) -> bool:
        """Return whether a claim's holder has given a sign of life lately."""
        try:
            age = self._clock() - place.stat().st_mtime
        except FileNotFoundError:
            return False
        holder, lease = _told(place)
        return age < (lease or self.lease) and not holder.is_gone()

    def _clock(self) -> float:
        """Return the time by the file system's clock; else, as read-only, by this one's."""
        probe = self.drafts / f"clock-{unique_name()}"
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
        draft = self.drafts / f"claim-{unique_name()}"
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


def holder_in(place: Path) -> Process:
    """Return who wrote a file; of one that cannot be read nothing is known but its time."""
    return _told(place)[0]


def _told(place: Path) -> tuple[Process, float | None]:
    """Return who made a claim, and the seconds after which he is dead, where it says so.

    Of one that cannot be read nothing is known but its time.
    """
    try:
        told: Any = contents.parsed(contents.read_bytes(place))
        holder = Process(str(told["place"]), int(told["process"]), str(told["began"]))
        return holder, float(told["lease"]) if "lease" in told else None
    except (OSError, BadInputError, KeyError, TypeError, ValueError):
        return Process("", 0, ""), None


def now_held(root: Path, identities: Iterable[str]) -> set[str]:
    """Return those of the cells that a living process runs."""
    return Claims(root).others(identities) if (root / FOLDER).is_dir() else set()


def clear(root: Path, done: Container[str]) -> None:
    """Remove what the dead hold of cells that are done, which nobody will ever claim again."""
    claims = Claims(root)
    for name in folders.listed(claims.folder):
        if (found := _CLAIM.fullmatch(name)) and found[1] in done:
            with contextlib.suppress(OSError):
                if not claims.is_alive(claims.folder / name):
                    (claims.folder / name).unlink()
    with contextlib.suppress(OSError):
        claims.folder.rmdir()
