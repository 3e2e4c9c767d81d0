"""What choosing without target labels costs: each rule beside the oracle, over the same looks.

The oracle is the best test score among the looks of a run. It says how much a rule loses, and is no
result of anything: whoever chooses by it has seen the test part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from transfergrid.records.identity import digest
from transfergrid.records.points import oriented
from transfergrid.records.record import Record
from transfergrid.records.selection import RULES, Look

LAST, ORACLE = "last_step", "oracle"
WAYS = (LAST, *RULES, ORACLE)


@dataclass(frozen=True)
class RuleGap:
    """One rule over the runs that were looked at.

    Attributes:
        rule: of `WAYS`.
        runs: in which it chooses a look.
        lost: points that its choices score less than the oracle's, the mean.
        most_lost: the largest of these.
        largest_share: share of the class that its choices predict most often, the mean.
        compared: runs whose baseline was looked at too, and chose by the same rule.
        below: of these, how many score less than their baseline.
        gained: how many score more by the oracle on both sides.
        turned: how many of those score less than their baseline by this rule.
    """

    rule: str
    runs: int
    lost: float
    most_lost: float
    largest_share: float
    compared: int
    below: int
    gained: int
    turned: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def gaps_of(records: Iterable[Record]) -> list[RuleGap]:
    """Return what each rule loses, of cells in which `training.oracle` looked at the test part.

    Runs that differ in the rule alone are one run, for all rules look at each of them.
    """
    seen = {record.id: record for record in records if _is_looked_at(record)}
    runs = {_run_of(record): record for record in seen.values()}
    found = (_gap(rule, list(runs.values()), seen) for rule in WAYS)
    return [gap for gap in found if gap is not None]


def _is_looked_at(record: Record) -> bool:
    looks = record.selection.looks if record.selection is not None else ()
    return any(look.oracle is not None for look in looks)


def _run_of(record: Record) -> str:
    """Return what is the same of cells that differ in the rule of their choice alone."""
    training = {**(record.config["training"] or {}), "selection": None}
    parts = record.parts
    told = [parts.source, parts.strategy, parts.target, parts.tuning, record.labels, record.seed]
    by = record.selection.rule if record.selection and parts.tuning else None  # its trials differ
    return digest([*told, training, by])


def _gap(rule: str, runs: Sequence[Record], seen: Mapping[str, Record]) -> RuleGap | None:
    chosen = [(run, look) for run in runs if (look := _choice(run, rule)) is not None]
    if not chosen:
        return None
    lost = [_points(run, _choice(run, ORACLE)) - _points(run, look) for run, look in chosen]
    gains = [
        (own, best)
        for run, _ in chosen
        if (own := _gain(run, seen, rule)) is not None
        and (best := _gain(run, seen, ORACLE)) is not None
    ]
    return RuleGap(
        rule=rule,
        runs=len(chosen),
        lost=fmean(lost),
        most_lost=max(lost),
        largest_share=fmean(look.largest_share or 0.0 for _, look in chosen),
        compared=len(gains),
        below=sum(own < 0 for own, _ in gains),
        gained=sum(best > 0 for _, best in gains),
        turned=sum(own < 0 < best for own, best in gains),
    )


def _choice(run: Record, rule: str) -> Look | None:
    """Return the look that a rule chooses of a run; None where it has none with a test score."""
    assert run.selection is not None
    if rule == ORACLE:
        looks = [look for look in run.selection.looks if look.oracle is not None]
        return max(looks, key=lambda look: _points(run, look), default=None)
    found = run.selection.by(None if rule == LAST else rule)
    return found if found is not None and found.oracle is not None else None


def _points(run: Record, look: Look | None) -> float:
    """Return the test score of a look, in points; more is better."""
    assert look is not None
    assert look.oracle is not None
    return oriented(run.metric) * look.oracle


def _gain(run: Record, seen: Mapping[str, Record], rule: str) -> float | None:
    """Return the gain over the baseline, both chosen by a rule; None without such a baseline."""
    below = seen.get(run.baseline.id) if run.baseline is not None else None
    sides = [_choice(one, rule) if one is not None else None for one in (run, below)]
    if below is None or None in sides:
        return None
    return _points(run, sides[0]) - _points(below, sides[1])
