"""Hyperparameters that act after training, and the validation scores along their paths."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from transfergrid.records.points import points
from transfergrid.records.record import Path, Record

Line = tuple[float, ...]
"""The mean over seeds at each value."""


@dataclass(frozen=True)
class Walked:
    """The path of one hyperparameter of an arm, over its seeds.

    Attributes:
        name: the strategy's argument.
        values: the values that all seeds tried, in their order.
        validation: mean validation score at each value, in the unit of the scores; empty without
            validation.
        train_loss: mean training loss at each value; empty if it was not recorded.
        chosen: how many seeds chose each value.
    """

    name: str
    values: Line
    validation: Line
    train_loss: Line
    chosen: tuple[tuple[float, int], ...]

    @property
    def n(self) -> int:
        """The number of seeds."""
        return sum(count for _, count in self.chosen)


def walked(cells: Sequence[Record]) -> list[Walked]:
    """Return the paths of one arm's cells, by name, without those that have a single value."""
    named: defaultdict[str, list[tuple[Record, Path]]] = defaultdict(list)
    for cell in cells:
        for path in cell.chosen.paths if cell.chosen else ():
            named[path.name].append((cell, path))
    found = (_walked(name, told) for name, told in named.items())
    return [one for one in found if len(one.values) > 1]


def _walked(name: str, told: Sequence[tuple[Record, Path]]) -> Walked:
    shared = set.intersection(*({*path.values} for _, path in told))
    values = tuple(value for value in told[0][1].values if value in shared)
    chosen = Counter(path.chosen for _, path in told)
    scores = [
        {value: None if score is None else points(cell.metric) * score for value, score in pairs}
        for cell, path in told
        for pairs in [zip(path.values, path.validation, strict=False)]
    ]
    losses = [dict(zip(path.values, path.train_loss, strict=False)) for _, path in told]
    return Walked(name, values, _mean(values, scores), _mean(values, losses), _counted(chosen))


def _counted(chosen: Counter[float]) -> tuple[tuple[float, int], ...]:
    return tuple(sorted(chosen.items()))


def _mean(values: Sequence[float], told: Sequence[dict[float, float | None]]) -> Line:
    """Return the mean over seeds at each value; empty unless every seed has all values."""
    rows = [[each.get(value) for value in values] for each in told]
    known = [[number for number in row if number is not None] for row in rows]
    if not all(len(row) == len(values) for row in known):
        return ()
    return tuple(fmean(column) for column in zip(*known, strict=True))
