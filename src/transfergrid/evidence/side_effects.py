"""What else came with a gain: calibration, overfitting, what of the source task was forgotten."""

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
    """A difference of arm and baseline, mean over paired seeds, with a 95 % interval over seeds.

    It speaks of this test set: that its items are a sample is not in the interval.
    """

    n: int
    arm: float
    baseline: float | None
    change: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SideEffects:
    """What came with one gain; None where it is not known."""

    verdict: Verdict
    calibration: Change | None
    """Expected calibration error on test, in points; lower is better."""
    overfitting: Change | None
    """Score on the arm's own training examples less its test score, in points, or in the unit that
    the metric has of its own; of errors negated, so that a gap above zero is overfitting."""
    forgetting: Change | None
    """Accuracy of a linear probe on the source's own task, of the embeddings before adaptation
    (`baseline`) and after it (`arm`), in points; below zero the change is what was forgotten."""


def side_effects(
    verdict: Verdict,
    by_id: Mapping[str, Result],
    forgotten: Mapping[str, tuple[float, float]] | None = None,
) -> SideEffects:
    """Return what came with a gain.

    Args:
        verdict: of the comparison.
        by_id: results by identity.
        forgotten: by cell, accuracy (0 to 1) on the source task before and after adaptation.
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
    """Return how much better the arm does on its own training examples, 0 to 1 being all."""
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
