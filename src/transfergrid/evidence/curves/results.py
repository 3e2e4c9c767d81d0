"""The result types of curves: points, measures, charges and notes."""

from __future__ import annotations

from dataclasses import dataclass

from transfergrid.evidence.curves.measures import Axis, Measure, Sides
from transfergrid.evidence.curves.source_cost import SourceCost
from transfergrid.evidence.curves.summary import CurveMeasures
from transfergrid.records.cell import Labels


@dataclass(frozen=True)
class CurvePoint:
    """One point of both curves: means over blocks with *uncorrected* 95 % intervals, in points.

    Scores are not oriented; gains are oriented so that more is better.
    """

    x: float
    """Labels per class or in total, or batches seen."""
    n: int
    arm_mean: float | None
    arm_low: float | None
    arm_high: float | None
    baseline_mean: float | None
    baseline_low: float | None
    baseline_high: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The curves of one arm and its baseline at the same points, with their measures."""

    source: str | None
    architecture: str | None
    strategy: str
    target: str
    baseline: str
    against: Axis
    labels: Labels | None
    """The label budget of a curve against steps; None for one against labels."""
    metric: str
    unit: str
    n: int
    """Seed blocks in which both arms have a score at every point."""
    scope: str
    """What the intervals cover."""
    points: tuple[CurvePoint, ...]
    beside: CurvePoint | None
    """The point for all labels, if these are drawn in another way than the curve's budgets."""
    threshold: float
    """The score p of `reach` and `efficiency`, in points."""
    threshold_given: bool
    """Whether the user gave it; otherwise it was chosen from these curves."""
    measures: CurveMeasures
    charged: CurveMeasures | None
    """The measures with the source's cost charged to the arm; None if that is unknown or zero."""
    charge: float | None
    """The charge, in the unit of the axis; None if unknown."""
    break_even: Measure
    """How many targets must share the source until transfer reaches p at the lower cost."""
    cost: SourceCost
    overfitting: Sides
    """Training minus test score of the chosen weights, the mean over the curve's budgets."""
    one_checkpoint: bool
    """Whether the curve is about a single set of source weights, not about a way of training
    them."""
    placebo: bool
    """Whether the source is a placebo, which has nothing to teach."""
    notes: tuple[str, ...]
    cells: tuple[str, ...]
    """The ids of the arm's cells."""
    baseline_cells: tuple[str, ...]
    protocol: int
    """The protocol of these cells."""


@dataclass(frozen=True)
class NoCurve:
    """An arm without a curve, and the reason."""

    source: str | None
    strategy: str
    target: str
    baseline: str
    labels: Labels | None
    reason: str
