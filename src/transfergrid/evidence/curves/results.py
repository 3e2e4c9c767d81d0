"""What is known of one arm's curve: its points, its measures, what was charged, what to know."""

from __future__ import annotations

from dataclasses import dataclass

from transfergrid.evidence.curves.measures import Axis, Measure, Sides
from transfergrid.evidence.curves.source_cost import SourceCost
from transfergrid.evidence.curves.summary import CurveMeasures
from transfergrid.records.cell import Labels


@dataclass(frozen=True)
class CurvePoint:
    """One point of both curves: means over blocks with *uncorrected* 95 % intervals, in points.

    Scores are as the metric has them; gains are oriented so that more is better.
    """

    x: float
    """Labels a class or in total, or batches seen."""
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
    """One arm and its baseline at the same points, and what follows from them."""

    source: str | None
    architecture: str | None
    strategy: str
    target: str
    baseline: str
    against: Axis
    labels: Labels | None
    """The label budget of a curve against steps; None of one against labels."""
    metric: str
    unit: str
    n: int
    """Seed blocks in which both arms have a score at every point."""
    scope: str
    """What the intervals cover."""
    points: tuple[CurvePoint, ...]
    beside: CurvePoint | None
    """All labels, where they are drawn another way than the curve's budgets."""
    threshold: float
    """The score p of `reach` and `efficiency`, in points."""
    threshold_given: bool
    """Whether it was asked for; otherwise it was chosen from these curves."""
    measures: CurveMeasures
    charged: CurveMeasures | None
    """With the source's cost charged to the arm; None where that is unknown or nothing."""
    charge: float | None
    """What was charged, in the unit of the axis; None where it is unknown."""
    break_even: Measure
    """How many targets must share the source until transfer is the cheaper way to p."""
    cost: SourceCost
    overfitting: Sides
    """Training less test score of the chosen weights, the mean over the curve's budgets."""
    one_checkpoint: bool
    """Whether the curve speaks of one set of source weights, not of a way of making them."""
    placebo: bool
    """Whether the source is one that has nothing to teach."""
    notes: tuple[str, ...]
    cells: tuple[str, ...]
    """Identities of the arm's cells."""
    baseline_cells: tuple[str, ...]
    protocol: int
    """Of these cells."""


@dataclass(frozen=True)
class NoCurve:
    """An arm that has no curve, and why."""

    source: str | None
    strategy: str
    target: str
    baseline: str
    labels: Labels | None
    reason: str
