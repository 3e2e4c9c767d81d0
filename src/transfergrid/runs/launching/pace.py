"""Forecasts how long the rest of a grid takes, without jumps."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable

from transfergrid.records.cell import Cell


class Pace:
    """Forecasts the seconds of cells from done cells of the same kind (see `kind_of`).

    A kind without a done cell is forecast from its training steps, at the mean seconds per step of
    the other kinds. There is no forecast until a cell that trains is done: cheap reference arms run
    first, and a forecast from them would be many times too short.

    Args:
        cells: the cells that are left to run.
        workers: how many run side by side.
        coming: how many further cells there will be, of which nothing is known yet.
    """

    def __init__(self, cells: Iterable[Cell], workers: int, coming: int = 0) -> None:
        self._left: Counter[str] = Counter()
        self._steps: dict[str, int] = {}
        self._took: defaultdict[str, list[float]] = defaultdict(list)
        self._workers, self._coming = workers, 0
        self.expect(cells)
        self._coming = coming

    def expect(self, cells: Iterable[Cell]) -> None:
        """Add cells that have become known; each is one cell less to come."""
        for cell in cells:
            self._left[kind_of(cell)] += 1
            self._steps[kind_of(cell)] = steps_of(cell)
            self._coming = max(0, self._coming - 1)

    def ended(self, kind: str, seconds: float | None) -> None:
        """Count a cell of this kind as ended; `seconds` is None for one that failed."""
        self._left[kind] -= 1
        if seconds is not None:
            self._took[kind].append(seconds)

    def to_go(self) -> float | None:
        """Return the forecast seconds until all cells have ended; None if there is none yet."""
        left = {kind: count for kind, count in self._left.items() if count > 0}
        each = {kind: self._each(kind) for kind in left}
        if any(seconds is None for seconds in each.values()):
            return None
        took = [seconds for taken in self._took.values() for seconds in taken]
        if self._coming and not took:
            return None
        total = sum(count * (each[kind] or 0.0) for kind, count in left.items())
        total += self._coming * statistics.fmean(took) if self._coming else 0.0
        return total / min(self._workers, max(sum(left.values()) + self._coming, 1))

    def _each(self, kind: str) -> float | None:
        if self._took[kind]:
            return statistics.fmean(self._took[kind])
        if self._steps[kind] == 0:
            return 0.0
        known = [k for k, seconds in self._took.items() if seconds and self._steps[k]]
        if not known:
            return None
        rates = [statistics.fmean(self._took[k]) / self._steps[k] for k in known]
        return statistics.fmean(rates) * self._steps[kind]


def kind_of(cell: Cell) -> str:
    """Return the key that cells share which take about equally long."""
    return f"{cell.names.strategy} {cell.names.architecture} {cell.names.target}"


def steps_of(cell: Cell) -> int:
    """Return about how many steps a cell trains for, its teacher's included; 0 without training."""
    steps = int((cell.config["training"] or {}).get("steps", 0))
    steps *= int((cell.config.get("tuning") or {}).get("trials", 1))
    needs = (cell.config["strategy"].get("about") or {}).get("needs") or {}
    return 2 * steps if needs.get("teacher") else steps
