"""Which of several sources hurts? Compares each alone, all together, and all without it.

The contribution of a source is the score of all sources minus the score of all but this one, paired
by seed block. All such differences on one target and label budget form a family and are corrected
together. The gains of a source alone, and of all, are those of the usual verdicts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from transfergrid.evidence.declared.judged import Bench
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.verdicts.families import RulesOf
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.cell import Labels, Parts, Reference
from transfergrid.records.factory import Config
from transfergrid.records.identity import digest, part_digest, source_part
from transfergrid.records.needs import Needs
from transfergrid.records.record import Record
from transfergrid.records.several import (
    domain_of,
    each_alone,
    is_of_several,
    joined,
    parts_of,
    with_domain,
)

BUT_ONE = "all but one"
"""The baseline's name in such a comparison."""
Arm = tuple[Parts, Labels]


@dataclass(frozen=True)
class SourceShare:
    """The contribution of one of several sources, in one strategy, on one target and label budget.

    Attributes:
        source: its name.
        less: the verdict on the score of all sources minus that of all but this one; its `baseline`
            names the others.
        alone: the verdict on this source alone, over its primary baseline; None if there is none.
        all: the verdict on all sources together; likewise.
    """

    source: str
    less: Verdict
    alone: Verdict | None = None
    all: Verdict | None = None


class _Left(NamedTuple):
    """The arms of all sources, of all but one, and of that one alone."""

    all: Arm
    but: Arm
    alone: Arm
    source: str

    @property
    def part(self) -> str:
        """The digest of both source sets, used in place of a source's digest."""
        return digest([self.all[0].source, self.but[0].source])


def source_shares(
    bench: Bench, verdicts: Sequence[Verdict], rules: RulesOf | None = None
) -> list[SourceShare]:
    """Return each source's contribution, for every arm of several sources whose subsets were run.

    If the sources of one arm are a subset of another's, only the larger set is used.

    Args:
        bench: the bench, without the runs that are not selected.
        verdicts: its verdicts on the selected arms, over primary baselines.
        rules: the rules that decided these verdicts.
    """
    results: defaultdict[Arm, list[Result]] = defaultdict(list)
    for result in bench.results:
        results[result.parts, result.labels].append(result)
    meant = {_arm_of(verdict): verdict for verdict in verdicts}
    told = [left for left in _lefts(bench.records, results) if _is_meant(left, results, meant)]
    found = []
    for left, verdict in _judged(bench, told, results, rules):
        alone, whole = meant.get(left.alone), meant.get(left.all)
        found.append(SourceShare(left.source, verdict, alone, whole))
    return sorted(found, key=_order)


def _order(share: SourceShare) -> tuple[Any, ...]:
    less = share.less
    place = (less.target, str(less.labels), less.strategy, less.source or "")
    return (*place, less.gain is None, less.gain or 0.0, share.source)


def _arm_of(verdict: Verdict) -> Arm:
    parts = Parts(
        source=verdict.source_part,
        strategy=verdict.strategy_part or "",
        target=verdict.target_part or "",
        training=verdict.training_part,
        tuning=verdict.tuning_part,
    )
    return parts, verdict.labels


def _is_meant(
    left: _Left, results: Mapping[Arm, Sequence[Result]], meant: Mapping[Arm, Verdict]
) -> bool:
    """Return whether the arm of all sources is selected, or has no baseline at all."""
    return left.all in meant or not any(cell.baseline for cell in results[left.all])


def _lefts(records: Mapping[str, Record], results: Mapping[Arm, Sequence[Result]]) -> list[_Left]:
    """Return each arm of several sources with each arm that lacks one of them, if it was run."""
    found: dict[Arm, list[_Left]] = {}
    members: dict[Arm, frozenset[str]] = {}
    for arm, cells in results.items():
        record = records.get(cells[0].id)
        source = record.config.get("source") if record is not None else None
        if record is None or not source or not is_of_several(domain_of(source)):
            continue
        each = _pairs(source, arm, record)
        members[arm] = frozenset(str(left.alone[0].source) for left in each)
        found[arm] = [left for left in each if left.but in results]
    return [
        left
        for arm, lefts in found.items()
        if not any(_lies_in(arm, other, members) for other in found if found[other])
        for left in lefts
    ]


def _lies_in(arm: Arm, other: Arm, members: Mapping[Arm, frozenset[str]]) -> bool:
    """Return whether an arm's sources are a proper subset of those of an otherwise equal arm."""
    alike = replace(arm[0], source=other[0].source) == other[0] and arm[1] == other[1]
    return alike and members[arm] < members[other]


def _pairs(source: Config, arm: Arm, record: Record) -> list[_Left]:
    domain, needs = domain_of(source), Needs.read(record.needs)
    assert domain is not None
    parts, names = parts_of(domain), list(domain.get("names") or ())
    names = names if len(names) == len(parts) else [str(n) for n in range(1, len(parts) + 1)]

    def of(config: Config) -> Arm:
        own = part_digest(source_part(config, needs, record.protocol), record.protocol)
        return replace(arm[0], source=own), arm[1]

    found = []
    for place, (alone, name) in enumerate(zip(each_alone(source), names, strict=True)):
        rest = [part for number, part in enumerate(parts) if number != place]
        others = [n for number, n in enumerate(names) if number != place]
        whole = joined(rest, others, domain.get("about") or {}) if len(rest) > 1 else rest[0]
        found.append(_Left(arm, of(with_domain(source, whole)), of(alone), name))
    return found


def _judged(
    bench: Bench,
    lefts: Iterable[_Left],
    results: Mapping[Arm, Sequence[Result]],
    rules: RulesOf | None,
) -> list[tuple[_Left, Verdict]]:
    """Return the verdict on each difference; for this, cells are copied under new ids."""
    cells: dict[str, Result] = {}
    again: dict[str, str] = {}
    by_part: dict[tuple[str, Arm], _Left] = {}
    for left in lefts:
        by_seed = {cell.seed: cell for cell in results[left.but]}
        cells |= {
            cell.id: replace(cell, baseline=None, exploratory=()) for cell in by_seed.values()
        }
        parts = replace(left.all[0], source=left.part)
        by_part[left.part, (parts, left.all[1])] = left
        for cell in results[left.all]:
            name, other = f"{cell.id}.{left.part}", by_seed.get(cell.seed)
            told = Reference(name=BUT_ONE, id=other.id if other is not None else "")
            again[name] = cell.id
            cells[name] = replace(cell, id=name, parts=parts, baseline=told, exploratory=())
    chosen = rules or bench.rules
    verdicts = judge(
        cells.values(),
        chosen,
        read=bench.outcomes.under(again),
        levels=bench.levels(chosen),
        primary=False,
    )
    return [
        (by_part[str(verdict.source_part), _arm_of(verdict)], verdict.as_in_ledger(again))
        for verdict in verdicts
    ]
