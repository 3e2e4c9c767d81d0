"""Two looks at a grid, joined: changed verdicts and scores, what only one has, and why.

Verdicts are joined by what they compare, scores by cell id. Cells that only one look has are
matched with those that only the other has by names and seed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from typing import Generic, TypeVar

from transfergrid.evidence.comparing.differing import (
    TOLERANCE,
    Difference,
    differences,
    differing,
    distance,
)
from transfergrid.evidence.comparing.opened import Side
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.measured.selecting import Where
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.errors import BadInputError
from transfergrid.records.points import points

MOST_READ = 200
"""The number of records whose differences are looked up; the others mostly changed for the same
reasons."""
Key = tuple[object, ...]
One = TypeVar("One", Verdict, Result)


@dataclass(frozen=True)
class Pair(Generic[One]):
    """The same comparison's verdict, or the same cell's result, in both looks."""

    before: One | None
    """None if that look lacks it; likewise the next."""
    after: One | None
    why: list[Difference] = field(default_factory=list)

    @property
    def is_changed(self) -> bool:
        """Return whether both looks have it, with a different verdict or score."""
        before, after = self.before, self.after
        if isinstance(before, Verdict) and isinstance(after, Verdict):
            return before.verdict is not after.verdict
        if isinstance(before, Result) and isinstance(after, Result):
            return distance(before.score, after.score) > TOLERANCE
        return False


def join(
    key: Callable[[One], Hashable], before: Iterable[One], after: Iterable[One]
) -> list[Pair[One]]:
    """Return pairs of the entries with the same key in two looks; None where one look lacks it."""
    ours, theirs = _keyed(before, key), _keyed(after, key)
    return [Pair(ours.get(name), theirs.get(name)) for name in {**theirs, **ours}]


def _keyed(look: Iterable[One], key: Callable[[One], Hashable]) -> dict[Hashable, One]:
    """Return a look's entries by key; of several with one key, the first."""
    found: dict[Hashable, One] = {}
    for one in look:
        found.setdefault(key(one), one)
    return found


@dataclass(frozen=True)
class Arm:
    """The cells of one arm that only one look has."""

    result: Result
    seeds: tuple[int, ...]
    why: list[Difference] = field(default_factory=list)
    """How they differ from the cells of the same names in the other look, if it has any."""


@dataclass(frozen=True)
class Comparison:
    """All that changed between two looks."""

    pairs: list[Pair[Verdict]]
    same_scores: int | None
    """Number of cells with the same score in both; None if a look has no scores."""
    scores: list[Pair[Result]]
    """The cells with a different score, the largest change first."""
    only_before: list[Arm]
    only_after: list[Arm]


def compare(before: Side, after: Side, where: Where | None = None) -> Comparison:
    """Return the comparison of two looks, or of their selected arms.

    Raises:
        BadInputError: a condition is about something that the looks do not know.
    """
    where = where or Where()
    why = partial(_why, before, after)
    looks = [list(filter(where.keeps, side.verdicts)) for side in (before, after)]
    verdicts = [_reasoned(pair, why) for pair in join(_subject(looks), *looks)]
    if before.results is None or after.results is None:
        return Comparison(verdicts, None, [], [], [])
    ours, theirs = (filter(where.keeps, look.values()) for look in (before.results, after.results))
    cells = join(attrgetter("id"), ours, theirs)
    changed = sorted((pair for pair in cells if pair.is_changed), key=_largest_first)
    gone = [pair.before for pair in cells if pair.before and not pair.after]
    new = [pair.after for pair in cells if pair.after and not pair.before]
    return Comparison(
        verdicts,
        len(cells) - len(gone) - len(new) - len(changed),
        [_explained(pair, why) for pair in changed[:MOST_READ]] + changed[MOST_READ:],
        _arms(gone, new, why),
        _arms(new, gone, lambda cell, other: why(other, cell)),
    )


def score_of(cell: Result | None) -> float | None:
    """Return a cell's score in points."""
    return None if cell is None or cell.score is None else points(cell.metric) * cell.score


def _explained(pair: Pair[Result], why: Why) -> Pair[Result]:
    same = pair.after.id if pair.after else ""
    return replace(pair, why=why(same, same))


