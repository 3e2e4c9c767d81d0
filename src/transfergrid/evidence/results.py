"""Lean results: what verdicts are made of, a hundred thousand of them in little memory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, TypeVar

from transfergrid.evidence.outcomes import Outcomes
from transfergrid.records.arrays import Packed
from transfergrid.records.cell import PROTOCOL, Labels, Names, Parts, Reference
from transfergrid.records.index import Indexed, columns
from transfergrid.records.ledger import Ledger
from transfergrid.records.provenance import code_fingerprint
from transfergrid.records.record import Flags, Metric, Record


@dataclass(slots=True, kw_only=True)
class Result:
    """One scored run: a done cell of a ledger, or a line of a table made elsewhere.

    Its fields mean what they mean in a `Record`.
    """

    id: str
    names: Names
    parts: Parts
    labels: Labels
    seed: int
    protocol: int = PROTOCOL
    """What its identity and the digests of its parts are made by."""
    score: float | None
    metric: Metric = field(default_factory=Metric)
    baseline: Reference | None = None
    exploratory: tuple[Reference, ...] = ()
    flags: Flags = field(default_factory=Flags)
    train_score: float | None = None
    validation_score: float | None = None
    ece: float | None = None
    """Expected calibration error on the test items."""
    floor: float | None = None
    """Of numbers: what telling the mean of the test labels would score; None where unknown."""
    classes: int = 0
    """Of the target; 0 where it has none, or nobody says."""
    one_checkpoint: bool = False
    placebo: bool = False
    seconds: float | None = None
    source_seconds: float | None = None
    study: str | None = None
    code: str = ""
    labels_got: tuple[int, int] | None = None
    strategy_class: str | None = None
    finished: str | None = None

    @property
    def bears_flag(self) -> bool:
        """Whether it collapsed or is underfit."""
        return self.flags.collapsed or self.flags.underfit

    @property
    def is_stale(self) -> bool:
        """Whether the strategy's code is known, and another one now."""
        now = code_fingerprint(self.strategy_class) if self.strategy_class else ""
        return bool(now) and self.code != now


Cell = TypeVar("Cell", Result, Record)
"""Either of them, the same in and out."""
AnyCell = Result | Record


def references(cell: AnyCell) -> tuple[Reference, ...]:
    """Return what a cell may be compared with, its primary baseline first."""
    return (*((cell.baseline,) if cell.baseline else ()), *cell.exploratory)


COLUMNS = (
    *("id", "source", "architecture", "strategy", "target", "training"),
    *("source_part", "strategy_part", "target_part", "training_part", "labels", "seed"),
    *("baseline", "baseline_id", "exploratory", "metric", "higher_is_better", "score"),
    *("train_score", "validation_score", "ece", "floor", "items_n", "items", "clusters", "right"),
    *("collapsed", "underfit", "contaminated_by", "classes", "one_checkpoint", "placebo"),
    *("seconds", "source_seconds", "study", "code", "strategy_class", "finished"),
    *("fewest_labels", "most_labels", "protocol"),
)


def results_of(ledger: Ledger) -> tuple[list[Result], Outcomes]:
    """Return the done cells of a ledger, ordered by id, and what they said of the test items.

    Raises:
        BadInputError: there is no ledger here.
    """
    results, known = [], {}
    for row in ledger.columns(COLUMNS):
        result, right = _result(row)
        results.append(result)
        if right is not None:
            known[result.id] = right
    return results, Outcomes(ledger.predictions, known)


def result_of(record: Record) -> Result:
    """Return what verdicts need of a record, be it one that has failed."""
    flat = columns(Indexed(record, 0, None))
    return _result(tuple(flat[name] for name in COLUMNS))[0]


def results_from(records: Iterable[Record]) -> list[Result]:
    """Return what verdicts need of these records."""
    return [result_of(record) for record in records]


def _result(row: tuple[Any, ...]) -> tuple[Result, Packed | None]:
    (identity, source, architecture, strategy, target, training, *rest) = row
    (source_part, strategy_part, target_part, training_part, labels, seed, *rest) = rest
    (baseline, baseline_id, exploratory, metric, higher, score, *rest) = rest
    (train, validation, ece, floor, items_n, items, clusters, bits, *rest) = rest
    (collapsed, underfit, contaminated, classes, one_checkpoint, placebo, *rest) = rest
    (seconds, source_seconds, study, code, strategy_class, finished, fewest, most, protocol) = rest
    result = Result(
        id=identity,
        names=_names(strategy, target, source, architecture, training),
        parts=_parts(strategy_part, target_part, source_part, training_part),
        labels="all" if labels == "all" else int(labels),
        seed=seed,
        protocol=protocol,
        score=score,
        metric=_metric(metric, higher),
        baseline=_reference(baseline, baseline_id) if baseline else None,
        exploratory=_references(exploratory),
        flags=_flags(collapsed, underfit, contaminated),
        train_score=train,
        validation_score=validation,
        ece=ece,
        floor=floor,
        classes=classes,
        one_checkpoint=one_checkpoint,
        placebo=placebo,
        seconds=seconds,
        source_seconds=source_seconds,
        study=study,
        code=code,
        labels_got=None if fewest is None or most is None else (fewest, most),
        strategy_class=strategy_class,
        finished=finished,
    )
    return result, None if bits is None else Packed(bits, items_n, items, clusters or "")


# Thousands of cells share these: one object each keeps the memory small and their hashes quick.


@cache
def _names(
    strategy: str, target: str, source: str | None, architecture: str | None, training: str | None
) -> Names:
    return Names(
        strategy=strategy,
        target=target,
        source=source,
        architecture=architecture,
        training=training,
    )


@cache
def _parts(strategy: str, target: str, source: str | None, training: str | None) -> Parts:
    return Parts(strategy=strategy, target=target, source=source, training=training)


@cache
def _metric(name: str, higher_is_better: bool) -> Metric:
    return Metric(name=name, higher_is_better=higher_is_better)


@cache
def _flags(collapsed: bool, underfit: bool, contaminated_by: str) -> Flags:
    names = tuple(json.loads(contaminated_by))
    return Flags(collapsed=collapsed, underfit=underfit, contaminated_by=names)


@lru_cache(maxsize=100_000)
def _reference(name: str, identity: str) -> Reference:
    return Reference(name=name, id=identity)


def _references(text: str) -> tuple[Reference, ...]:
    if text == "[]":
        return ()
    return tuple(_reference(name, identity) for name, identity in json.loads(text))
