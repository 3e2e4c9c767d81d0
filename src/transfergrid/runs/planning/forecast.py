"""How long a grid will take, told from what cells of the ledger took. No torch, no Hydra."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from transfergrid.records.cell import Cell

COLUMNS = (
    *("strategy", "architecture", "target", "training", "labels", "trials"),
    *("seconds", "source_seconds", "peak_memory_bytes", "finished"),
)
"""What is read of each done cell: columns of the ledger."""
FEWEST = 20
"""Done cells from which on the forecast is held against what came."""


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


@dataclass(frozen=True)
class Took:
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
    def of(cls, row: Sequence[object]) -> Took:
        """Return it of a row of `COLUMNS`."""
        told = dict(zip(COLUMNS, row, strict=True))
        source = float(told["source_seconds"] or 0.0)  # type: ignore[arg-type]
        return cls(
            Kind(*(told[name] for name in Kind._fields)),  # type: ignore[arg-type]
            int(told["trials"] or 1),  # type: ignore[call-overload]
            max(0.0, float(told["seconds"] or 0.0) - source),  # type: ignore[arg-type]
            source,
            told["peak_memory_bytes"],  # type: ignore[arg-type]
            told["finished"],  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Group:
    """Cells of one kind that are to run, and what is foreseen of one."""

    kind: Kind
    runs: int
    count: int
    seconds: float | None
    """None where no done cell is like them."""
    memory: int | None


@dataclass(frozen=True)
class Check:
    """What a forecast would have said of done cells, by those that were done before them."""

    known: int
    of: int
    foreseen: float
    took: float
    """Seconds of all of them, of the `of` cells, less the `known`."""


class History:
    """Foresees what a cell takes from done cells like it: the mean of the most alike there are.

    Alike are cells of the same strategy, network, target, training and label budget; else of any
    budget; else of any target; else of any strategy of the same network and training; else the
    strategy's of any network. A tuned cell takes a run a trial.

    Args:
        cells: that are done.
    """

    def __init__(self, cells: Iterable[Took]) -> None:
        self._sums: defaultdict[tuple[object, ...], list[float]] = defaultdict(lambda: [0, 0.0])
        self._memory: defaultdict[tuple[object, ...], int] = defaultdict(int)
        self.cells = 0
        for took in cells:
            self.cells += 1
            for level in took.kind.levels():
                own = self._sums[level]
                own[0] += took.runs
                own[1] += took.seconds
                self._memory[level] = max(self._memory[level], took.memory or 0)

    def seconds(self, kind: Kind, runs: int = 1) -> float | None:
        """Return the seconds of a cell; None if no done cell is like it."""
        for level in kind.levels():
            if level in self._sums:
                count, total = self._sums[level]
                return total / count * runs
        return None

    def memory(self, kind: Kind) -> int | None:
        """Return the most bytes that a cell like it held; None if nothing is known."""
        for level in kind.levels():
            if self._memory.get(level):
                return self._memory[level]
        return None

    def groups(self, cells: Iterable[Cell]) -> list[Group]:
        """Return cells that are to run by their kind, in their order."""
        counts = Counter((kind_of(cell), runs_of(cell)) for cell in cells)
        return [
            Group(kind, runs, count, self.seconds(kind, runs), self.memory(kind))
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


def checked(cells: Sequence[Took], share: float) -> Check | None:
    """Return what a forecast from the first `share` of done cells would have said of the others.

    None where there are too few, or where one of the others is like none of the first.
    """
    if len(cells) < FEWEST:
        return None
    inorder = sorted(cells, key=lambda took: took.finished or "")
    known = max(1, round(share * len(inorder)))
    history, rest = History(inorder[:known]), inorder[known:]
    foreseen = [(history.seconds(took.kind, took.runs), took.seconds) for took in rest]
    both = [(told, came) for told, came in foreseen if told is not None]
    if not both or len(both) < len(foreseen):
        return None
    told, came = (sum(part) for part in zip(*both, strict=True))
    return Check(known, len(inorder), told, came)
