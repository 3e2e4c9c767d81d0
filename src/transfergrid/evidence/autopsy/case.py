"""The input of an autopsy, a cell and its baselines; and its output, causes."""

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
"""The relative change of a block's weights below which they count as unchanged: some thousands of
AdamW steps at a learning rate of 1e-6 change less, ten steps at a usual rate change more."""


@dataclass(frozen=True)
class Remedy:
    """A strategy or arm that would be cheap to try next."""

    strategy: str
    """A name in `conf/strategy`."""
    why: str


@dataclass(frozen=True)
class Cause:
    """One possible cause, judged."""

    name: str
    strength: float
    """From 0 (no sign of it) to 1; by the thresholds documented beside its function."""
    evidence: str
    """The numbers, in plain words."""
    remedy: Remedy


@dataclass(frozen=True)
class Case:
    """A cell and the cells of its seed block that it is compared with.

    Args:
        cell: a done cell.
        baseline: its primary baseline's cell, if done.
        placebo: the same arm with a placebo of the same source, in the same block.
        read: returns per-example predictions by id; raises `BadInputError` if there are none.
    """

    cell: Record
    baseline: Record | None = None
    placebo: Record | None = None
    read: Read | None = field(default=None, repr=False)

    @property
    def found(self) -> Diagnostics:
        """The cell's diagnostics; empty for an older record."""
        return self.cell.diagnostics or Diagnostics()

    @property
    def reference(self) -> Diagnostics:
        """The baseline's diagnostics; empty if there are none."""
        told = self.baseline.diagnostics if self.baseline else None
        return told or Diagnostics()

    @property
    def strategy(self) -> str:
        """The strategy's name."""
        return self.cell.names.strategy

    @property
    def source_need(self) -> str:
        """The part of the source that the strategy uses; see `strategies.needs`."""
        return str(self.cell.needs.get("source", "weights"))

    @property
    def starts_from_source(self) -> bool:
        """Whether the backbone was initialised with weights that the source had learned."""
        teacher = self.cell.needs.get("teacher", False)
        return self.source_need == "weights" and not teacher and bool(self.cell.names.source)

    @cached_property
    def gain(self) -> Estimate | None:
        """The gain over the baseline, in points, with its interval over test items."""
        if self.baseline is None or self.cell.score is None or self.baseline.score is None:
            return None
        return estimated([(self.cell, self.baseline)], self.read)

    @property
    def lost(self) -> float | None:
        """How many points the cell is below its baseline, at least 0; None without a baseline."""
        return None if self.gain is None else max(0.0, -self.gain.mean)

    @property
    def did_not_gain(self) -> float:
        """Return 1 if the cell is below its baseline or has none, 0 if it is not below.

        A cause of a loss explains nothing if there is a gain.
        """
        return 0.0 if self.gain and self.gain.mean >= 0 else 1.0

    @property
    def test_items(self) -> int:
        """The number of test examples, at least 1."""
        return max(self.cell.data.test, 1)

    @property
    def change(self) -> float | None:
        """The largest relative change of a block's weights; None if unknown."""
        drift = self.found.drift
        changes = [c for c in drift.weights if c is not None] if drift else []
        return max(changes) if changes else None

    @property
    def is_frozen(self) -> bool:
        """Whether the backbone is known to have kept all its weights."""
        return self.change == 0.0

    def said(self, record: Record | None) -> Predictions | None:
        """Return a record's predictions if they are kept and are classes, else None."""
        if record is None or self.read is None:
            return None
        try:
            said = self.read(record.id)
        except BadInputError:
            return None
        return said if isinstance(said, Predictions) and not said.of_numbers else None


def accuracy(record: Record | None, part: str) -> float | None:
    """Return the accuracy on a part of a record's examples; None if unknown."""
    scores = getattr(record.scores, part) if record is not None else None
    return (scores or {}).get("accuracy")


def chance(record: Record) -> float | None:
    """Return the share of the most frequent class among the labels that the cell was given."""
    counts = record.data.per_class.values()
    return max(counts) / sum(counts) if counts and sum(counts) else None


def above_chance(value: float, floor: float) -> float:
    """Return an accuracy rescaled so that chance is 0 and perfect is 1; may be negative."""
    return (value - floor) / (1.0 - floor) if floor < 1 else 0.0


def ramp(value: float, low: float, high: float) -> float:
    """Return 0 at `low` and 1 at `high`, linear between, constant beyond; `high` may be lower."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def binomial_se(share: float, n: int) -> float:
    """Return the standard error of a share of `n` items, after adding one right and one wrong."""
    smooth = (share * n + 1) / (n + 2)
    return math.sqrt(smooth * (1 - smooth) / n)


def in_unit(gain: float, metric: Metric) -> str:
    """Return a gain as text, in points or in the metric's own unit."""
    return f"{gain:+.1f} points" if unit(metric) else f"{gain:+.3g} in {metric.name}"


def percent(value: float | None) -> str:
    """Return an accuracy as text, in per cent."""
    return "–" if value is None else f"{100 * value:.1f} %"
