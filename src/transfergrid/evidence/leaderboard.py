"""Leaderboards: the score of every arm in every place, its gain, and its mean rank.

Ranks are computed only over what is comparable: the arms that have a score in every place, on the
seeds that they share there. A place that most arms lack, such as a label budget that few strategies
support, does not enter the ranks. The mean rank only sorts the table; the evidence for a gain is
its verdict.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from transfergrid.evidence.measured.arms import labels_order
from transfergrid.evidence.measured.outcomes import Read
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.measured.uses import NOTHING, Use, largest, use_of
from transfergrid.evidence.statistics.rank_statistics import places as ranks_of
from transfergrid.evidence.verdicts.best_set import MOST_PAIRS, best_set
from transfergrid.evidence.verdicts.decisions import ALPHA
from transfergrid.evidence.verdicts.verdict import PLACEBO, Verdict
from transfergrid.records.cell import Labels
from transfergrid.records.points import points, unit

Place = tuple[str, Labels]
"""A target's display name and a label budget."""
Name = tuple[str | None, str | None, str]
"""The display names of source, architecture and strategy."""
FEWEST_TARGETS = 5
"""From this number of places on, mean ranks come with a critical difference."""


@dataclass(frozen=True)
class Entry:
    """An arm's result in one place. Scores and gains are in points."""

    mean: float
    """The mean score over its seeds."""
    n: int
    scores: Mapping[int, float]
    """Scores by seed, oriented so that more is better."""
    cells: Mapping[int, Result]
    unit: str
    verdict: Verdict | None = None
    """The verdict on its gain over the primary baseline; None for a baseline."""
    rank: float | None = None
    """Its rank among the arms that have a score in every place of `Board.over`."""
    use: Use = NOTHING
    """The cost of its predictions."""
    may_be_best: bool | None = None
    """Whether the arm cannot be distinguished from the best of its place; None if there are too
    many arms to compare."""


@dataclass(frozen=True)
class Line:
    """One arm."""

    name: Name
    entries: Mapping[Place, Entry]
    mean_rank: float | None = None
    """None if it has no score in a place, or is the only arm that has all."""

    @property
    def use(self) -> Use:
        """The cost of its predictions: the largest over its places."""
        return largest(entry.use for entry in self.entries.values())


@dataclass(frozen=True)
class Board:
    """A leaderboard."""

    places: tuple[Place, ...]
    lines: tuple[Line, ...]
    """Sorted by mean rank, the best first; arms without one by their mean score."""
    ranked: int
    """The number of arms that have a score in every place of `over`."""
    shared: Mapping[Place, int] = field(default_factory=dict)
    """By place, the number of seeds that the ranked arms share."""
    placebos: int = 0
    """The number of placebo arms, which are left out because they are not candidates."""
    critical: float | None = None
    """Nemenyi's critical difference of mean ranks at 5 %; None for fewer than five places."""
    over: tuple[Place, ...] = ()
    """The places over which arms are ranked: those in which more than half of the arms have a
    score."""


def leaderboards(
    verdicts: Sequence[Verdict], results: Iterable[Result], read: Read | None = None
) -> list[Board]:
    """Return the leaderboards of these verdicts: one per label budget, with the targets as places.

    A single target has one leaderboard, with the label budgets as places.

    Args:
        verdicts: judged over primary baselines; the baselines are listed among the arms.
        results: the results that were judged.
        read: returns a cell's predictions, so that the best arms are determined over test items
            too.
    """
    by_id = {result.id: result for result in results}
    arms = _with_best(_arms([v for v in verdicts if v.kind != PLACEBO and v.n], by_id), read)
    places = sorted({place for entries in arms.values() for place in entries}, key=_order)
    targets = {target for target, _ in places}
    budgets = dict.fromkeys(labels for _, labels in sorted(places, key=lambda p: _order(p)[::-1]))
    apart = [places] if len(targets) == 1 else [[p for p in places if p[1] == b] for b in budgets]
    placebos = {(v.source, v.strategy) for v in verdicts if v.kind == PLACEBO}
    return [_board(tuple(some), arms, len(placebos)) for some in apart if some]


def _order(place: Place) -> tuple[str, float]:
    return place[0], labels_order(place[1])


def _arms(
    verdicts: Sequence[Verdict], by_id: Mapping[str, Result]
) -> dict[Name, dict[Place, Entry]]:
    """Return the compared arms, followed by their baselines."""
    found: defaultdict[Name, dict[Place, Entry]] = defaultdict(dict)
    there: set[str] = set()
    for verdict in verdicts:
        place = (verdict.target, verdict.labels)
        entry = _entry([by_id[cell] for cell in verdict.cells])
        found[verdict.source, verdict.architecture, verdict.strategy][place] = replace(
            entry, verdict=verdict
        )
        there.update(verdict.cells)
    for (name, place), cells in _baselines(verdicts, by_id, there).items():
        found[name][place] = _entry(list(cells.values()))
    return dict(found)


