"""What a tracker receives for a cell: its card, its curves and its results.

A key has one meaning: `train/` and `validation/` are curves over steps, `final/` is what the chosen
weights score on the same examples afterwards, `test/` on the test set. Shares are in per cent, as
in all tables, so that scores and gains, in points, have one axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from transfergrid.records.cell import Cell, title
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import undescribed
from transfergrid.records.files import folders
from transfergrid.records.identity import group_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.points import gain_this_seed, points, unit
from transfergrid.records.record import Cost, Metric, Record
from transfergrid.records.tracking.tracker import RunCard, Tracker, tracked
from transfergrid.runs.curve import logged

VALIDATION_SCORE = "validation_score"
"""Key of the validation score by the metric that decides, which searches and sweeps use."""


def run_card(cell: Cell, ledger: Ledger, attempt: int = 1) -> RunCard:
    """Return the card that a tracker receives before a cell runs; each attempt has the same id.

    Args:
        cell: the cell.
        ledger: holds the cell's failed attempts.
        attempt: the least number of this attempt; only checkpoints know of some attempts, such as
            one that a cluster stopped.
    """
    attempt = max(attempt, len(folders.names(ledger.root / "attempts" / cell.id)) + 1)
    tags = (cell.study, cell.names.strategy, cell.names.source, cell.names.target)
    told = {
        "cell": cell.id,
        "attempt": attempt,
        "study": cell.study,
        "grid": cell.grid,
        "baseline": cell.baseline and cell.baseline.name,
        "names": asdict(cell.names),
    }
    return RunCard(
        id=cell.id,
        name=f"{title(cell.names, cell.labels)} seed={cell.seed}",
        group=group_of(cell.names, cell.labels, cell.parts),
        job_type="adapt",
        tags=tuple(tag for tag in tags if tag),
        config={**told, **undescribed(cell.config)},
        results=ledger.root,
    )


@contextmanager
def told_if_failing(tracker: Tracker, cell: Cell, ledger: Ledger) -> Iterator[None]:
    """Report a failed run to the tracker if the block raises, before the cell's own run begins."""
    try:
        yield
    except Exception:
        with tracked(tracker, run_card(cell, ledger)):
            raise


def shown(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return the values that are not None by tracker key, in the units of tables."""
    return {
        key: points(Metric(name=key.rpartition("/")[2])) * value
        for key, value in values.items()
        if value is not None
    }


class Curve:
    """Sends the curves of one run to a tracker.

    Args:
        tracker: the tracker.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def __call__(self, values: Mapping[str, float], step: int) -> None:
        """Send values of a step, in the units of tables."""
        self._tracker.log(shown(values), step)


def kept_curves(record: Record, ledger: Ledger) -> Iterator[tuple[dict[str, float], int]]:
    """Yield the (values, step) that a done cell's training logged, by step.

    Raises:
        BadInputError: the curves were not kept, or are unreadable.
    """
    yield from logged(ledger.curves(record.id), record.metric.name)


def summary_of(record: Record, ledger: Ledger) -> dict[str, Any]:
    """Return a done cell's numbers by tracker key, with its gain if its baseline is done.

    The gain is of this seed alone; higher is better. True and false are 1 and 0, so that a chart
    can average them.
    """
    summary: dict[str, Any] = {
        "cell": record.id,
        **_cost(record.cost),
        "steps": record.budget.steps,
        "unit": unit(record.metric),
    }
    summary |= {"collapsed": int(record.flags.collapsed), "underfit": int(record.flags.underfit)}
    parts = {"final/train": record.scores.train, "final/validation": record.scores.validation}
    for part, values in {**parts, "test": record.scores.test}.items():
        summary |= shown({f"{part}/{name}": value for name, value in (values or {}).items()})
    return summary | _compared(record, ledger)


def _cost(cost: Cost) -> dict[str, Any]:
    """Return the cell's cost, with the training of its source apart."""
    told = {
        "seconds": cost.seconds.total - cost.seconds.source,
        "source_seconds": cost.seconds.source,
        "peak_memory_bytes": cost.peak_memory_bytes,
        "parameters": cost.parameters,
        "parameters_trained": cost.parameters_trained,
        "flops_forward": cost.flops_forward,
        "seconds_forward": cost.seconds_forward,
        "continued": cost.continued or None,
    }
    return {key: value for key, value in told.items() if value is not None}


def validation_score(record: Record) -> float | None:
    """Return a cell's validation score by the metric that decides, in the units of tables."""
    score = (record.scores.validation or {}).get(record.metric.name)
    return None if score is None else points(record.metric) * score


def _compared(record: Record, ledger: Ledger) -> dict[str, Any]:
    """Return the score, the baseline's score and the gain, in the units of tables."""
    scale = points(record.metric)
    told: dict[str, Any] = {"score": None if record.score is None else scale * record.score}
    told[VALIDATION_SCORE] = validation_score(record)
    if record.baseline is not None:
        told["baseline"] = record.baseline.name
        try:
            baseline = ledger.read(record.baseline.id)
        except BadInputError:  # not done yet
            return told
        told["baseline_score"] = None if baseline.score is None else scale * baseline.score
        gain = gain_this_seed(record, baseline)
        if gain is not None:
            told |= {"gain_this_seed": gain, "below_baseline": int(gain < 0)}
    return {key: value for key, value in told.items() if value is not None}
