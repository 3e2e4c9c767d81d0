"""The progress of a grid, read from its folder alone: what is done, running or failed, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from transfergrid.evidence.declared.declarations import Grid, grids_of
from transfergrid.records.files.border import time_of
from transfergrid.records.ledgers.again import marked
from transfergrid.records.ledgers.ledger import Ledger, without_garbage_collection
from transfergrid.records.ledgers.signs import Sign, signs
from transfergrid.records.process.ends import kind_of_end
from transfergrid.records.provenance import stale_among
from transfergrid.records.record import Record

WINDOW = 3600.0
"""The length in seconds of the period, up to now, over which the rate is measured."""
_KIND = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning)): ")
INPUT = "cannot be as asked"
"""The cause shown for a reason without an error's name: one line written by transfergrid."""


@dataclass(frozen=True)
class Cause:
    """The cells that failed for the same kind of reason."""

    what: str
    """The kind of error, of `records.process.ends`, or `INPUT`."""
    cells: tuple[str, ...]
    """Their ids, the newest failure first."""
    example: str
    """The label of the newest failed cell."""
    reason: str
    """The reason of the newest failure."""


@dataclass(frozen=True, kw_only=True)
class UnderWay:
    """The progress of the selected grids of a folder."""

    study: str | None
    asked: datetime | None
    """The earliest time at which one of them was (last) requested; None if no grid says."""
    grids: int
    others: int
    """The number of further grids in the folder, which are not counted here."""
    cells: int
    done: int
    running: Sequence[Sign]
    gone: Sequence[Sign]
    """Cells leased by processes that have given no heartbeat for too long; no other process took
    over."""
    waiting: int
    """Cells that are neither done nor failed nor running. If no process is at work, they wait for
    the next start of the command."""
    stale: int
    """Cells that are done, but whose strategy's code has changed since."""
    left_out: int
    causes: Sequence[Cause]
    failed_anew: Sequence[str]
    """The failed cells that were run again; for each, the earlier record is still valid."""
    rate: float | None
    """Cells done per hour; None if none was done since the grid was requested."""
    to_go: float | None
    """Expected remaining seconds; None if nothing is running, or nothing allows a forecast."""
    last: datetime | None
    """When the last of the cells was done."""

    @property
    def failed(self) -> int:
        """The number of cells that have failed and wait for the next start."""
        return sum(len(cause.cells) for cause in self.causes)

    @property
    def left(self) -> int:
        """The number of cells that are neither done nor failed."""
        return self.waiting + len(self.running)


@without_garbage_collection()
def look(ledger: Ledger, everything: bool = False, at: datetime | None = None) -> UnderWay:
    """Return the progress of the grid that is running, or else of the one requested last.

    Args:
        ledger: it is only read.
        everything: whether to count all grids of the folder as one.
        at: the current time; by default now.

    Raises:
        BadInputError: there is no ledger, and nothing was requested.
    """
    at, found = at or datetime.now(UTC), signs(ledger.root)
    grids = sorted(grids_of(ledger), key=lambda grid: str(grid.get("asked")))
    if not grids:
        ledger.check_exists()
    chosen = grids if everything or not grids else _looked_at(grids, found)
    ids: set[str] = set().union(*(grid["cells"] for grid in chosen))
    if not grids:  # cells that were run one by one, as from Python
        ids = {*ledger.listed(), *ledger.tried(), *(sign.cell for sign in found if sign.lives)}
    done = _done(ledger, ids)
    running = [sign for sign in found if sign.lives and sign.cell in ids]
    held = {sign.cell for sign in running}
    gone = [sign for sign in found if not sign.lives and sign.cell in ids - done.keys()]
    asked = min((time for grid in chosen if (time := _asked(grid))), default=None)
    anew = {record.id: record for record in ledger.failed_anew()}
    failed = [r for r in (*ledger.failures(), *anew.values()) if r.id in ids - held]
    if running:  # failures of earlier starts are tried again
        failed = [record for record in failed if asked is None or _time(record.finished) >= asked]
    waiting = len(ids) - len(done.keys() | held) - len(failed)
    times = sorted(time for finished, _ in done.values() if (time := _time(finished)))
    own = [time for time in times if asked is None or time >= asked]
    left_out = {(one["cell"], one["reason"]) for g in chosen for one in g.get("left_out", ())}
    rate = _rate(own, asked, at, bool(running))
    return UnderWay(
        study=next((grid["study"] for grid in reversed(chosen) if grid.get("study")), None),
        asked=asked,
        grids=len(chosen),
        others=len(grids) - len(chosen),
        cells=len(ids),
        done=len(done.keys() - held),
        running=running,
        gone=gone,
        waiting=waiting,
        stale=sum(is_stale for _, is_stale in done.values()),
        left_out=len(left_out),
        causes=causes(failed),
        failed_anew=tuple(record.id for record in failed if record.id in anew),
        rate=rate,
        to_go=_to_go(running, waiting, rate),
        last=times[-1] if times else None,
    )


