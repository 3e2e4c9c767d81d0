"""Two looks at a grid: which scores and verdicts changed, what is only in one, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from transfergrid.evidence.comparing.differing import Difference, differences, spelled
from transfergrid.evidence.comparing.opened import Side
from transfergrid.evidence.results import Result
from transfergrid.evidence.selecting import Where
from transfergrid.evidence.verdicts import Verdict
from transfergrid.records.errors import BadInputError
from transfergrid.records.points import points

TOLERANCE = 1e-6
"""Largest difference of scores that is called the same."""
MOST_READ = 200
"""Records whose differences are looked up; further ones change for the same reasons, or many."""
Key = tuple[object, ...]


@dataclass(frozen=True)
class ChangedScore:
    """A cell that is done in both looks, with another score."""

    result: Result
    before: float | None
    """In points, where the metric is a share."""
    after: float | None
    why: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class Pair:
    """A comparison as it was judged in the two looks; None where a look lacks it."""

    before: Verdict | None
    after: Verdict | None
    why: list[Difference] = field(default_factory=list)

    @property
    def is_changed(self) -> bool:
        """Return whether both looks judge it, and differently."""
        if self.before is None or self.after is None:
            return False
        return self.before.verdict is not self.after.verdict


@dataclass(frozen=True)
class Arm:
    """Cells of one arm that only one look has."""

    result: Result
    seeds: tuple[int, ...]
    why: list[Difference] = field(default_factory=list)
    """In what they differ from those of the same names in the other look, if it has such."""


@dataclass(frozen=True)
class Comparison:
    """All that changed between two looks."""

    pairs: list[Pair]
    same_scores: int | None
    """Cells with the same score in both; None where a look has no scores."""
    scores: list[ChangedScore]
    """The largest change first."""
    only_before: list[Arm]
    only_after: list[Arm]


def compare(before: Side, after: Side, where: Where | None = None) -> Comparison:
    """Compare two looks, or the arms of them that are meant.

    Raises:
        BadInputError: a condition cannot be met by what the looks know.
    """
    where = where or Where()
    pairs = _pairs(before, after, where)
    if before.results is None or after.results is None:
        return Comparison(pairs, None, [], [], [])
    ours = {name: cell for name, cell in before.results.items() if where.keeps(cell)}
    theirs = {name: cell for name, cell in after.results.items() if where.keeps(cell)}
    both = sorted(ours.keys() & theirs.keys())
    changed = [name for name in both if _is_another(ours[name].score, theirs[name].score)]
    scores = [_changed_score(ours[name], theirs[name]) for name in changed]
    scores.sort(key=lambda one: -abs((one.after or 0.0) - (one.before or 0.0)))
    for i, one in enumerate(scores[:MOST_READ]):
        scores[i] = replace(one, why=_why(before, after, one.result.id, one.result.id))
    gone = [cell for name, cell in ours.items() if name not in theirs]
    new = [cell for name, cell in theirs.items() if name not in ours]
    return Comparison(
        pairs,
        len(both) - len(changed),
        scores,
        _arms(gone, before, new, after, is_before=True),
        _arms(new, after, gone, before, is_before=False),
    )


def _is_another(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is not other
    return abs(one - other) > TOLERANCE


def _changed_score(before: Result, after: Result) -> ChangedScore:
    scale = points(after.metric)
    ours, theirs = (None if r.score is None else scale * r.score for r in (before, after))
    return ChangedScore(after, ours, theirs)


def _why(before: Side, after: Side, old: str, new: str) -> list[Difference]:
    """Return in what two cells differ, as far as their records can be read."""
    if before.read is None or after.read is None:
        return []
    try:
        return differences(before.read(old), after.read(new))
    except BadInputError:
        return []


def _named(cell: Result) -> Key:
    names = cell.names
    return names.source, names.architecture, names.strategy, names.target, cell.labels


def _arms(
    cells: Iterable[Result], look: Side, others: Iterable[Result], other: Side, is_before: bool
) -> list[Arm]:
    """Group cells by the names of their arm, and say in what they differ from the other look's."""
    groups: dict[Key, list[Result]] = {}
    for cell in cells:
        groups.setdefault((*_named(cell), cell.parts), []).append(cell)
    partners: dict[Key, Result] = {}
    for cell in others:
        partners.setdefault((*_named(cell), cell.seed), cell)
    found: list[Arm] = []
    for group in groups.values():
        pairs = [(cell, partners.get((*_named(cell), cell.seed))) for cell in group]
        alike = next(((cell, match) for cell, match in pairs if match is not None), None)
        why = []
        if alike and len(found) < MOST_READ:
            ids = (alike[0].id, alike[1].id)
            why = _why(look, other, *ids) if is_before else _why(other, look, *ids[::-1])
        found.append(Arm(group[0], tuple(sorted(cell.seed for cell in group)), why))
    return sorted(found, key=lambda arm: [str(part) for part in _named(arm.result)])


