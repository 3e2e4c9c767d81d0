"""The unit of a table's scores: points, shares of 1, or a unit of their own.

A unit is never guessed where a wrong guess would change a verdict: an ambiguous unit is refused,
and the user states it with `--unit`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from transfergrid.evidence.foreign.columns import PERCENT, PLAIN, SHARE, TableColumns
from transfergrid.evidence.foreign.tables import Run
from transfergrid.records.errors import BadInputError
from transfergrid.records.metrics import SHARES

LOW, HIGH = 1.0, 5.0
"""If all scores of one arm are at most `LOW` and all of another are above `HIGH`, they have
different units, or nearly everything separates them."""
NEAR = 1.25
"""A run has the wrong unit if, converted to per cent, it would lie within this factor of its
arm."""


def scales_of(
    runs: Sequence[Run], columns: TableColumns
) -> tuple[dict[str, float], str, frozenset[str]]:
    """Return each target's factor from scores to results, how scores are read, and parts.

    Parts are the targets whose scores are certainly parts of a whole, which no gain can exceed.
    Each target is read by itself: a table may have one target in per cent and another in shares of
    1.

    Raises:
        BadInputError: the unit of a target is ambiguous, or not the one that was stated.
    """
    by_target: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_target[run.scale].append(run)
    for target in columns.units:
        if target and target not in by_target:
            raise BadInputError(f"--unit {target}={columns.units[target]}: no such target")
    units = {target: _unit(there, columns) for target, there in by_target.items()}
    unit = 0.01 if columns.metric in SHARES else 1.0  # results in shares range from 0 to 1
    scales = {t: unit * (100.0 if found == SHARE else 1.0) for t, found in units.items()}
    scored = {target for target, there in by_target.items() if _scored(there)}
    parts = frozenset(t for t, there in by_target.items() if _is_part(there, units[t], columns))
    return scales, _read_as({target: units[target] for target in sorted(scored)}), parts


def _is_part(runs: Sequence[Run], unit: str, columns: TableColumns) -> bool:
    """Return whether scores are certainly shares or per cent, and not some other points."""
    written = all(run.percent for run, _ in _scored(runs))
    said = columns.unit_of(runs[0].scale) == PERCENT
    return unit == SHARE or (unit == PERCENT and (written or said))


def _scored(runs: Sequence[Run]) -> list[tuple[Run, float]]:
    return [(run, run.score) for run in runs if run.score is not None]


def _unit(runs: Sequence[Run], columns: TableColumns) -> str:
    """Return the unit of a target's scores, as stated or as inferred."""
    said = columns.unit_of(runs[0].scale)
    scored = _scored(runs)
    if said is not None:
        _check_said(scored, said)
        return said
    if not scored or all(run.percent for run, _ in scored):
        return PERCENT
    if max(abs(score) for _, score in scored) > 1:
        _check_one_scale(runs)
        return PERCENT
    if any(run.percent for run, _ in scored):
        raise _unclear(scored, "stand beside others with %")
    if columns.lower_is_better:
        raise _unclear(scored, "may be shares of 1, per cent or losses")
    return SHARE


def _check_said(scored: Sequence[tuple[Run, float]], unit: str) -> None:
    """Raise `BadInputError` if a score is impossible in the stated unit."""
    most = {SHARE: 1.0, PERCENT: 100.0, PLAIN: float("inf")}[unit]
    for run, score in scored:
        if abs(score) > most or (run.percent and unit != PERCENT):
            sign = " %" if run.percent else ""
            raise BadInputError(f"{run.place}: {score:g}{sign} is no {unit} (--unit {unit})")


def _unclear(scored: Sequence[tuple[Run, float]], what: str) -> BadInputError:
    first = scored[0][0]
    low, high = (bound(score for _, score in scored) for bound in (min, max))
    return BadInputError(
        f"{first.place}: the scores on {first.scale}, {low:g} to {high:g}, {what}: --unit "
        f"{SHARE}, {PERCENT} or {PLAIN} says it"
    )


def _read_as(units: dict[str, str]) -> str:
    """Return a note on the units in which targets are read; empty if there is no score."""
    of = {unit: [target for target, found in units.items() if found == unit] for unit in
          (SHARE, PERCENT, PLAIN)}  # fmt: skip
    plain = "in a unit of their own" + (f" on {', '.join(of[PLAIN])}" if len(units) > 1 else "")
    if of[SHARE]:
        told = "scores up to 1 are read as 100 points"
        rest = [*(["as points on the other targets"] if of[PERCENT] else []),
                *([plain] if of[PLAIN] else [])]  # fmt: skip
        return f"{told} on {', '.join(of[SHARE])}, {', '.join(rest)}" if rest else told
    if of[PLAIN]:
        return f"scores are read {plain}" + (", as points on others" if of[PERCENT] else "")
    return "scores are read as points" if of[PERCENT] else ""


def _check_one_scale(runs: Sequence[Run]) -> None:
    """Raise `BadInputError` if scores of a target mix shares of 1 with per cent.

    This is checked only if no score is negative or above 100. It is detected by an arm with all
    scores up to 1 beside one with all scores above 5, and by single runs that, times 100, would lie
    near the rest of their arm. An arm so low in per cent is chance among a hundred classes; that is
    possible, and then the user can state it.
    """
    arms: defaultdict[object, list[tuple[Run, float]]] = defaultdict(list)
    for run, score in _scored(runs):
        if not 0 <= score <= 100:
            return
        if score:
            arms[run.source, run.architecture, run.strategy, run.labels].append((run, score))
    bare = [found for found in arms.values() if not all(run.percent for run, _ in found)]
    low = [found for found in bare if max(score for _, score in found) <= LOW]
    high = [found for found in arms.values() if min(score for _, score in found) > HIGH]
    if low and high:
        raise _mixed(low[0][0], high[0][0])
    for found in arms.values():
        usual = median([score for _, score in found if score > LOW] or [0.0])
        for run, score in found:
            if score <= LOW and not run.percent and usual / NEAR <= 100 * score <= usual * NEAR:
                raise _mixed((run, score), max(found, key=lambda pair: pair[1]))


def _mixed(one: tuple[Run, float], other: tuple[Run, float]) -> BadInputError:
    run, score = one
    line = other[0].place.rpartition(": ")[2]
    return BadInputError(
        f"{run.place}: on {run.scale}, a score of {score:g} stands beside {other[1]:g} ({line}): "
        f"give all as shares of 1, or all in per cent; --unit {PERCENT} if they are"
    )
