"""Verdicts that change over another baseline, without flagged runs, or with another scope."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from transfergrid.evidence.measured.comparisons import exploratory, over
from transfergrid.evidence.measured.outcomes import Read
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.verdicts.fallen import fallen_among
from transfergrid.evidence.verdicts.families import (
    Family,
    Levels,
    RulesOf,
    Seen,
    Shares,
    family_of,
)
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.evidence.verdicts.verdict import CONTROL, Verdict

WITHOUT_FLAGGED = "without flagged runs"
THIS_TEST_SET = "this test set only"
MADE_ANEW = "source made anew"
OVER_PRIMARY = "over the primary baseline"


@dataclass(frozen=True)
class Flip:
    """A comparison whose verdict depends on the analysis."""

    verdict: Verdict
    """The original verdict: over the requested baseline, with all runs, for new test items."""
    others: dict[str, Verdict]
    """The differing verdicts, by what was changed in the analysis."""


Arm = tuple[object, ...]


def flips(
    results: Sequence[Result],
    verdicts: Sequence[Verdict],
    read: Read | None,
    rules: RulesOf,
    levels: Levels | None = None,
    against: str | None = None,
    known: Mapping[str, Sequence[Verdict]] | None = None,
) -> list[Flip]:
    """Return the verdicts that flip, in their order, each with the changes that make it flip.

    Args:
        results: the judged results, compared with their primary baselines.
        verdicts: the verdicts over these baselines, or over an exploratory one.
        read: what the verdicts were judged with.
        rules: what the verdicts were judged with; likewise the levels.
        levels: see `judge`.
        against: the exploratory baseline of the verdicts; None for the primary ones.
        known: by name, verdicts over exploratory baselines that were judged before in the same way.
    """
    judged = partial(judge, rules=rules, levels=levels, ahead=False)
    ways = _over_others(results, read, judged, against, known or {})
    results = over(results, against) if against else results
    if read is not None:
        ways[THIS_TEST_SET] = _by_arm(judged(results))
    fell = fallen_among(results)
    kept = [cell for cell in results if not (cell.bears_flag or cell.id in fell)]
    if len(kept) < len(results):
        as_then = _levels_of(verdicts, rules)  # leaving out runs is not an earlier look
        without = judge(kept, rules, read=read, levels=as_then, ahead=False)
        ways[WITHOUT_FLAGGED] = _by_arm(without)
    ways[MADE_ANEW] = _made_anew(verdicts)
    found = []
    for verdict in verdicts:
        if verdict.kind == CONTROL or not verdict.n:
            continue
        seen = {name: way.get(_arm(verdict)) for name, way in ways.items()}
        others = {
            name: other
            for name, other in seen.items()
            if other is not None and _is_another(verdict, other, name)
        }
        if others:
            found.append(Flip(verdict, others))
    return found


def _is_another(verdict: Verdict, other: Verdict, name: str) -> bool:
    if name.startswith("over ") and other.baseline == verdict.baseline:
        return False
    return bool(other.n) and other.verdict is not verdict.verdict


def _over_others(
    results: Sequence[Result],
    read: Read | None,
    judged: Callable[..., list[Verdict]],
    against: str | None,
    known: Mapping[str, Sequence[Verdict]],
) -> dict[str, dict[Arm, Verdict]]:
    def verdicts(name: str) -> Sequence[Verdict]:
        if name in known:
            return known[name]
        return judged(over(results, name), read=read, primary=False)

    names = [name for name in exploratory(results) if name != against]
    ways = {f"over {name}": _by_arm(verdicts(name)) for name in names}
    if against:
        ways[OVER_PRIMARY] = _by_arm(judged(results, read=read))
    return ways


def _levels_of(verdicts: Sequence[Verdict], rules: RulesOf) -> Levels:
    found = {family_of(verdict): verdict.level for verdict in verdicts}

    def level(family: Family, shown: Seen, shares: Shares) -> tuple[float, float]:
        allowed = found.get(family, rules(family).alpha)
        return allowed, allowed

    return level


def _made_anew(verdicts: Sequence[Verdict]) -> dict[Arm, Verdict]:
    """Return, for each source that is one checkpoint, the verdict on the same source retrained."""
    anew = {_named(verdict): verdict for verdict in verdicts if not verdict.one_checkpoint}
    return {
        _arm(verdict): anew[_named(verdict)]
        for verdict in verdicts
        if verdict.one_checkpoint and _named(verdict) in anew
    }


def _named(one: Verdict) -> Arm:
    source = one.source and one.source.partition("#")[0]
    return source, one.architecture, one.strategy, one.target_part, one.labels, one.baseline


def _by_arm(verdicts: Sequence[Verdict]) -> dict[Arm, Verdict]:
    return {_arm(verdict): verdict for verdict in verdicts}


def _arm(one: Verdict) -> Arm:
    """Return the key of an arm, regardless of its baseline."""
    arm = one.source_part, one.strategy_part, one.target_part, one.labels
    return *arm, one.training, one.tuning_part