def _largest_first(pair: Pair[Result]) -> tuple[float, str]:
    change = (score_of(pair.after) or 0.0) - (score_of(pair.before) or 0.0)
    return -abs(change), pair.after.id if pair.after else ""


Why = Callable[[str, str], list[Difference]]


def _why(before: Side, after: Side, old: str, new: str) -> list[Difference]:
    """Return the differences of two cells, as far as their records can be read."""
    if not (before.read and after.read):
        return []
    try:
        return differences(before.read(old), after.read(new))
    except BadInputError:
        return []


def _arms(cells: Iterable[Result], others: Iterable[Result], why: Why) -> list[Arm]:
    """Return cells grouped by arm, with the differences from the other look's cells."""
    groups: dict[Key, list[Result]] = {}
    for cell in cells:
        groups.setdefault((*_named(cell), cell.parts), []).append(cell)
    alike = _keyed(others, _block)
    found: list[Arm] = []
    for group in groups.values():
        pairs = ((cell.id, alike[_block(cell)].id) for cell in group if _block(cell) in alike)
        first = next(pairs, None) if len(found) < MOST_READ else None
        told = why(*first) if first else []
        found.append(Arm(group[0], tuple(sorted(cell.seed for cell in group)), told))
    return sorted(found, key=lambda arm: [str(part) for part in _named(arm.result)])


def _named(cell: Result) -> Key:
    names = cell.names
    return names.source, names.architecture, names.strategy, names.target, cell.labels


def _block(cell: Result) -> Key:
    return *_named(cell), cell.seed


def _subject(looks: Sequence[Iterable[Verdict]]) -> Callable[[Verdict], Key]:
    """Return the function that gives a verdict's key, which says what it compares.

    Names are used without the digest that distinguishes configs, unless a look has both configs.
    """
    counts = [Counter(map(_short, look)) for look in looks]
    twice = {key for count in counts for key, n in count.items() if n > 1}
    return lambda one: _full(one) if _short(one) in twice else _short(one)


def _full(one: Verdict) -> Key:
    names = (one.source, one.architecture, one.strategy, one.target)
    return *names, one.labels, one.baseline, one.training


def _short(one: Verdict) -> Key:
    return tuple(re.sub(r"#\w+$", "", x) if isinstance(x, str) else x for x in _full(one))


def _reasoned(pair: Pair[Verdict], why: Why) -> Pair[Verdict]:
    """Return a pair with the reasons for its change: the grounds that differ in the second look."""
    old, new = pair.before, pair.after
    if not pair.is_changed or old is None or new is None:
        return pair
    found = differing(_grounds(old), _grounds(new))
    if moved := _moved(old, new):
        found.append(Difference("gains of the same seeds", "none", f"{moved} moved"))
    arm = _cells_differ(old.cells, new.cells, why)
    baseline = _cells_differ(old.baseline_cells, new.baseline_cells, why)
    rest = [replace(one, what=f"baseline's {one.what}") for one in baseline if one not in arm]
    return replace(pair, why=[*found, *arm, *rest])


def _grounds(one: Verdict) -> dict[str, object]:
    """Return the grounds of a verdict, by name."""
    return {
        "seeds": seeds(one.seeds) or one.n,
        "failed runs": one.failed,
        "runs without a baseline": one.unpaired,
        "test items": one.items,
        "family": one.family_size,
        "level": f"{one.level:.4g}",
        "margin": f"{one.margin:g}",
        "metric": one.metric,
    }


def _moved(old: Verdict, new: Verdict) -> int:
    """Return how many seeds have a different gain than before."""
    had = dict(zip(old.seeds, old.gains, strict=False))
    has = zip(new.seeds, new.gains, strict=False)
    return sum(distance(had.get(seed, gain), gain) > TOLERANCE for seed, gain in has)


def _cells_differ(old: Sequence[str], new: Sequence[str], why: Why) -> list[Difference]:
    """Return the differences of one cell of each look: of the same cell if both have it."""
    if not old or not new:
        return []
    shared = next((name for name in new if name in old), None)
    found = why(shared or old[0], shared or new[0])
    return [one for one in found if one.what not in ("config seed", "config labels")]


def seeds(values: Sequence[int]) -> str:
    """Return seeds as a short text, as in "0 to 4, 7"."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
