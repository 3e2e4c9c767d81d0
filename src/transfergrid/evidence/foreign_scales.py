"""In which unit the scores of a table are: points, or shares of 1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from transfergrid.errors import BadInputError
from transfergrid.evidence.arms import CLASSICAL, CONSTANT
from transfergrid.evidence.foreign_tables import Run, TableColumns
from transfergrid.evidence.scoring import SHARES


def scales_of(runs: Sequence[Run], columns: TableColumns) -> tuple[dict[str, float], str]:
    """Return by what each target's scores are multiplied to be a result's, and how they are read.

    Each target is read by itself: a table may hold one in per cent and another in shares of 1.

    Raises:
        BadInputError: a target has both; the lines are named.
    """
    by_target: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_target[run.target].append(run)
    scored = {
        target: [abs(run.score) for run in there if run.score is not None]
        for target, there in by_target.items()
    }
    shares = {target for target, scores in scored.items() if scores and max(scores) <= 1}
    points = [target for target, scores in scored.items() if scores and target not in shares]
    for target in points:
        _check_one_scale(by_target[target], columns)
    unit = 0.01 if columns.metric in SHARES else 1.0  # results in shares lie in 0 to 1
    scales = {target: unit * (100.0 if target in shares else 1.0) for target in by_target}
    return scales, _read_as(sorted(shares), bool(points))


def _read_as(shares: Sequence[str], points: bool) -> str:
    if not shares:
        return "scores are read as points" if points else ""
    told = "scores up to 1 are read as 100 points"
    return f"{told} on {', '.join(shares)}, as points on the other targets" if points else told


def _check_one_scale(runs: Sequence[Run], columns: TableColumns) -> None:
    """Refuse a target with arms in shares of 1 beside arms in per cent.

    That is told where no score is negative or over 100, each arm lies either up to 1 or from 10
    on, and the former, times 100, would lie about where the latter do. In per cent, so low a score
    is chance among a hundred classes or more: such a table can be given in shares.
    """
    arms: defaultdict[object, list[Run]] = defaultdict(list)
    for run in runs:
        if run.score and run.strategy not in (CLASSICAL, CONSTANT):
            arms[run.source, run.architecture, run.strategy, run.labels].append(run)
    scores = {arm: [run.score or 0.0 for run in there] for arm, there in arms.items()}
    low = [arm for arm, found in scores.items() if min(found) > 0 and max(found) <= 1]
    high = [arm for arm, found in scores.items() if min(found) >= 10 and max(found) <= 100]
    if not low or not high or len(low) + len(high) < len(scores):
        return
    as_points, others = (median(x for arm in part for x in scores[arm]) for part in (low, high))
    if 0.5 <= 100 * as_points / others <= 2:
        one, other = (arms[part[0]][0] for part in (low, high))
        line = other.place.rpartition(": ")[2]
        raise BadInputError(
            f"{one.place}: on {one.target}, a {columns.metric} of {one.score:g} stands beside "
            f"{other.score:g} ({line}): give all as shares of 1, or all in per cent"
        )