def _baselines(
    verdicts: Sequence[Verdict], by_id: Mapping[str, Result], there: set[str]
) -> dict[tuple[Name, Place], dict[int, Result]]:
    """Return the cells of each baseline that is not also a compared arm."""
    found: defaultdict[tuple[Name, Place], dict[int, Result]] = defaultdict(dict)
    for verdict in verdicts:
        for identity in verdict.baseline_cells:
            cell = by_id[identity]
            if identity not in there:
                name = (cell.names.source, cell.names.architecture, verdict.baseline)
                found[name, (verdict.target, verdict.labels)][cell.seed] = cell
    return dict(found)


def _entry(cells: Sequence[Result]) -> Entry:
    metric = cells[0].metric
    scores = {cell.seed: points(metric) * (cell.score or 0.0) for cell in cells}
    sign = 1.0 if metric.higher_is_better else -1.0
    oriented = {seed: sign * score for seed, score in scores.items()}
    by_seed = {cell.seed: cell for cell in cells}
    mean = statistics.fmean(scores.values())
    return Entry(mean, len(scores), oriented, by_seed, unit(metric), use=use_of(cells))


def _with_best(
    arms: Mapping[Name, dict[Place, Entry]], read: Read | None
) -> dict[Name, dict[Place, Entry]]:
    """Return the arms, each entry marked whether it may be the best of its place."""
    found = {name: dict(entries) for name, entries in arms.items()}
    named: defaultdict[Place, list[Name]] = defaultdict(list)
    for name, entries in arms.items():
        for place in entries:
            named[place].append(name)
    if sum(len(there) * (len(there) - 1) // 2 for there in named.values()) > MOST_PAIRS:
        return found
    for place, there in named.items():
        inside = [arms[name][place] for name in there]
        alpha = min((e.verdict.level for e in inside if e.verdict), default=ALPHA)
        kept = best_set([entry.cells for entry in inside], read, alpha)
        for name, entry, may_be in zip(there, inside, kept, strict=True):
            found[name][place] = replace(entry, may_be_best=may_be)
    return found


def _board(
    places: tuple[Place, ...], arms: Mapping[Name, Mapping[Place, Entry]], placebos: int
) -> Board:
    inside = {
        name: {place: entries[place] for place in places if place in entries}
        for name, entries in arms.items()
    }
    inside = {name: entries for name, entries in inside.items() if entries}
    over = tuple(
        place for place in places if 2 * sum(place in e for e in inside.values()) > len(inside)
    )
    whole = [name for name, entries in inside.items() if over and entries.keys() >= set(over)]
    shared = {place: _shared([inside[name][place] for name in whole]) for place in over}
    if len(whole) < 2 or not all(shared.values()):
        whole = []
    ranks = {place: _ranks({n: inside[n][place] for n in whole}, shared[place]) for place in over}
    lines = [
        Line(
            name,
            {p: replace(e, rank=ranks.get(p, {}).get(name)) for p, e in entries.items()},
            statistics.fmean(ranks[p][name] for p in over) if name in whole else None,
        )
        for name, entries in inside.items()
    ]
    return Board(
        places,
        tuple(sorted(lines, key=_best_first)),
        len(whole),
        {place: len(seeds) for place, seeds in shared.items()} if whole else {},
        placebos,
        critical_difference(len(whole), len(over)) if len(over) >= FEWEST_TARGETS else None,
        over,
    )


def _shared(entries: Sequence[Entry]) -> set[int]:
    return set.intersection(*(set(entry.scores) for entry in entries)) if entries else set()


def _ranks(entries: Mapping[Name, Entry], seeds: set[int]) -> dict[Name, float]:
    """Return the arms' ranks by mean score over these seeds, the best first; ties share a rank."""
    means = {
        name: round(statistics.fmean(entry.scores[seed] for seed in seeds), 9)
        for name, entry in entries.items()
    }
    return dict(zip(means, ranks_of(list(means.values())), strict=True))


def _best_first(line: Line) -> tuple[bool, float, float, str]:
    means = [statistics.fmean(entry.scores.values()) for entry in line.entries.values()]
    rank = line.mean_rank
    return rank is None, rank or 0.0, -statistics.fmean(means), str(line.name)


def critical_difference(arms: int, places: int) -> float | None:
    """Return by how much mean ranks must differ in Nemenyi's test at 5 % (Demšar 2006, eq. 1).

    It is q·√(k(k + 1) / (6N)), with q the studentised range over √2, k arms and N places.
    """
    if arms < 2:
        return None
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(0.95, arms, math.inf)) / math.sqrt(2)
    return q * math.sqrt(arms * (arms + 1) / (6 * places))
