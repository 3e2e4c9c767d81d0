"""Claims: which process runs which cell, where many machines share one folder and no server.

    claims/<id>.<n>    the process that made the file runs the cell; n counts from 0

A claim works as a lease. The file is created complete by a hard link; if several processes race for
it, exactly one wins, on NFS too. Its modification time is the holder's last heartbeat, by the clock
of the file system, which is the same for all machines. A claim is dead if it had no heartbeat for
the duration of its lease, or at once if its process ran on this machine and is gone. Then another
process claims the cell under the next number. It does not remove the dead claim, because two
processes that did so could both believe that they hold the cell. If a holder that was only slow
comes back, the cell is run twice; the ledger keeps the record that was finished first.

A claim also holds the progress of the cell, for `signs`. The file is rewritten, by a rename,
together with the heartbeats; for short cells this never happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from transfergrid.records.errors import BadInputError
from transfergrid.records.files import contents, folders
from transfergrid.records.process.living import Process, this_process, unique_name

FOLDER = "claims"
LEASE = 60.0
"""Seconds without a heartbeat after which a holder counts as dead."""
BEAT = 10.0
"""Seconds between two heartbeats."""
FIRST = 2.0
"""Longest time in seconds until progress is first written; most cells are done by then."""
_CLAIM = re.compile(r"([0-9a-f]{16})\.([0-9]{1,9})")


class Claims:
    """The claims of this process, and a view of all claims in a ledger.

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
        self._told: dict[str, Mapping[str, Any]] = {}
        self._written: dict[str, Mapping[str, Any]] = {}
        self._writing = threading.Lock()
        """Held while a claim is rewritten or released: a released claim must not reappear."""
        self._ended = threading.Event()
        self._pulse: threading.Thread | None = None

    def take(self, identity: str) -> bool:
        """Try to claim a cell; return whether this process holds it now.

        Raises:
            OSError: the claim cannot be written to the folder.
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
        """Return how many holders of a cell died since its last release; 0 if it is not held."""
        place = self._held.get(identity)
        return _number(place.name) if place is not None else 0

    def note(self, identity: str, told: Mapping[str, Any]) -> None:
        """Set the progress of a cell (plain values), to be written with the next heartbeat.

        A cell that this process does not hold is ignored, for example if no claim could be written.
        """
        if identity in self._held:
            self._told[identity] = told

    def release(self, identity: str) -> None:
        """Release the claim of a cell, whether the cell is done or not."""
        with self._writing:
            place = self._held.pop(identity, None)
            self._told.pop(identity, None)
            self._written.pop(identity, None)
        if place is None:
            return
        older = [name for name in self._of(identity) if _number(name) < _number(place.name)]
        for name in (*older, place.name):  # its own last: while it exists nobody else can claim
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()

    def close(self) -> None:
        """Release all claims and end the heartbeats."""
        self._ended.set()
        for identity in [*self._held]:
            self.release(identity)
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # succeeds only if no other claims are left

    def others(self, identities: Iterable[str]) -> set[str]:
        """Return the subset of these cells that another living process holds."""
        wanted = {*identities} - self._held.keys()
        newest = {name: place for name, place in self.newest().items() if name in wanted}
        return {name for name, place in newest.items() if self.is_alive(place)}

    def newest(self) -> dict[str, Path]:
        """Return the newest claim of each claimed cell, by identity; only this one is valid."""
        numbers: dict[str, int] = {}
        for name in folders.listed(self.folder):
            if found := _CLAIM.fullmatch(name):
                numbers[found[1]] = max(numbers.get(found[1], -1), int(found[2]))
        return {name: self.folder / f"{name}.{n}" for name, n in numbers.items()}

    def silence(self, place: Path) -> float | None:
        """Return the seconds since a claim's last heartbeat; None if the file is gone."""
        try:
            return max(0.0, self._clock() - place.stat().st_mtime)
        except FileNotFoundError:
            return None

    def _newest(self, identity: str) -> tuple[int, Path | None]:
        numbers = [*map(_number, self._of(identity))]
        return (max(numbers), self.folder / f"{identity}.{max(numbers)}") if numbers else (0, None)

    def _of(self, identity: str) -> list[str]:
        here = folders.listed(self.folder)
        return [name for name in here if (m := _CLAIM.fullmatch(name)) and m[1] == identity]

    def is_alive(self, place: Path) -> bool:
        """Return whether a claim's lease still runs and its process is not known to be gone."""
        silence = self.silence(place)
        if silence is None:
            return False
        holder, lease = _told(place)
        return silence < (lease or self.lease) and not holder.is_gone()

    def _clock(self) -> float:
        """Return the time by the file system's clock, or by this machine's if it is read-only."""
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
        """Create the claim file; return its path, or None if another process created it first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.drafts.mkdir(parents=True, exist_ok=True)
        draft = self._drafted({})
        try:
            _link(draft, place)
        except FileExistsError:
            return None
        finally:
            draft.unlink()
        return place

    def _drafted(self, told: Mapping[str, Any]) -> Path:
        draft = self.drafts / f"claim-{unique_name()}"
        said = {**self.me._asdict(), "lease": self.lease, **({"told": told} if told else {})}
        text = json.dumps(said)
        draft.write_text(text, encoding="utf-8")
        return draft

    def _begin(self) -> None:
        if self._pulse is None:
            self._pulse = threading.Thread(target=self._beating, daemon=True, name="claims")
            self._pulse.start()

    def _beating(self) -> None:
        beaten = time.monotonic()
        while not self._ended.wait(min(FIRST, self.beat)):
            is_beat = time.monotonic() - beaten >= self.beat
            beaten = time.monotonic() if is_beat else beaten
            for identity in [*self._held]:
                with contextlib.suppress(OSError, KeyError), self._writing:
                    self._sign(identity, is_beat)

    def _sign(self, identity: str, is_beat: bool) -> None:
        """Write a heartbeat if one is due, and the progress if it has changed.

        The first progress of a cell is written without waiting for a heartbeat.
        """
        place, told = self._held[identity], self._told.get(identity, {})
        is_due = is_beat or (told and identity not in self._written)
        if is_due:
            os.utime(place)  # fails if another process took over and has released the cell since
        if is_due and told != self._written.get(identity, {}):
            self._written[identity] = told
            draft = self._drafted(told)
            try:
                draft.replace(place)
            finally:
                draft.unlink(missing_ok=True)


def _link(draft: Path, place: Path) -> None:
    """Create a file with its contents in one step, or raise `FileExistsError`.

    On a file system without hard links it is created exclusively and then filled.
    """
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
    """Return the process that wrote a claim or note; an empty `Process` if it cannot be read."""
    return _told(place)[0]


def _told(place: Path) -> tuple[Process, float | None]:
    """Return the process that made a claim, and the claim's lease in seconds, or None without one.

    For a file that cannot be read it returns an empty `Process` and None.
    """
    try:
        told: Any = contents.parsed(contents.read_bytes(place))
        holder = Process(str(told["place"]), int(told["process"]), str(told["began"]))
        return holder, float(told["lease"]) if "lease" in told else None
    except (OSError, BadInputError, KeyError, TypeError, ValueError):
        return Process("", 0, ""), None


def now_held(root: Path, identities: Iterable[str]) -> set[str]:
    """Return the subset of these cells that a living process holds."""
    return Claims(root).others(identities) if (root / FOLDER).is_dir() else set()


def clear(root: Path, done: Container[str]) -> int:
    """Remove dead claims of done cells, which nobody will claim again; return how many.

    Args:
        root: the ledger's folder.
        done: identities of the done cells.
    """
    claims, cleared = Claims(root), 0
    for name in folders.listed(claims.folder):
        if (found := _CLAIM.fullmatch(name)) and found[1] in done:
            with contextlib.suppress(OSError):
                if not claims.is_alive(claims.folder / name):
                    (claims.folder / name).unlink()
                    cleared += 1
    with contextlib.suppress(OSError):
        claims.folder.rmdir()
    return cleared
