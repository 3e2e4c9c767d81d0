"""Means of an arm's scores and times, as they are shown."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from transfergrid.evidence.arms import Key
from transfergrid.evidence.results import Result
from transfergrid.records.cell import Labels
from transfergrid.records.points import points


def without_network(
    groups: Mapping[Key, Sequence[Result]],
) -> dict[tuple[str, Labels], tuple[tuple[str, float], ...]]:
    """Return by target and labels the mean scores of the arms that need no network, by strategy."""
    found: defaultdict[tuple[str, Labels], list[tuple[str, float]]] = defaultdict(list)
    used = {cell.baseline.id for cells in groups.values() for cell in cells if cell.baseline}
    for (parts, labels), cells in groups.items():
        if cells[0].id in used:
            continue
        mean = mean_of([cell.score for cell in cells], cells[0])
        if cells[0].names.architecture is None and not cells[0].baseline and mean is not None:
            found[parts.target, labels].append((cells[0].names.strategy, mean))
    return {place: tuple(sorted(means, key=lambda m: m[1])) for place, means in found.items()}


def mean_of(scores: Iterable[float | None], cell: Result) -> float | None:
    """Return the mean of the valid scores in points; None if there is none."""
    valid = [points(cell.metric) * score for score in scores if score is not None]
    return statistics.fmean(valid) if valid else None


def mean_seconds(cells: Iterable[Result]) -> float | None:
    """Return the mean time of a cell, without that of making its source."""
    known = [c.seconds - (c.source_seconds or 0.0) for c in cells if c.seconds is not None]
    return max(statistics.fmean(known), 0.0) if known else None
