"""Task affinity: which task helps which when two are learned together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from transfergrid.evidence.declared.judged import Bench
from transfergrid.evidence.several.each_task import ALONE
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.cell import Labels


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The gain of one task from being learned beside another."""

    task: str
    """The task that gains or loses."""
    labels: Labels
    """The labels that it was learned from."""
    beside: str
    """The other task."""
    beside_labels: Labels
    as_source: bool
    """Whether the task was the source's, compared with training on it alone; else it was the
    target."""
    verdict: Verdict


def affinity(bench: Bench, found: Iterable[Verdict]) -> list[Pair]:
    """Return each task with the one that it was learned beside; chains with more are left out.

    Args:
        bench: the bench with the records.
        found: the verdicts of `each_task` on this bench.
    """
    called = {result.parts.target: result.names.target for result in bench.results}
    pairs = []
    for verdict in found:
        record = bench.records.get(verdict.cells[0]) if verdict.n and verdict.cells else None
        others = [other for other in record.others if not other.after] if record else []
        if record is None or len(others) != 1:
            continue
        (other,) = others
        target = (record.names.target, record.labels)
        source: tuple[str, Labels] = (called.get(other.target_part, other.name), "all")
        as_source = verdict.reference == ALONE
        (task, labels), (beside, theirs) = (source, target) if as_source else (target, source)
        pairs.append(
            Pair(
                task=task,
                labels=labels,
                beside=beside,
                beside_labels=theirs,
                as_source=as_source,
                verdict=verdict,
            )
        )
    return pairs
