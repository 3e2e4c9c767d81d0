"""Forgetting in a chain: each earlier task's score after each later link, and after the target.

A cell scores its tasks only after all training and every choice, on networks kept from each stage,
so no choice can depend on these scores. The forgetting of a task at a stage is its score right
after it was learned minus its score at that stage, paired by seed, in points. A value below zero is
an improvement.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from transfergrid.evidence.declared.judged import Bench
from transfergrid.evidence.statistics.intervals import over_blocks
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.points import oriented, points
from transfergrid.records.record import OtherTask, Record

ITSELF = "itself"
"""The name of the stage right after the task itself was learned."""


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """The score of one task of a chain at one stage, over the seeds of an arm."""

    arm: Verdict
    task: str
    after: str
    """What was learned last at that stage: `ITSELF`, another task, or the target."""
    n: int
    """Number of seeds."""
    score: float
    """Mean test score of the task, in points."""
    forgotten: float | None
    """Forgotten points, mean over seeds; None at the stage of the task itself."""
    low: float | None
    """Lower end of the uncorrected 95 % interval over seeds, for this test part; None if all seeds
    forget the same."""
    high: float | None


def forgetting(bench: Bench, verdicts: Iterable[Verdict]) -> list[Forgotten]:
    """Return one entry for each task and stage of each chain; other arms give none.

    Args:
        bench: the bench with the records.
        verdicts: the verdicts on the selected arms.
    """
    called = {result.parts.target: result.names.target for result in bench.results}
    found: list[Forgotten] = []
    for verdict in verdicts:
        records = [bench.records[cell] for cell in verdict.cells if cell in bench.records]
        if any(other.after for record in records for other in record.others):
            found += _of_arm(verdict, records, called)
    return found


def _of_arm(
    verdict: Verdict, records: Sequence[Record], called: Mapping[str, str]
) -> list[Forgotten]:
    """Return the entries of one chain, sorted by task and then by stage."""
    by_task: defaultdict[str, defaultdict[str, dict[int, OtherTask]]]
    by_task = defaultdict(lambda: defaultdict(dict))
    for record in records:
        for other in record.others:
            if _score(other) is not None:
                by_task[other.target_part][other.after][record.seed] = other
    names = {part: _named(part, stages, called) for part, stages in by_task.items()}
    learned = {next(iter(stages)): names[part] for part, stages in by_task.items()}
    learned[""] = verdict.target
    return [
        _at(verdict, names[part], learned.get(after, after), first, told)
        for part, stages in by_task.items()
        for first in [next(iter(stages.values()))]
        for after, told in stages.items()
        if not first.keys().isdisjoint(told)
    ]


def _score(other: OtherTask) -> float | None:
    return other.test.get(other.metric.name)


def _named(
    part: str, stages: Mapping[str, Mapping[int, OtherTask]], called: Mapping[str, str]
) -> str:
    """Return a task's name: as a target in the ledger, or else in its records."""
    return called.get(part) or next(one.name for told in stages.values() for one in told.values())


def _at(
    verdict: Verdict,
    task: str,
    after: str,
    first: Mapping[int, OtherTask],
    told: Mapping[int, OtherTask],
) -> Forgotten:
    """Return the entry of one stage, given by seed the first scores and those at this stage."""
    own = told is first
    seeds = [seed for seed in told if seed in first]
    metric = told[seeds[0]].metric
    now, then = (np.array([_score(one[seed]) for seed in seeds]) for one in (told, first))
    lost = over_blocks(oriented(metric) * (then - now))
    low, high = lost.interval()
    return Forgotten(
        arm=verdict,
        task=task,
        after=ITSELF if own else after,
        n=len(seeds),
        score=points(metric) * float(now.mean()),
        forgotten=None if own else lost.mean,
        low=None if own else low,
        high=None if own else high,
    )
