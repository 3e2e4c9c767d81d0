"""What few seeds cannot show: rare bad seeds, and the collapses that would undo a verdict.

No test on an arm's own few seeds can see a tail that was not drawn. A collapse rate pooled over a
grid must not enter the estimate either: it would make every arm that never collapses look bad. So
this is a mark beside a verdict and changes no verdict. If a share π of an arm's seeds collapsed to
chance, the interval's end at `edge` would move to (1 - π) edge - π loss, where `loss` is the mean
score minus chance. The verdict breaks where that end passes its limit.
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
    """Return the largest share of bad seeds that is compatible with n good seeds, at 95 %."""
    return float(1 - (1 - CONFIDENCE) ** (1 / n))


def upper_rate(found: int, of: int) -> float:
    """Return the one-sided upper 95 % bound of a share (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv

    return 1.0 if found >= of else float(betaincinv(found + 1, of - found, CONFIDENCE))


def break_rate(edge: float, loss: float, limit: float = 0.0) -> float:
    """Return the share of collapsed seeds at which an interval's end falls to a limit.

    Args:
        edge: the end of the interval that the verdict rests on, in points, more is better.
        loss: what a collapse costs: the mean score minus chance, in points, above 0.
        limit: the value at which the verdict no longer holds.
    """
    return min(max((edge - limit) / (edge + loss), 0.0), 1.0) if edge + loss > 0 else 1.0


@dataclass(frozen=True)
class Collapses:
    """Which collapses would undo one verdict."""

    rate: float
    """The share of collapsed seeds that would undo the verdict."""
    possible: float
    """The largest share of collapses that the runs so far do not exclude, at 95 %."""
    of_baseline: bool
    """Whether the collapsing seeds would be the baseline's."""


@dataclass(frozen=True)
class Runs:
    """How many runs of one strategy and source there are anywhere, and how many collapsed."""

    collapsed: int = 0
    of: int = 0


class Seen:
    """The runs of a ledger by strategy and source, over all targets and label budgets."""

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
    """Mean score minus chance in points, oriented; None if chance is not known."""
    runs: Runs


def collapses(
    kind: Kind, estimate: Estimate, margin: float, level: float, arm: Side, baseline: Side
) -> Collapses | None:
    """Return the collapses that would undo a verdict most easily; None if none would.

    Collapses of the arm undo a verdict in its favour, collapses of the baseline one against it.
    Both can undo equivalence, which rests on the interval of the two one-sided tests.
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
    """The score of a run that always predicts one class: that of `majority` if it was run.

    Args:
        beside: mean scores in points of the arms without a network, by target and labels.
    """

    def __init__(self, beside: Mapping[tuple[str, Labels], Sequence[tuple[str, float]]]) -> None:
        means = {place: dict(found) for place, found in beside.items()}
        self._majority = {p: found[CONSTANT] for p, found in means.items() if CONSTANT in found}

    def of(self, cell: Result) -> float | None:
        """Return the chance score of a cell's target in points; None if it is not known.

        Without `majority`, classes are assumed to be of equal size. In regression, chance is the
        score of predicting the mean of the test labels.
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
"""The score, 0 to 1, of a run that always predicts one of so many equally large classes, by
metric."""