def _looked_at(grids: Sequence[Grid], found: Iterable[Sign]) -> list[Grid]:
    """Return the grids that are running; if there are none, the one requested last."""
    running = {sign.told.get("grid") for sign in found if sign.lives}
    return [grid for grid in grids if grid.get("id") in running] or [grids[-1]]


def _done(ledger: Ledger, ids: set[str]) -> dict[str, tuple[str | None, bool]]:
    """Return when each done cell finished and whether it is stale, without cells to run again."""
    if not ledger.exists():
        return {}
    columns, anew = ("id", "finished", "code", "strategy_class"), marked(ledger.root)
    rows = [row for row in ledger.columns(columns) if row[0] in ids and row[0] not in anew]
    stale = stale_among((name, code, kind) for name, _, code, kind in rows)
    return {name: (finished, name in stale) for name, finished, _, _ in rows}


def _asked(grid: Mapping[str, Any]) -> datetime | None:
    told = grid.get("asked")
    return time_of(told) if told else None


_NEVER = datetime.min.replace(tzinfo=UTC)


def _time(told: str | None) -> datetime:
    return time_of(told) if told else _NEVER


def _rate(
    times: Sequence[datetime], asked: datetime | None, at: datetime, runs: bool
) -> float | None:
    """Return cells done per hour: in the last hour, or overall if nothing is running any more."""
    if not times or times[-1] == _NEVER:
        return None
    end, begin = (at if runs else times[-1]), asked or times[0]
    seconds = (end - begin).total_seconds()
    if runs and seconds > WINDOW:
        times = [time for time in times if (at - time).total_seconds() <= WINDOW]
        seconds = WINDOW
    return 3600 * len(times) / seconds if times and seconds > 0 else None


def _to_go(running: Sequence[Sign], waiting: int, rate: float | None) -> float | None:
    """Return the seconds left: as forecast by the only process at work, else by the rate."""
    if not running:
        return None
    told = [(s.told.get("to_go"), s.silence) for s in running]
    known = [(to_go, silence) for to_go, silence in told if to_go is not None]
    if known and len({(sign.host, sign.process) for sign in running}) == 1:
        to_go, silence = min(known, key=lambda one: one[1])
        return max(0.0, to_go - silence)
    return 3600 * (waiting + len(running)) / rate if rate else None


def causes(failed: Iterable[Record]) -> list[Cause]:
    """Return failed cells grouped by the kind of failure, the most frequent first."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(failed, key=lambda record: _time(record.finished), reverse=True):
        groups.setdefault(cause_of(record.reason), []).append(record)
    found = [
        Cause(what, tuple(r.id for r in own), own[0].label, own[0].reason or "no reason recorded")
        for what, own in groups.items()
    ]
    return sorted(found, key=lambda cause: (-len(cause.cells), cause.what))


def cause_of(reason: str | None) -> str:
    """Return the kind of failure that a reason describes."""
    told = reason or ""
    if end := kind_of_end(told):
        return end
    kind = _KIND.match(told)
    return kind[1] if kind else INPUT
