"""How long a grid will take, told from what cells of the ledger took. No torch, no Hydra."""

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
"""What is read of each done cell: columns of the ledger."""
FEWEST = 20
"""Done cells from which on the forecast is held against what came."""
ENOUGH = 3
"""Done cells of a kind from which on the longest is left out."""


class Kind(NamedTuple):
    """What cells that take about as long have in common."""

    strategy: str
    architecture: str | None
    target: str
    training: str | None
    labels: str

    def levels(self) -> Iterable[tuple[object, ...]]:
        """Yield what is looked for among done cells, the most alike first."""
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
    """Trainings in it: the trials of a tuned cell, else one."""
    seconds: float
    """Less what its source took, which is trained once for many cells."""
    source_seconds: float = 0.0
    memory: int | None = None
    finished: str | None = None

    @classmethod
    def of(cls, row: Sequence[Any]) -> Took:
        """Return it of a row of `COLUMNS`."""
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
    """Of one run, in seconds; and how many runs its cell held."""
    longest_runs: int = 1

    def add(self, other: Total) -> None:
        """Count those of another kind, too."""
        self.runs += other.runs
        self.seconds += other.seconds
        self.memory = max(self.memory, other.memory)

    def warm(self) -> Total:
        """Return these without the longest, if there are enough.

        The first cell of a worker imports and loads what all later ones find.
        """
        if self.cells < ENOUGH:
            return self
        runs, seconds = self.longest_runs, self.longest * self.longest_runs
        return Total(self.cells - 1, self.runs - runs, self.seconds - seconds, self.memory)


def totals(cells: Iterable[Took]) -> Mapping[Kind, Total]:
    """Add up what cells of each kind took: of a hundred thousand there are few kinds."""
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
    """Cells of one kind that are to run, and what is foreseen of one."""

    kind: Kind
    runs: int
    count: int
    seconds: float | None
    """None where no done cell is like them."""
    memory: int | None


class History:
    """Foresees what a cell takes from done cells like it: the mean of the most alike there are.

    Of three or more of a kind the longest is left out: a worker's first warms what others find.

    Alike are cells of the same strategy, network, target, training and label budget; else of any
    budget; else of any target; else of any strategy of the same network and training; else the
    strategy's of any network. A tuned cell takes a run a trial.

    Args:
        cells: that are done.
    """

    def __init__(self, cells: Sequence[Took]) -> None:
        self._levels: defaultdict[tuple[object, ...], Total] = defaultdict(Total)
        self.cells = len(cells)
        for kind, total in totals(cells).items():
            for level in kind.levels():
                self._levels[level].add(total.warm())

    def seconds(self, kind: Kind, runs: int = 1) -> float | None:
        """Return the seconds of a cell; None if no done cell is like it."""
        for level in kind.levels():
            if level in self._levels:
                total = self._levels[level]
                return total.seconds / total.runs * runs
        return None

    def memory(self, kind: Kind) -> int | None:
        """Return the most bytes that a cell like it held; None if nothing is known."""
        for level in kind.levels():
            if level in self._levels and self._levels[level].memory:
                return self._levels[level].memory
        return None

    def groups(self, cells: Iterable[Cell]) -> list[Forecast]:
        """Return cells that are to run by their kind, in their order."""
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
    """Return how many trainings a planned cell holds."""
    if cell.names.tuning is None:
        return 1
    return int((cell.config.get("tuning") or {}).get("trials", 1))


@dataclass(frozen=True)
class Check:
    """What a forecast would have said of done cells, by those that were done before them."""

    known: int
    of: int
    foreseen: float
    took: float
    """Seconds of all of them, of the `of` cells, less the `known`."""


def checked(cells: Sequence[Took], share: float) -> Check | None:
    """Return what a forecast from the first `share` of done cells would have said of the others.

    None where there are too few, or where one of the others is like none of the first.
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
