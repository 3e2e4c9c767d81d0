"""Which cell a worker is given next, and which beside it: seeds that it may train side by side."""

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
"""Seeds that are trained side by side at most: more gain little, and all of them are in memory."""


AHEAD = 256
"""So many cells that wait are looked through for one that a worker has everything at hand for."""


@dataclass
class Seeds:
    """Hands out cells, and keeps for a worker those that it trained beside another.

    Args:
        asked: `trainer.stacked`; False: each cell alone.
        workers: how many there are.
    """

    asked: Stacked = False
    workers: int = 1
    _kept: dict[int, deque[Cell]] = field(default_factory=dict)
    """By the slot of the worker."""
    _last: dict[int, Any] = field(default_factory=dict)
    """What each worker has open from the cell that it was given last, by slot."""
    _alone: set[Any] = field(default_factory=set)
    """Kinds of cells of which a worker said that they are trained one by one."""

    def are_kept(self, slot: int | None = None) -> bool:
        """Return whether cells are kept for a worker, or for any of them."""
        return bool(self._kept.get(slot) if slot is not None else any(self._kept.values()))

    def take(
        self, slot: int, waiting: deque[Cell], may: Callable[[Cell], bool] = lambda cell: True
    ) -> tuple[Cell | None, list[Cell]]:
        """Return a worker's next cell, and those that it is to train beside it.

        These are taken out of `waiting`, so that no other worker is given them. Cells that `may`
        says no to are taken out of it as well, and passed over; None where no other is left.
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
        """Take the next cell in turn, or one of the same place that opens what this worker has.

        Places keep their order, and in each of them those that nothing is compared with come first.
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
        fair = -(-(1 + len(waiting)) // self.workers)  # no worker goes idle for it
        found = [other for other in waiting if _alike(other) == _alike(cell)]
        found = found[: min(MOST, fair) - 1]
        chosen = {other.id for other in found}
        rest = [other for other in waiting if other.id not in chosen]
        waiting.clear()
        waiting.extend(rest)
        return found

    def are_alone(self, slot: int, cell: Cell, waiting: deque[Cell]) -> None:
        """Take note that a worker does not train such cells side by side."""
        self._alone.add(_kind(cell))
        self.release(slot, waiting)

    def release(self, slot: int, waiting: deque[Cell]) -> None:
        """Give back what is kept for a worker, as next in turn."""
        waiting.extendleft(reversed(self._kept.pop(slot, deque())))


def _opens(cell: Cell) -> Any:
    """Return what a worker opens for a cell, and has at hand for the next one."""
    return cell.parts.source, cell.parts.target


def _turn(cell: Cell) -> Any:
    return place_of(cell), cell.baseline is None


def _may_be_stacked(cell: Cell) -> bool:
    about = cell.config["strategy"].get("about") or {}
    return bool(about.get("stackable")) and not cell.config.get("tuning")


def _kind(cell: Cell) -> Any:
    """Return what decides, in a worker, whether cells are trained side by side."""
    return cell.parts


def _alike(cell: Cell) -> Any:
    """Return what cells have in common that differ in their seed alone."""
    return cell.parts, cell.labels, cell.protocol
