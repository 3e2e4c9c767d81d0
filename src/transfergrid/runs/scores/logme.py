"""LogME: how likely the labels are under a Bayesian linear model of the features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from transfergrid.runs.scores.base import Features, Floats, Score, UndefinedScoreError

GRID = np.linspace(-30.0, 30.0, 121)
"""Log ratios of the two precisions, relative to the features' own scale."""


@dataclass(frozen=True)
class LogMe(Score):
    """Maximum log evidence of one-vs-rest labels per example and class (You et al. 2021).

    For each class, y = F w + noise with w ~ N(0, 1/alpha) and noise ~ N(0, 1/beta). The paper finds
    alpha and beta by fixed-point iteration. Here the evidence is maximised directly over the ratio
    alpha/beta (the rest has a closed form), which also works where the iteration diverges.
    Invariant to rotation and scale. No bounds.

    For labels that are numbers, y is each output, standardised: so units have no effect.
    """

    paper = "You et al. 2021, LogME"
    takes_numbers: ClassVar[bool] = True

    @override
    def compute(self, features: Features) -> float:
        left, singular, _ = np.linalg.svd(features.target, full_matrices=False)
        kept = singular > singular[0] * 1e-10
        if not kept.any():
            raise UndefinedScoreError("all features are zero")
        basis, power = left[:, kept], singular[kept] ** 2
        columns = features.standardised if features.of_numbers else features.onehot
        each = [evidence(y, basis, power) for y in columns.T]
        return float(np.mean(each)) / len(features.target)


def evidence(y: Floats, basis: Floats, power: Floats) -> float:
    """Return max over alpha and beta of log N(y | 0, I/beta + F F^T/alpha).

    Args:
        y: (n,) labels of one class.
        basis: (n, r) left singular vectors of F.
        power: (r,) squared singular values.

    Raises:
        UndefinedScoreError: the features give the labels exactly, so that beta has no maximum.
    """
    from scipy.optimize import minimize_scalar

    along = (basis.T @ y) ** 2
    beyond = max(float(y @ y - along.sum()), 0.0)
    n, scale = len(y), math.log(float(power.max()))
    if len(power) < n and beyond <= 1e-12 * float(y @ y):
        raise UndefinedScoreError("the features give the labels exactly: the evidence is infinite")

    def loss(log_ratio: float) -> float:
        return -_profile(log_ratio + scale, along, beyond, power, n)

    coarse = [loss(value) for value in GRID]
    best = float(GRID[int(np.argmin(coarse))])
    step = float(GRID[1] - GRID[0])
    fine = minimize_scalar(
        loss, bounds=(best - step, best + step), method="bounded", options={"xatol": 1e-10}
    )
    return -min(float(fine.fun), min(coarse))


def _profile(log_ratio: float, along: Floats, beyond: float, power: Floats, n: int) -> float:
    """Return the log evidence at alpha/beta = exp(log_ratio), with the best beta for it."""
    gain = np.log1p(power * math.exp(-log_ratio))
    noise = (float((along * np.exp(-gain)).sum()) + beyond) / n  # 1 / beta
    return -0.5 * (n * math.log(2 * math.pi * noise) + n + float(gain.sum()))
