"""Records made up for tests."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from transfergrid.evidence.measured.measuring import measure
from transfergrid.evidence.measured.remarks import by_arm
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.cell import PROTOCOL, Names, Parts, Reference
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.record import Cost, Data, Record, Scores, Seconds, Status


def identity(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def made(
    strategy: str = "scratch",
    source: str | None = None,
    labels: Any = 20,
    seed: int = 0,
    score: float | None = 0.9,
    baseline: Record | None = None,
    architecture: str | None = "small_cnn",
    target: str = "digits",
    seconds: float = 2.0,
    **changes: Any,
) -> Record:
    """Return a done cell; its parts' digests follow from the names."""
    record = Record(
        id=identity(strategy, source, architecture, target, labels, seed),
        status=Status.DONE,
        names=Names(strategy=strategy, source=source, architecture=architecture, target=target),
        parts=Parts(
            strategy=identity("strategy", strategy),
            source=identity("source", source, architecture) if source or architecture else None,
            target=identity("target", target),
            training=identity("training"),
        ),
        protocol=PROTOCOL,
        labels=labels,
        seed=seed,
        config={"labels": labels, "seed": seed},
        scores=Scores(test={"accuracy": score}),
        baseline=Reference(name=baseline.names.strategy, id=baseline.id) if baseline else None,
        data=Data(classes=("a", "b")),
        cost=Cost(seconds=Seconds(total=seconds)),
    )
    return replace(record, **changes)


def predicted(correct: Any) -> Predictions:
    """Return predictions of two classes that are right where `correct` is true."""
    right = np.asarray(correct, dtype=bool)
    labels = np.arange(len(right), dtype=np.int64) % 2
    said = np.where(right, labels, 1 - labels)
    return Predictions(np.eye(2, dtype=np.float32)[said], labels)


def measured(records: Any, failures: Any = (), **how: Any) -> list[Verdict]:
    """Return the rows of the table of gains of these records."""
    results, failed = results_from(records), results_from(failures)
    return measure(results, failures=failed, remarks=by_arm(records), **how)
