"""A cell under an autopsy, with what it is compared with; and what a cause is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

from transfergrid.evidence.measured.gains import estimated
from transfergrid.evidence.measured.outcomes import Read
from transfergrid.evidence.statistics.intervals import Estimate
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.findings import Diagnostics
from transfergrid.records.points import unit
from transfergrid.records.record import Metric, Record

MOVED = 0.02
"""Relative change of a block's weights below which it stands where it stood: some thousands of
AdamW steps at a rate of 1e-6 do less, ten at a usual rate do more."""


@dataclass(frozen=True)
class Remedy:
    """A strategy, or another arm, that would be cheap to try next."""

    strategy: str
    """A name in `conf/strategy`."""
    why: str


@dataclass(frozen=True)
class Cause:
    """One possible cause, judged."""

    name: str
    strength: float
    """From 0, no sign of it, to 1; by the thresholds that its function documents."""
    evidence: str
    """The numbers, in plain words."""
    remedy: Remedy


@dataclass(frozen=True)
class Case:
    """What is known of a cell and of its seed block.

    Args:
        cell: a done cell.
        baseline: its primary baseline's cell, where it is done.
        placebo: the same arm with a placebo of the same source, in the same block.
        read: gives per-example predictions by id; raises `BadInputError` if there are none.
    """

    cell: Record
    baseline: Record | None = None
    placebo: Record | None = None
    read: Read | None = field(default=None, repr=False)

    @property
    def found(self) -> Diagnostics:
        """The cell's diagnostics; empty ones of an older record."""
        return self.cell.diagnostics or Diagnostics()

    @property
    def reference(self) -> Diagnostics:
        """The baseline's diagnostics; empty where there are none."""
        told = self.baseline.diagnostics if self.baseline else None
        return told or Diagnostics()

    @property
    def strategy(self) -> str:
        """The strategy's name."""
        return self.cell.names.strategy

    @property
    def source_need(self) -> str:
        """What the strategy takes of its source; see `strategies.needs`."""
        return str(self.cell.needs.get("source", "weights"))

    @property
    def starts_from_source(self) -> bool:
        """Whether the backbone began with weights that the source had learned."""
        teacher = self.cell.needs.get("teacher", False)
        return self.source_need == "weights" and not teacher and bool(self.cell.names.source)

    @cached_property
    def gain(self) -> Estimate | None:
        """The gain over the baseline, in points, with the interval that test items give it."""
        if self.baseline is None or self.cell.score is None or self.baseline.score is None:
            return None
        return estimated([(self.cell, self.baseline)], self.read)

    @property
    def lost(self) -> float | None:
        """By how many points the cell is below its baseline, at least 0; None without one."""
        return None if self.gain is None else max(0.0, -self.gain.mean)

    @property
    def did_not_gain(self) -> float:
        """Return 1 where the cell is below its baseline or has none, 0 where it is above.

        What explains a loss explains nothing where there is a gain.
        """
        return 0.0 if self.gain and self.gain.mean >= 0 else 1.0

    @property
    def test_items(self) -> int:
        """How many test examples there are."""
        return max(self.cell.data.test, 1)

    @property
    def change(self) -> float | None:
        """The largest relative change of a block's weights; None if unknown."""
        drift = self.found.drift
        changes = [c for c in drift.weights if c is not None] if drift else []
        return max(changes) if changes else None

    @property
    def is_frozen(self) -> bool:
        """Whether the backbone is known to have kept every weight."""
        return self.change == 0.0

    def said(self, record: Record | None) -> Predictions | None:
        """Return a record's predictions, if they are kept, and of classes: causes tell of these."""
        if record is None or self.read is None:
            return None
        try:
            said = self.read(record.id)
        except BadInputError:
            return None
        return said if isinstance(said, Predictions) and not said.of_numbers else None


def accuracy(record: Record | None, part: str) -> float | None:
    """Return the accuracy on a part of a record's examples, if it is known."""
    scores = getattr(record.scores, part) if record is not None else None
    return (scores or {}).get("accuracy")


def chance(record: Record) -> float | None:
    """Return the share of the most frequent class among the labels that the cell was given."""
    counts = record.data.per_class.values()
    return max(counts) / sum(counts) if counts and sum(counts) else None


def above_chance(value: float, floor: float) -> float:
    """Return an accuracy with chance as 0 and perfect as 1; may be negative."""
    return (value - floor) / (1.0 - floor) if floor < 1 else 0.0


def ramp(value: float, low: float, high: float) -> float:
    """Return 0 at `low`, 1 at `high`, straight between and flat beyond; `high` may be the lower."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def binomial_se(share: float, n: int) -> float:
    """Return the standard error of a share of `n` items; one right and one wrong are added."""
    smooth = (share * n + 1) / (n + 2)
    return math.sqrt(smooth * (1 - smooth) / n)


def in_unit(gain: float, metric: Metric) -> str:
    """Write a gain in points, or in the metric's own unit."""
    return f"{gain:+.1f} points" if unit(metric) else f"{gain:+.3g} in {metric.name}"


def percent(value: float | None) -> str:
    """Write an accuracy in points."""
    return "–" if value is None else f"{100 * value:.1f} %"
