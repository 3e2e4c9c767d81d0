"""Lightweight results, the input of verdicts: a hundred thousand of them need little memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from transfergrid.evidence.measured.outcomes import Outcomes
from transfergrid.records.cell import PROTOCOL, Labels, Names, Parts, Reference
from transfergrid.records.files.arrays import Packed
from transfergrid.records.ledgers.index import Indexed, columns
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Flags, Metric, Record

CONSTANT = "majority"
"""The strategy whose arm always predicts the most frequent class, or the mean."""


@dataclass(slots=True, kw_only=True)
class Result:
    """One scored run: a done cell of a ledger, or a row of a foreign table.

    The fields mean the same as in a `Record`.
    """

    id: str
    names: Names
    parts: Parts
    labels: Labels
    seed: int
    protocol: int = PROTOCOL
    """The version of the rules by which its id and the digests of its parts are made."""
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
    """In regression: the score of predicting the mean of the test labels; None if unknown."""
    classes: int = 0
    """The target's number of classes; 0 if it has none, or it is unknown."""
    one_checkpoint: bool = False
    placebo: bool = False
    seconds: float | None = None
    source_seconds: float | None = None
    parameters_trained: int | None = None
    flops_forward: int | None = None
    seconds_forward: float | None = None
    study: str | None = None
    code: str = ""
    labels_got: tuple[int, int] | None = None
    trials: int | None = None
    """The number of settings that it tried; None for a cell that did not search."""
    strategy_class: str | None = None
    finished: str | None = None
    remarks: str = ""
    """Serialised notes on its data, shown in tables; see `index.remarked`."""

    @property
    def bears_flag(self) -> bool:
        """Whether it collapsed or is underfit."""
        return self.collapsed or self.underfit

    @property
    def collapsed(self) -> bool:
        """Whether it predicts the same for all examples, and is not the strategy made to do so."""
        return self.flags.collapsed and self.names.strategy != CONSTANT

    @property
    def underfit(self) -> bool:
        """Whether it failed to learn its own training examples; never true of `majority`."""
        return self.flags.underfit and self.names.strategy != CONSTANT

    def is_stale(self, code_now: Callable[[str], Set[str]]) -> bool:
        """Return whether the strategy's code is known and differs from the code of this result.

        Args:
            code_now: returns the code fingerprints of a class by its dotted path; empty if the
                class is not known.
        """
        now = code_now(self.strategy_class) if self.strategy_class else ()
        return bool(now) and self.code not in now


Cell = TypeVar("Cell", Result, Record)
"""A result or a record: the same type in and out."""
AnyCell = Result | Record


def references(cell: AnyCell) -> tuple[Reference, ...]:
    """Return the baselines of a cell, the primary one first."""
    return (*((cell.baseline,) if cell.baseline else ()), *cell.exploratory)


COLUMNS = (
    *("id", "protocol", "seed", "score", "train_score", "validation_score", "ece", "floor"),
    *("classes", "one_checkpoint", "placebo", "seconds", "source_seconds", "study", "code"),
    *("strategy_class", "finished", "trials", "remarks"),
    *("parameters_trained", "flops_forward", "seconds_forward"),
    *("strategy", "target", "source", "architecture", "training", "tuning"),
    *("strategy_part", "target_part", "source_part", "training_part", "tuning_part", "labels"),
    *("baseline", "baseline_id", "exploratory", "metric", "higher_is_better"),
    *("collapsed", "underfit", "contaminated_by", "fewest_labels", "most_labels"),
    *("right", "items_n", "items", "clusters"),
)
"""The index columns that results are built from; the first ones are fields of the same name."""


