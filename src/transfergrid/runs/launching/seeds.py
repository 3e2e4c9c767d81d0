"""Which cell a worker gets next, and with it which other seeds to train side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from transfergrid.records.cell import Cell
from transfergrid.runs.planning.plan import place_of

Stacked = bool | Literal["auto"]
MOST = 10
"""Most seeds that are trained side by side: more gain little, and all of them are in memory."""


AHEAD = 256
"""Waiting cells that are searched for one whose source and target the worker has open."""


@dataclass
class Seeds:
    """Hands out cells, and reserves for a worker the cells that it trains beside another.

    Args:
        asked: `trainer.stacked`; False: each cell is trained alone.
        workers: number of workers.
    """

    asked: Stacked = False
    workers: int = 1
    _kept: dict[int, deque[Cell]] = field(default_factory=dict)
    """Reserved cells, by the worker's slot."""
    _last: dict[int, Any] = field(default_factory=dict)
    """Source and target that each worker has open from its last cell, by slot."""
    _alone: set[Any] = field(default_factory=set)
    """Kinds of cells that a worker reported as trained one by one."""

    def are_kept(self, slot: int | None = None) -> bool:
        """Return whether cells are reserved for a worker; without a slot, for any worker."""
        return bool(self._kept.get(slot) if slot is not None else any(self._kept.values()))

    def take(
        self, slot: int, waiting: deque[Cell], may: Callable[[Cell], bool] = lambda cell: True
    ) -> tuple[Cell | None, list[Cell]]:
        """Return a worker's next cell (None if there is none) and the cells to train beside it.

        All of them are removed from `waiting`, so no other worker gets them. Cells that `may`
        refuses are removed too, and skipped.
        """
        if kept := self._kept.get(slot):
            return kept.popleft(), []
        cell = None
        while waiting and cell is None:
            first = self._next(slot, waiting)
            cell = first if may(first) else None
        if cell is None:
            return None, []
        self._last[slot] = _opens(cell)
        beside = [other for other in self._beside(cell, waiting) if may(other)]
        self._kept[slot] = deque(beside)
        return cell, beside

    def _next(self, slot: int, waiting: deque[Cell]) -> Cell:
        """Take the next cell, or one of the same turn whose source and target the worker has open.

        Places (target and label budget) keep their order, and in each place the cells without a
        baseline come first.
        """
        last, turn = self._last.get(slot), _turn(waiting[0])
        for place, other in enumerate(islice(waiting, AHEAD)):
            if last is None or _turn(other) != turn:
                break
            if _opens(other) == last:
                del waiting[place]
                return other
        return waiting.popleft()

    def _beside(self, cell: Cell, waiting: deque[Cell]) -> list[Cell]:
        if not self.asked or not _may_be_stacked(cell) or _kind(cell) in self._alone:
            return []
        fair = -(-(1 + len(waiting)) // self.workers)  # leave enough cells for the other workers
        found = [other for other in waiting if _alike(other) == _alike(cell)]
        found = found[: min(MOST, fair) - 1]
        chosen = {other.id for other in found}
        rest = [other for other in waiting if other.id not in chosen]
        waiting.clear()
        waiting.extend(rest)
        return found

    def are_alone(self, slot: int, cell: Cell, waiting: deque[Cell]) -> None:
        """Note that a worker does not train this kind of cell side by side; free its cells."""
        self._alone.add(_kind(cell))
        self.release(slot, waiting)

    def release(self, slot: int, waiting: deque[Cell]) -> None:
        """Put a worker's reserved cells back to the front of the waiting ones."""
        waiting.extendleft(reversed(self._kept.pop(slot, deque())))


def _opens(cell: Cell) -> Any:
    """Return the source and target that a worker opens for a cell and can reuse for the next."""
    return cell.parts.source, cell.parts.target


def _turn(cell: Cell) -> Any:
    return place_of(cell), cell.baseline is None


def _may_be_stacked(cell: Cell) -> bool:
    about = cell.config["strategy"].get("about") or {}
    return bool(about.get("stackable")) and not cell.config.get("tuning")


def _kind(cell: Cell) -> Any:
    """Return the key by which a worker decides whether cells are trained side by side."""
    return cell.parts


def _alike(cell: Cell) -> Any:
    """Return the key that cells share which differ in their seed alone."""
    return cell.parts, cell.labels, cell.protocol
