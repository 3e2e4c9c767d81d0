"""Side effects of a gain: calibration, overfitting, and forgetting of the source task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.statistics.intervals import over_blocks
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.points import oriented


@dataclass(frozen=True)
class Change:
    """The difference between arm and baseline, mean over paired seeds, with its 95 % interval.

    The interval covers seeds only and holds for this test set: the sampling of items is not in it.
    """

    n: int
    arm: float
    baseline: float | None
    change: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SideEffects:
    """The side effects of one gain; None if not known."""

    verdict: Verdict
    calibration: Change | None
    """Expected calibration error on the test items, in points; lower is better."""
    overfitting: Change | None
    """The score on the arm's own training examples minus its test score, in points or in the
    metric's own unit. For errors it is negated, so that a gap above zero means overfitting."""
    forgetting: Change | None
    """Accuracy of a linear probe on the source's own task, in points, on the embeddings before
    (`baseline`) and after (`arm`) adaptation. A change below zero is forgetting."""


def side_effects(
    verdict: Verdict,
    by_id: Mapping[str, Result],
    forgotten: Mapping[str, tuple[float, float]] | None = None,
) -> SideEffects:
    """Return the side effects of a gain.

    Args:
        verdict: the verdict of the comparison.
        by_id: results by id.
        forgotten: by cell id, accuracy (0 to 1) on the source task before and after adaptation.
    """
    pairs = [
        (by_id[arm], by_id[base])
        for arm, base in zip(verdict.cells, verdict.baseline_cells, strict=True)
    ]
    ece = [(a.ece, b.ece) for a, b in pairs]
    gaps = [(_gap(a), _gap(b)) for a, b in pairs]
    known = [(forgotten or {}).get(cell) for cell in verdict.cells]
    lost = [(pair[1], pair[0]) for pair in known if pair is not None]
    return SideEffects(verdict, _change(ece), _change(gaps), _change(lost))


def _gap(cell: Result) -> float | None:
    """Return by how much the training score exceeds the test score; 1 is 100 points."""
    if cell.train_score is None or cell.score is None:
        return None
    return oriented(cell.metric) * (cell.train_score - cell.score) / 100.0


def _change(pairs: Sequence[tuple[float | None, float | None]]) -> Change | None:
    whole = [(100 * a, 100 * b) for a, b in pairs if a is not None and b is not None]
    if not whole:
        return None
    arm, baseline = np.array(whole).T
    estimate = over_blocks(arm - baseline)
    low, high = estimate.interval()
    return Change(len(whole), float(arm.mean()), float(baseline.mean()), estimate.mean, low, high)