def results_of(ledger: Ledger) -> tuple[list[Result], Outcomes]:
    """Return a ledger's done cells, sorted by id, and their outcomes on the test items.

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
    """Return the result of a record, also of a failed one."""
    flat = columns(Indexed(record, 0, None))
    return _result(tuple(flat[name] for name in COLUMNS))[0]


def results_from(records: Iterable[Record]) -> list[Result]:
    """Return the results of these records."""
    return [result_of(record) for record in records]


def _result(row: tuple[Any, ...]) -> tuple[Result, Packed | None]:
    """Return the contents of a row of `COLUMNS`; unrolled for speed, as rows are many."""
    identity, protocol, seed, score, train_score, validation_score, ece, floor, *rest = row
    classes, one_checkpoint, placebo, seconds, source_seconds, study, code, *rest = rest
    strategy_class, finished, trials, remarks, trained, flops, seconds_forward, *rest = rest
    strategy, target, source, architecture, training, tuning, *rest = rest
    strategy_part, target_part, source_part, training_part, tuning_part, labels, *rest = rest
    baseline, baseline_id, exploratory, metric, higher, *rest = rest
    collapsed, underfit, contaminated_by, fewest, most, bits, items_n, items, clusters = rest
    result = Result(
        id=identity,
        protocol=protocol,
        seed=seed,
        score=score,
        train_score=train_score,
        validation_score=validation_score,
        ece=ece,
        floor=floor,
        classes=classes,
        one_checkpoint=one_checkpoint,
        placebo=placebo,
        seconds=seconds,
        source_seconds=source_seconds,
        study=study,
        code=code,
        strategy_class=strategy_class,
        finished=finished,
        trials=trials,
        remarks=remarks,
        parameters_trained=trained,
        flops_forward=flops,
        seconds_forward=seconds_forward,
        names=shared_names(strategy, target, source, architecture, training, tuning),
        parts=shared_parts(strategy_part, target_part, source_part, training_part, tuning_part),
        labels="all" if labels == "all" else int(labels),
        metric=shared_metric(metric, higher),
        baseline=_reference(baseline, baseline_id) if baseline else None,
        exploratory=_references(exploratory),
        flags=_flags(collapsed, underfit, contaminated_by),
        labels_got=None if fewest is None or most is None else (fewest, most),
    )
    return result, None if bits is None else Packed(bits, items_n, items, clusters or "")


# Objects that thousands of cells share are created once (interned), to save memory and make hashing
# fast.


@lru_cache(maxsize=100_000)
def shared_names(
    strategy: str,
    target: str,
    source: str | None,
    architecture: str | None,
    training: str | None = None,
    tuning: str | None = None,
) -> Names:
    """Return the names, interned."""
    return Names(
        strategy=strategy,
        target=target,
        source=source,
        architecture=architecture,
        training=training,
        tuning=tuning,
    )


@lru_cache(maxsize=100_000)
def shared_parts(
    strategy: str,
    target: str,
    source: str | None,
    training: str | None = None,
    tuning: str | None = None,
) -> Parts:
    """Return the digests of the parts, interned."""
    return Parts(strategy=strategy, target=target, source=source, training=training, tuning=tuning)


@lru_cache(maxsize=1_000)
def shared_metric(name: str, higher_is_better: bool) -> Metric:
    """Return the metric, interned."""
    return Metric(name=name, higher_is_better=higher_is_better)


@lru_cache(maxsize=100_000)
def _reference(name: str, identity: str) -> Reference:
    return Reference(name=name, id=identity)


@lru_cache(maxsize=100_000)
def _references(text: str) -> tuple[Reference, ...]:
    return tuple(_reference(name, identity) for name, identity in _listed(text))


@lru_cache(maxsize=10_000)
def _flags(collapsed: bool, underfit: bool, contaminated_by: str) -> Flags:
    seen = tuple(_listed(contaminated_by))
    return Flags(collapsed=collapsed, underfit=underfit, contaminated_by=seen)


def _listed(text: str) -> Sequence[Any]:
    """Return a column's parsed JSON; it is mostly empty."""
    return () if text == "[]" else json.loads(text)
