"""The gain of each task from joint learning; the source's task over training on it alone.

The source's task is judged as if it had been the target of the cell: its score on its own test part
minus that of `scratch` on that domain with all labels, with the same architecture, training and
seed. The architecture and its settings are those of the `scratch` cell that the arm itself is
compared with, as names may be shared. All such gains on one source domain form a family of their
own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from transfergrid.evidence.declared.judged import Bench
from transfergrid.evidence.measured.results import Result, references
from transfergrid.evidence.verdicts.families import RulesOf
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.cell import Parts, Reference
from transfergrid.records.identity import digest
from transfergrid.records.record import OtherTask

ALONE = "alone"
"""The baseline's name in such a comparison."""
BY = "scratch"
"""The strategy that trains a task alone."""
Key = tuple[str, str | None, str, str | None, int]
"""Digests of target, source (for `scratch` its architecture) and strategy, the tuning's name, and
the seed."""


def each_task(
    bench: Bench, verdicts: Iterable[Verdict], rules: RulesOf | None = None
) -> list[Verdict]:
    """Return, for each arm that learned both tasks, a verdict on each task.

    Args:
        bench: the bench, without the runs that are not selected.
        verdicts: its verdicts on the selected arms, over primary baselines.
        rules: the rules that decided these verdicts.
    """
    told = [verdict for verdict in verdicts if _learned_both(bench, verdict)]
    meant = {cell for verdict in told for cell in verdict.cells}
    alone = Alone(bench.results)
    cells, again = {cell.id: cell for cell in alone.cells}, dict[str, str]()
    for result in bench.results:
        if result.id in meant:
            for own in _of_sources(result, bench.records[result.id].others, alone):
                cells[own.id], again[own.id] = own, result.id
    chosen = rules or bench.rules
    found = judge(cells.values(), chosen, levels=bench.levels(chosen), primary=False)
    return [
        *told,
        *(verdict.as_in_ledger(again) for verdict in found if verdict.reference == ALONE),
    ]


def _learned_both(bench: Bench, verdict: Verdict) -> bool:
    records = (bench.records.get(cell) for cell in verdict.cells)
    return any(record is not None and _last(record.others) for record in records)


def _last(others: Iterable[OtherTask]) -> list[OtherTask]:
    return [other for other in others if not other.after]


class Alone:
    """The cells that trained on one task alone, with their own baselines removed.

    Args:
        results: all results.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self.cells = [
            replace(result, baseline=None, exploratory=())
            for result in results
            if result.names.strategy == BY and result.labels == "all"
        ]
        self._there: defaultdict[Key, list[Result]] = defaultdict(list)
        for cell in self.cells:
            self._there[_key(cell, cell.parts.target, cell.seed)].append(cell)
        self._by_id = {result.id: result for result in results}
        self._own: dict[Parts, Result] = {}
        for result in results:
            if result.parts not in self._own and (own := self._scratch_of(result)) is not None:
                self._own[result.parts] = own

    def _scratch_of(self, result: Result) -> Result | None:
        """Return the nearest `scratch` cell on the chain of baselines of a cell."""
        waiting, met = [result], {result.id}
        for one in waiting:
            below = [self._by_id.get(told.id) for told in references(one)]
            new = [cell for cell in below if cell is not None and cell.id not in met]
            if (own := next((c for c in new if c.names.strategy == BY), None)) is not None:
                return own
            waiting += new
            met |= {cell.id for cell in new}
        return None

    def of(self, result: Result, target: str) -> Result | None:
        """Return the cell that trained on a task as the arm's own `scratch` did, in its seed.

        Its training has the same digest, or else the same name: the digest may differ because a
        large domain validates on some examples, and a small one on all that are held back.

        Args:
            result: a cell that learned this task beside its target's.
            target: the digest of the task's domain.
        """
        own = self._own.get(result.parts)
        if own is None:
            return None
        found = self._there.get(_key(own, target, result.seed), [])
        alike = [cell for cell in found if cell.parts.training == result.parts.training]
        alike = alike or [c for c in found if c.names.training == result.names.training]
        return alike[0] if len(alike) == 1 else None


def _key(cell: Result, target: str, seed: int) -> Key:
    return target, cell.parts.source, cell.parts.strategy, cell.names.tuning, seed


def _of_sources(result: Result, others: Iterable[OtherTask], alone: Alone) -> list[Result]:
    """Return copies of a cell, one with each source as the target, beside its own target."""
    parts, names = result.parts, result.names
    beside = digest([parts.source, parts.target, result.labels])
    found = []
    for number, other in enumerate(_last(others)):
        base = alone.of(result, other.target_part)
        called = base.names.target if base is not None else other.name
        found.append(
            replace(
                result,
                id=f"{result.id}.{number}",
                names=replace(
                    names, target=called, source=f"beside {names.target}, {result.labels}"
                ),
                parts=replace(parts, target=other.target_part, source=beside),
                labels="all",
                score=other.test.get(other.metric.name),
                metric=other.metric,
                baseline=Reference(name=ALONE, id=base.id if base is not None else ""),
                exploratory=(),
                train_score=None,
                validation_score=None,
                ece=None,
                floor=None,
            )
        )
    return found
