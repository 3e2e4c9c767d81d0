"""Forecasts how long a grid will take, from done cells of the ledger. No torch, no Hydra."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from transfergrid.records.cell import Cell

COLUMNS = (
    *("strategy", "architecture", "target", "training", "labels", "trials"),
    *("seconds", "source_seconds", "peak_memory_bytes", "finished"),
)
"""Columns of the ledger that are read of each done cell."""
FEWEST = 20
"""Fewest done cells with which the forecast itself is checked."""
ENOUGH = 3
"""Fewest done cells of a kind of which the longest is left out."""


class Kind(NamedTuple):
    """The names that cells share which take about equally long."""

    strategy: str
    architecture: str | None
    target: str
    training: str | None
    labels: str

    def levels(self) -> Iterable[tuple[object, ...]]:
        """Yield the keys by which like done cells are looked up, the most alike first."""
        strategy, architecture, target, training, _ = self
        yield self
        yield strategy, architecture, target, training
        yield strategy, architecture, training
        yield architecture, training, training is None and strategy
        yield strategy, training, training is None


class Took(NamedTuple):
    """What a done cell took."""

    kind: Kind
    runs: int
    """Training runs in it: the trials of a tuned cell, else one."""
    seconds: float
    """Without the training of its source, which happens once for many cells."""
    source_seconds: float = 0.0
    memory: int | None = None
    finished: str | None = None

    @classmethod
    def of(cls, row: Sequence[Any]) -> Took:
        """Return what a cell took, from its row of `COLUMNS`."""
        *kind, trials, seconds, source, memory, finished = row
        source = float(source or 0.0)
        own = max(0.0, float(seconds or 0.0) - source)
        return cls(Kind._make(kind), int(trials or 1), own, source, memory, finished)


@dataclass
class Total:
    """What the done cells of one kind took together."""

    cells: int = 0
    runs: int = 0
    seconds: float = 0.0
    memory: int = 0
    longest: float = 0.0
    """Seconds per run of the cell that took longest."""
    longest_runs: int = 1
    """Runs in that cell."""

    def add(self, other: Total) -> None:
        """Add the runs, seconds and peak memory of another kind."""
        self.runs += other.runs
        self.seconds += other.seconds
        self.memory = max(self.memory, other.memory)

    def warm(self) -> Total:
        """Return this total without the longest cell, if there are at least `ENOUGH`.

        A worker's first cell takes longer: it imports and loads what later cells reuse.
        """
        if self.cells < ENOUGH:
            return self
        runs, seconds = self.longest_runs, self.longest * self.longest_runs
        return Total(self.cells - 1, self.runs - runs, self.seconds - seconds, self.memory)


def totals(cells: Iterable[Took]) -> Mapping[Kind, Total]:
    """Return what the cells of each kind took together: 100,000 cells have few kinds."""
    found: defaultdict[Kind, Total] = defaultdict(Total)
    for kind, runs, seconds, _, memory, _ in cells:
        own = found[kind]
        own.cells += 1
        own.runs += runs
        own.seconds += seconds
        if memory is not None and memory > own.memory:
            own.memory = memory
        if seconds > own.longest * runs:
            own.longest, own.longest_runs = seconds / runs, runs
    return found


@dataclass(frozen=True)
class Forecast:
    """Cells of one kind that are to run, and the forecast for one of them."""

    kind: Kind
    runs: int
    count: int
    seconds: float | None
    """Forecast for one cell; None where no done cell is like them."""
    memory: int | None


class History:
    """Forecasts what a cell takes: the mean over the most similar done cells.

    Of three or more cells of a kind the longest is left out: a worker's first cell loads what later
    cells reuse.

    Similar are cells of the same strategy, network, target, training and label budget; else of any
    budget; else of any target; else of any strategy with the same network and training; else of the
    same strategy and training with any network. A tuned cell counts one run per trial.

    Args:
        cells: what the done cells took.
    """

    def __init__(self, cells: Sequence[Took]) -> None:
        self._levels: defaultdict[tuple[object, ...], Total] = defaultdict(Total)
        self.cells = len(cells)
        for kind, total in totals(cells).items():
            for level in kind.levels():
                self._levels[level].add(total.warm())

    def seconds(self, kind: Kind, runs: int = 1) -> float | None:
        """Return the forecast seconds of a cell; None if no done cell is like it."""
        for level in kind.levels():
            if level in self._levels:
                total = self._levels[level]
                return total.seconds / total.runs * runs
        return None

    def memory(self, kind: Kind) -> int | None:
        """Return the peak memory, in bytes, of the most similar done cells; None if not known."""
        for level in kind.levels():
            if level in self._levels and self._levels[level].memory:
                return self._levels[level].memory
        return None

    def groups(self, cells: Iterable[Cell]) -> list[Forecast]:
        """Return the cells that are to run, grouped by kind, in the order of their first cells."""
        counts = Counter((kind_of(cell), runs_of(cell)) for cell in cells)
        return [
            Forecast(kind, runs, count, self.seconds(kind, runs), self.memory(kind))
            for (kind, runs), count in counts.items()
        ]


def kind_of(cell: Cell) -> Kind:
    """Return the kind of a planned cell."""
    names = cell.names
    return Kind(names.strategy, names.architecture, names.target, names.training, str(cell.labels))


def runs_of(cell: Cell) -> int:
    """Return how many training runs a planned cell holds: one per trial."""
    if cell.names.tuning is None:
        return 1
    return int((cell.config.get("tuning") or {}).get("trials", 1))


@dataclass(frozen=True)
class Check:
    """A forecast from the first `known` of `of` done cells, compared with what the rest took."""

    known: int
    of: int
    foreseen: float
    took: float
    """Seconds of the other `of - known` cells together; `foreseen` is the forecast of that."""


def checked(cells: Sequence[Took], share: float) -> Check | None:
    """Return how a forecast from the first `share` of the done cells does on the others.

    None if there are fewer than `FEWEST` cells, or if one of the others is like none of the first.
    """
    if len(cells) < FEWEST:
        return None
    inorder = sorted(cells, key=lambda took: took.finished or "")
    known = max(1, round(share * len(inorder)))
    history, rest = History(inorder[:known]), totals(inorder[known:])
    told = [history.seconds(kind, total.runs) for kind, total in rest.items()]
    foreseen = [seconds for seconds in told if seconds is not None]
    if not foreseen or len(foreseen) < len(told):
        return None
    came = sum(total.seconds for total in rest.values())
    return Check(known, len(inorder), sum(foreseen), came)
