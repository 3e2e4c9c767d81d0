"""What few seeds cannot have seen: rare bad ones, and the collapses that would undo a verdict.

No test on an arm's own few seeds sees a tail that was not drawn, and a rate that is pooled over a
grid must not enter an estimate either: it would call every arm that never collapses bad. So this is
a mark beside a verdict and changes none. If a share π of an arm's seeds collapsed to chance, the
end of its interval at `edge` would move to (1 - π) edge - π loss, with its loss the mean score less
chance; the verdict breaks where that passes its limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from transfergrid.evidence.measured.results import CONSTANT, Result
from transfergrid.evidence.statistics.intervals import Estimate
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.records.cell import Labels
from transfergrid.records.metrics import is_of_numbers

CONFIDENCE = 0.95


def unseen_bad_seed_rate(n: int) -> float:
    """Return the largest share of bad seeds that n good ones leave possible, at 95 %."""
    return float(1 - (1 - CONFIDENCE) ** (1 / n))


def upper_rate(found: int, of: int) -> float:
    """Return the one-sided 95 % bound of a share (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv

    return 1.0 if found >= of else float(betaincinv(found + 1, of - found, CONFIDENCE))


def break_rate(edge: float, loss: float, limit: float = 0.0) -> float:
    """Return the share of collapsed seeds with which an interval's end falls to a limit.

    Args:
        edge: the end of the interval that the verdict rests on, in points, more is better.
        loss: what a collapse costs: mean score less chance, in points, above 0.
        limit: at which the verdict no longer stands.
    """
    return min(max((edge - limit) / (edge + loss), 0.0), 1.0) if edge + loss > 0 else 1.0


@dataclass(frozen=True)
class Collapses:
    """The mark of one verdict."""

    rate: float
    """Share of collapsed seeds that would undo it."""
    possible: float
    """Share that the runs so far cannot exclude, at 95 %."""
    of_baseline: bool
    """Whether it is the baseline's seeds that would collapse."""


@dataclass(frozen=True)
class Runs:
    """How many runs of an arm there are anywhere, and how many of them collapsed."""

    collapsed: int = 0
    of: int = 0


class Seen:
    """The runs of a ledger by strategy and source, over all targets and budgets."""

    def __init__(self, results: Iterable[Result]) -> None:
        runs: Counter[Hashable] = Counter()
        collapsed: Counter[Hashable] = Counter()
        for cell in results:
            if cell.score is not None:
                runs[_way(cell)] += 1
                collapsed[_way(cell)] += cell.collapsed
        self._runs, self._collapsed = runs, collapsed

    def of(self, cell: Result) -> Runs:
        """Return the runs of a cell's strategy and source."""
        return Runs(self._collapsed[_way(cell)], self._runs[_way(cell)])


def _way(cell: Result) -> Hashable:
    return cell.parts.strategy, cell.parts.source, cell.names.architecture


@dataclass(frozen=True)
class Side:
    """One side of a comparison: what a collapse would cost it, and how often it may collapse."""

    loss: float | None
    """Mean score less chance in points, oriented; None where chance is not known."""
    runs: Runs


def collapses(
    kind: Kind, estimate: Estimate, margin: float, level: float, arm: Side, baseline: Side
) -> Collapses | None:
    """Return the mark of the side that would undo a verdict sooner; None if none would.

    A collapsing arm undoes what speaks for it, a collapsing baseline what speaks against; both undo
    that there is no difference, which rests on the interval of the two one-sided tests.
    """
    equivalent = kind is Kind.EQUIVALENT
    low, high = estimate.interval(1 - 2 * level) if equivalent else estimate.interval()
    lowest = {Kind.POSITIVE: 0.0, Kind.EQUIVALENT: -margin, Kind.HARM_RULED_OUT: -margin}
    highest = {Kind.NEGATIVE: 0.0, Kind.EQUIVALENT: margin, Kind.GAIN_RULED_OUT: margin}
    found = []
    for limit, edge, side, of_baseline in (
        (lowest.get(kind), low, arm, False),
        (highest.get(kind), high, baseline, True),
    ):
        if limit is None or edge is None or side.loss is None or side.loss <= 0:
            continue
        if side.runs.of:
            turn = -1.0 if of_baseline else 1.0
            rate = break_rate(turn * edge, side.loss, turn * limit)
            possible = upper_rate(side.runs.collapsed, side.runs.of)
            found.append(Collapses(rate, possible, of_baseline))
    return min(found, key=lambda one: one.rate - one.possible, default=None)


class Chance:
    """What a run scores that predicts one class alone: as `majority` does, if it is there.

    Args:
        beside: mean scores in points of arms without any network, by target and labels.
    """

    def __init__(self, beside: Mapping[tuple[str, Labels], Sequence[tuple[str, float]]]) -> None:
        means = {place: dict(found) for place, found in beside.items()}
        self._majority = {p: found[CONSTANT] for p, found in means.items() if CONSTANT in found}

    def of(self, cell: Result) -> float | None:
        """Return it in points; else that of classes of one size, None where it is not known.

        Of numbers it is what telling the mean of the test labels scores.
        """
        place = cell.parts.target, cell.labels
        if place in self._majority:
            return self._majority[place]
        if is_of_numbers(cell.metric.name):
            return cell.floor
        one_class = ONE_CLASS.get(cell.metric.name)
        return 100.0 * one_class(cell.classes) if one_class and cell.classes > 1 else None


ONE_CLASS: dict[str, Callable[[int], float]] = {
    "accuracy": lambda classes: 1 / classes,
    "balanced_accuracy": lambda classes: 1 / classes,
    "macro_f1": lambda classes: 2 / (classes * (classes + 1)),
    "auroc": lambda classes: 0.5,
    "nmi": lambda classes: 0.0,
    "ari": lambda classes: 0.0,
}
"""What a run that predicts one of so many classes of one size scores, 0 to 1, by metric."""
