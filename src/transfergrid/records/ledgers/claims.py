"""Who runs which cell, where many processes on many machines share one folder and no server.

    claims/<id>.<n>    whoever made it runs the cell; n counts from 0

A claim is a file that appears whole by a hard link, which one of many wins, over NFS too. Its time
is its holder's last sign of life, by the clock of the file system, which is the same for all. One
that gave none for the lease that it says is dead, and so at once is one whose process, on this
machine, is gone. Then the cell is claimed by the next number: a dead claim is never removed by
anyone else, so that no two can take it for the same. Whoever comes back from the dead finishes a
cell that another one runs too; the ledger keeps the record of the first.

A claim also says how far its holder is with the cell, for `signs`. It is written anew, by a
rename, with the signs of life: that costs nothing where cells are short.
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
"""Seconds without a sign of life after which a holder is dead."""
BEAT = 10.0
"""Seconds between two signs of life."""
FIRST = 2.0
"""Seconds after which it is first written how far a cell is: most are done by then."""
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
        self._told: dict[str, Mapping[str, Any]] = {}
        self._written: dict[str, Mapping[str, Any]] = {}
        self._writing = threading.Lock()
        """Holds nothing up but a release: a claim that was let go must not come back."""
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

    def note(self, identity: str, told: Mapping[str, Any]) -> None:
        """Say of a cell how far it is: plain values, for whoever looks at this folder.

        What is not held is passed over, as where no claim can be written.
        """
        if identity in self._held:
            self._told[identity] = told

    def release(self, identity: str) -> None:
        """Let a cell go, done or not."""
        with self._writing:
            place = self._held.pop(identity, None)
            self._told.pop(identity, None)
            self._written.pop(identity, None)
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
        wanted = {*identities} - self._held.keys()
        newest = {name: place for name, place in self.newest().items() if name in wanted}
        return {name for name, place in newest.items() if self.is_alive(place)}

    def newest(self) -> dict[str, Path]:
        """Return the claim that counts of each cell of which there is any, by identity."""
        numbers: dict[str, int] = {}
        for name in folders.listed(self.folder):
            if found := _CLAIM.fullmatch(name):
                numbers[found[1]] = max(numbers.get(found[1], -1), int(found[2]))
        return {name: self.folder / f"{name}.{n}" for name, n in numbers.items()}

    def silence(self, place: Path) -> float | None:
        """Return for how many seconds a claim's holder gave no sign of life; None if it is gone."""
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
        """Return whether a claim's holder has given a sign of life lately."""
        silence = self.silence(place)
        if silence is None:
            return False
        holder, lease = _told(place)
        return silence < (lease or self.lease) and not holder.is_gone()

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
        """Give a sign of life, if it is time to, with what there is to tell."""
        place, told = self._held[identity], self._told.get(identity, {})
        is_due = is_beat or (told and identity not in self._written)
        if is_due:
            os.utime(place)  # it fails where another one took it for dead and has let it go since
        if is_due and told != self._written.get(identity, {}):
            self._written[identity] = told
            draft = self._drafted(told)
            try:
                draft.replace(place)
            finally:
                draft.unlink(missing_ok=True)


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


def clear(root: Path, done: Container[str]) -> int:
    """Remove what the dead hold of cells that are done, which nobody will ever claim again.

    It returns how many claims these were.
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
