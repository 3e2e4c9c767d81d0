"""The cost of choosing without target labels: each rule compared with the oracle, same looks.

The oracle is the best test score among the looks of a run. It measures how much a rule loses and is
not a valid result: a choice by it has seen the test part.
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
    """One rule, over the runs that have oracle looks.

    Attributes:
        rule: one of `WAYS`.
        strategy: whose runs they are; None if they are those of all strategies.
        runs: number of runs in which it chooses a look.
        lost: mean points that its choices score below the oracle's.
        most_lost: the largest such loss.
        largest_share: mean share of the class that its choices predict most often.
        compared: number of runs whose baseline has oracle looks too and was chosen by the same
            rule.
        below: how many of these score less than their baseline.
        gained: how many of them score more than their baseline with the oracle on both sides.
        turned: how many of the latter score less than their baseline with this rule.
    """

    rule: str
    strategy: str | None
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
    """Return the loss of each rule, over cells in which `training.oracle` looked at the test part.

    First each rule over all runs, then over those of each strategy, in the order of the records.
    Cells that differ only in the rule count as one run, as all rules look at each of them.
    """
    seen = {record.id: record for record in records if _is_looked_at(record)}
    runs = {_run_of(record): record for record in seen.values()}
    by_strategy: dict[str, list[Record]] = {}
    for run in runs.values():
        by_strategy.setdefault(run.names.strategy, []).append(run)
    groups = [(None, [*runs.values()]), *by_strategy.items()]
    found = (_gap(rule, name, own, seen) for name, own in groups for rule in WAYS)
    return [gap for gap in found if gap is not None]


def _is_looked_at(record: Record) -> bool:
    looks = record.selection.looks if record.selection is not None else ()
    return any(look.oracle is not None for look in looks)


def _run_of(record: Record) -> str:
    """Return a digest that cells share if they differ only in the rule of their choice."""
    training = {**(record.config["training"] or {}), "selection": None}
    parts = record.parts
    told = [parts.source, parts.strategy, parts.target, parts.tuning, record.labels, record.seed]
    by = record.selection.rule if record.selection and parts.tuning else None  # own trials
    return digest([*told, training, by])


def _gap(
    rule: str, strategy: str | None, runs: Sequence[Record], seen: Mapping[str, Record]
) -> RuleGap | None:
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
        strategy=strategy,
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
    """Return the look that a rule chooses in a run; None if none has a test score."""
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
    """Return the gain over the baseline, both chosen by a rule; None if that is impossible."""
    below = seen.get(run.baseline.id) if run.baseline is not None else None
    sides = [_choice(one, rule) if one is not None else None for one in (run, below)]
    if below is None or None in sides:
        return None
    return _points(run, sides[0]) - _points(below, sides[1])
