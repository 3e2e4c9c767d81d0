"""Fallen runs: far below the other seeds of their arm, while the rest of their block did not fall.

Foreign tables have no flags, and a trained network may fail without collapsing into one class. One
fallen run can decide a verdict, so it is named, and the verdict without it is given.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from transfergrid.evidence.measured.arms import CLASSICAL, Key, grouped
from transfergrid.evidence.measured.results import CONSTANT, Result
from transfergrid.evidence.verdicts.decisions import Decision
from transfergrid.records.metrics import is_of_numbers
from transfergrid.records.points import points

LEAST = 0.25
"""The share of its arm's usual score that a run must lose; an error metric must double."""
SPREADS = 4.0
"""The run must be this many standard deviations (estimated by the median absolute deviation) of the
arm's other seeds away."""
BESIDE = 3.0
"""The run must fall this many times as far as any other arm's run in the same block."""
_NORMAL = 1.4826
"""The standard deviation of a normal distribution, in median absolute deviations."""


def fallen(groups: Mapping[Key, Sequence[Result]]) -> dict[str, float]:
    """Return the fallen runs by id, each with the median score of its arm's other seeds.

    Args:
        groups: the runs of each arm.
    """
    arms = [_scored(cells) for cells in groups.values() if _is_trained(cells[0])]
    arms = [arm for arm in arms if len(arm) > 1]
    low = [(cell, arm) for arm in arms if _is_uneven(arm) for cell in _low_in(arm)]
    if not low:
        return {}
    blocks: defaultdict[object, list[tuple[Result, list[Result]]]] = defaultdict(list)
    for arm in arms:
        for cell in arm:
            blocks[_block(cell)].append((cell, arm))
    return {cell.id: _usual(cell, arm) for cell, arm in low
            if _drop(cell, arm) > BESIDE * _most(cell, blocks[_block(cell)])}  # fmt: skip


def _block(cell: Result) -> tuple[object, ...]:
    return cell.parts.target, cell.labels, cell.seed, cell.metric


def _most(cell: Result, block: Sequence[tuple[Result, Sequence[Result]]]) -> float:
    """Return the largest drop of any other arm's run in the same block."""
    return max((_drop(*other) for other in block if other[0] is not cell), default=0.0)


def _is_uneven(arm: Sequence[Result]) -> bool:
    """Return whether the arm may contain a fallen run, from its extreme scores alone."""
    scores = [cell.score or 0.0 for cell in arm]
    return max(scores) - min(scores) > LEAST * min(map(abs, (max(scores), min(scores))))


def fallen_among(results: Iterable[Result]) -> frozenset[str]:
    """Return the ids of the fallen runs."""
    return frozenset(fallen(grouped(results)))


def told(
    pairs: Sequence[tuple[Result, Result]], known: Mapping[str, float], rest: int, other: Decision,
    gain: float,
) -> tuple[str, ...]:  # fmt: skip
    """Return a note on a comparison's fallen runs and the verdict without them, if it has any.

    Args:
        pairs: the pairs of the comparison.
        known: the result of `fallen`.
        rest: the number of pairs left without them.
        other: the decision on the pairs left.
        gain: the mean gain of the pairs left, in points.
    """
    mine = [(cell, who) for pair in pairs for cell, who in zip(pair, ("", "the baseline's "),
            strict=True) if cell.id in known]  # fmt: skip
    if not mine:
        return ()
    runs = ", ".join(f"{who}seed {cell.seed} ({_points(cell, cell.score)})" for cell, who in mine)
    usual = _points(mine[0][0], known[mine[0][0].id])
    shown = f"{gain:+.4g}" if is_of_numbers(mine[0][0].metric.name) else f"{gain:+.1f}"
    without = f"without: {other.kind.value}, {shown}{_p(other)}" if rest else "nothing is left"
    return (f"far below all else in its block: {runs}, usually {usual}; {without}",)


def _p(decided: Decision) -> str:
    p = decided.p_corrected
    if p is None:
        return ""
    return ", p <.001" if p < 0.001 else f", p {p:.3f}".replace("0.", ".", 1)


def _points(cell: Result, score: float | None) -> str:
    shown = points(cell.metric) * (score or 0.0)
    return f"{shown:.4g}" if is_of_numbers(cell.metric.name) else f"{shown:.1f}"


def _is_trained(cell: Result) -> bool:
    return cell.names.strategy not in (*CLASSICAL.values(), CONSTANT)


def _scored(cells: Sequence[Result]) -> list[Result]:
    return [cell for cell in cells if cell.score is not None]


def _others(cell: Result, arm: Sequence[Result]) -> list[float]:
    return [other.score or 0.0 for other in arm if other is not cell]


def _usual(cell: Result, arm: Sequence[Result]) -> float:
    return statistics.median(_others(cell, arm))


def _drop(cell: Result, arm: Sequence[Result]) -> float:
    """Return how far a run is worse than the median of its arm's other seeds."""
    fell = _usual(cell, arm) - (cell.score or 0.0)
    return fell if cell.metric.higher_is_better else -fell


def _low_in(arm: Sequence[Result]) -> list[Result]:
    """Return the runs that fell far enough to stand out from their arm.

    Most runs are excluded quickly, by bounds on the median of the arm without one of its runs.
    """
    ordered, higher = sorted(cell.score or 0.0 for cell in arm), arm[0].metric.higher_is_better
    low, high = ordered[(len(ordered) - 2) // 2], ordered[(len(ordered) + 1) // 2]
    size = 0.0 if low < 0 < high else min(abs(low), abs(high))
    slack = 1e-9 * max(abs(low), abs(high))
    worst = high - LEAST * size + slack if higher else -(low + size) + slack
    return [
        cell
        for cell in arm
        if (1 if higher else -1) * (cell.score or 0.0) <= worst
        and not cell.bears_flag
        and _stands_out(cell, arm)
    ]


def _stands_out(cell: Result, arm: Sequence[Result]) -> bool:
    others = _others(cell, arm)
    usual = statistics.median(others)
    drop = usual - (cell.score or 0.0)
    drop = drop if cell.metric.higher_is_better else -drop
    part = LEAST if cell.metric.higher_is_better else 1.0
    if drop <= part * abs(usual):
        return False
    return drop > SPREADS * _NORMAL * statistics.median(abs(score - usual) for score in others)
