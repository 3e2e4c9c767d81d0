"""What a tracker is told of a cell: its card, its curves and what it came to.

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
"""Key of the metric that decides on the validation part: what searches and sweeps go by."""


def run_card(cell: Cell, ledger: Ledger, attempt: int = 1) -> RunCard:
    """Return what a tracker is told of a cell before it runs; each attempt has the same id.

    Args:
        cell: that runs.
        ledger: of its results; it keeps the attempts that failed.
        attempt: at least; of some, such as one that a cluster stopped, checkpoints alone know.
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
    """Give a cell a run, which has failed, if the block raises: before its own run has begun."""
    try:
        yield
    except Exception:
        with tracked(tracker, run_card(cell, ledger)):
            raise


def shown(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return the values that there are by tracker key, in the units that tables show."""
    return {
        key: points(Metric(name=key.rpartition("/")[2])) * value
        for key, value in values.items()
        if value is not None
    }


class Curve:
    """Sends values along the steps of one run.

    Args:
        tracker: where to.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def __call__(self, values: Mapping[str, float], step: int) -> None:
        """Send values as they are shown."""
        self._tracker.log(shown(values), step)


def kept_curves(record: Record, ledger: Ledger) -> Iterator[tuple[dict[str, float], int]]:
    """Yield what a done cell's training logged, by step, as it did then.

    Raises:
        BadInputError: the curves were not kept, or are unreadable.
    """
    yield from logged(ledger.curves(record.id), record.metric.name)


def summary_of(record: Record, ledger: Ledger) -> dict[str, Any]:
    """Return a done cell's numbers by tracker key, with its gain once its baseline is known.

    The gain is of this seed alone, higher being better. What is true or false is 1 or 0, which a
    chart can take the mean of.
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
    """Return what the cell took, its source's training apart."""
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
    """Return a cell's validation score by the metric that decides, as tables show scores."""
    score = (record.scores.validation or {}).get(record.metric.name)
    return None if score is None else points(record.metric) * score


def _compared(record: Record, ledger: Ledger) -> dict[str, Any]:
    """Return score and baseline's score, as tables show them, and the gain between them."""
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
