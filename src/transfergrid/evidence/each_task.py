"""What learning together gives each task: the source's, too, over training it alone.

The source's task is judged as if it had been the target of the cell: its score on its own test
part, less that of `scratch` on that domain with all labels, by the same architecture, training and
seed. All such gains on one source domain are a family of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from transfergrid.evidence.families import RulesOf
from transfergrid.evidence.judged import Bench
from transfergrid.evidence.judging import judge
from transfergrid.evidence.results import Result
from transfergrid.evidence.verdicts import Verdict
from transfergrid.records.cell import Reference
from transfergrid.records.identity import digest
from transfergrid.records.record import OtherTask

ALONE = "alone"
"""What such a gain is over, as the name of a baseline."""
BY = "scratch"
"""The strategy that trains a task alone."""
Key = tuple[str, str | None, str | None, int]
"""Target part, architecture, training part and seed."""


def each_task(
    bench: Bench, verdicts: Iterable[Verdict], rules: RulesOf | None = None
) -> list[Verdict]:
    """Return a verdict on the source's task of each arm that learned both, and on its target's.

    Args:
        bench: less the runs that are not meant.
        verdicts: of it, over primary baselines: those arms that are meant.
        rules: that they were decided by.
    """
    told = [verdict for verdict in verdicts if _learned_both(bench, verdict)]
    meant = {cell for verdict in told for cell in verdict.cells}
    alone = _alone(bench.results)
    cells, again = {cell.id: cell for cell in alone.values()}, dict[str, str]()
    for result in bench.results:
        if result.id in meant:
            for own in _of_sources(result, bench.records[result.id].others, alone):
                cells[own.id], again[own.id] = own, result.id
    chosen = rules or bench.rules
    found = judge(cells.values(), chosen, levels=bench.levels(chosen), primary=False)
    return [*told, *(_named(verdict, again) for verdict in found if verdict.reference == ALONE)]


def _named(verdict: Verdict, again: Mapping[str, str]) -> Verdict:
    """Return a verdict whose cells have the names that they have in the ledger."""
    source = (verdict.source or "").partition("#")[0]
    return verdict.but(source=source, cells=tuple(again.get(c, c) for c in verdict.cells))


def _learned_both(bench: Bench, verdict: Verdict) -> bool:
    records = (bench.records.get(cell) for cell in verdict.cells)
    return any(record is not None and _last(record.others) for record in records)


def _last(others: Iterable[OtherTask]) -> list[OtherTask]:
    return [other for other in others if not other.after]


def _alone(results: Iterable[Result]) -> dict[Key, Result]:
    """Return the cells that trained a task alone, compared with nothing."""
    return {
        _key(result, result.parts.target): replace(result, baseline=None, exploratory=())
        for result in results
        if result.names.strategy == BY and result.labels == "all"
    }


def _key(result: Result, target: str) -> Key:
    return target, result.names.architecture, result.parts.training, result.seed


def _of_sources(
    result: Result, others: Iterable[OtherTask], alone: Mapping[Key, Result]
) -> list[Result]:
    """Return a cell as if each of its sources had been the target, beside its own target."""
    parts, names = result.parts, result.names
    beside = digest([parts.source, parts.target, result.labels])
    found = []
    for number, other in enumerate(_last(others)):
        base = alone.get(_key(result, other.target_part))
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