def _pairs(before: Side, after: Side, where: Where) -> list[Pair]:
    ours, theirs = _by_key(before.verdicts, after.verdicts, where)
    found = []
    for key in dict.fromkeys((*theirs, *ours)):
        pair = Pair(ours.get(key), theirs.get(key))
        if pair.is_changed and pair.before and pair.after:
            pair = replace(pair, why=_reasons(pair.before, pair.after, before, after))
        found.append(pair)
    return found


def _by_key(
    before: Sequence[Verdict], after: Sequence[Verdict], where: Where
) -> tuple[dict[Key, Verdict], dict[Key, Verdict]]:
    """Return verdicts by what they are about.

    A name is taken without the digest that tells it from another config's, unless a look has both.
    """
    looks = [[v for v in look if where.keeps(v)] for look in (before, after)]
    counts = [Counter(map(_short, look)) for look in looks]
    twice = {key for count in counts for key, n in count.items() if n > 1}

    def key(verdict: Verdict) -> Key:
        return _full(verdict) if _short(verdict) in twice else _short(verdict)

    one, other = ({key(v): v for v in look} for look in looks)
    return one, other


def _full(verdict: Verdict) -> Key:
    v = verdict
    return v.source, v.architecture, v.strategy, v.target, v.labels, v.baseline, v.training


def _short(verdict: Verdict) -> Key:
    return tuple(re.sub(r"#\w+$", "", x) if isinstance(x, str) else x for x in _full(verdict))


def _reasons(old: Verdict, new: Verdict, before: Side, after: Side) -> list[Difference]:
    """Return what a verdict rests on that is another in the second look."""
    pairs: dict[str, tuple[object, object]] = {
        "seeds": (seeds(old.seeds) or old.n, seeds(new.seeds) or new.n),
        "failed runs": (old.failed, new.failed),
        "runs without a baseline": (old.unpaired, new.unpaired),
        "test items": (old.items, new.items),
        "family": (old.family_size, new.family_size),
        "level": (f"{old.level:.4g}", f"{new.level:.4g}"),
        "margin": (f"{old.margin:g}", f"{new.margin:g}"),
        "metric": (old.metric, new.metric),
    }
    found = [Difference(w, spelled(a), spelled(b)) for w, (a, b) in pairs.items() if a != b]
    moved = _moved(old, new)
    if moved:
        found.append(Difference("gains of the same seeds", "none", f"{moved} moved"))
    arm = _cells_differ(old.cells, new.cells, before, after)
    baseline = _cells_differ(old.baseline_cells, new.baseline_cells, before, after)
    rest = [replace(one, what=f"baseline's {one.what}") for one in baseline if one not in arm]
    return [*found, *arm, *rest]


def _moved(old: Verdict, new: Verdict) -> int:
    """Return how many seeds have another gain than they had."""
    had = dict(zip(old.seeds, old.gains, strict=False))
    has = zip(new.seeds, new.gains, strict=False)
    return sum(_is_another(had.get(seed, gain), gain) for seed, gain in has)


def _cells_differ(
    old: Sequence[str], new: Sequence[str], before: Side, after: Side
) -> list[Difference]:
    """Compare one cell of each look: the same one if both have it."""
    if not old or not new:
        return []
    shared = next((name for name in new if name in old), None)
    found = _why(before, after, shared or old[0], shared or new[0])
    return [one for one in found if one.what not in ("config seed", "config labels")]


def seeds(values: Sequence[int]) -> str:
    """Write seeds in short, as in "0 to 4, 7"."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
