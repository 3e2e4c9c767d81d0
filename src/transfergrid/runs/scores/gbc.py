"""GBC: how much the classes overlap, each seen as a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from typing_extensions import override

from transfergrid.records.arguments import Count
from transfergrid.runs.scores.base import (
    Features,
    Floats,
    Ints,
    Score,
    UndefinedScoreError,
    principal,
)

FLOOR = 1e-6
"""Least variance of a class, as a share of the mean variance, so that none is 0."""


@dataclass(frozen=True)
class Gbc(Score):
    """Minus the sum of Bhattacharyya coefficients of all ordered pairs of classes.

    Pandy et al. 2022: -sum_{i != j} exp(-D_B(i, j)), on principal components. Classes with
    one example have no variance and are left out. In [-K(K - 1), 0] for the K other classes.

    Attributes:
        covariance: "spherical": one variance per class; "diagonal": one per class and dimension.
        dimensions: number of principal components.
    """

    paper = "Pandy et al. 2022, Gaussian Bhattacharyya coefficient"

    covariance: Literal["spherical", "diagonal"] = "spherical"
    dimensions: Count = 64

    @override
    def bounds(self, features: Features) -> tuple[float, float]:
        k = int((features.counts > 1).sum())
        return -float(k * (k - 1)), 0.0

    @override
    def remarks(self, features: Features) -> tuple[str, ...]:
        alone = int((features.counts == 1).sum())
        plural = "class" if alone == 1 else "classes"
        return (f"{alone} {plural} with one example left out",) if alone else ()

    @override
    def compute(self, features: Features) -> float:
        if (features.counts > 1).sum() < 2:
            raise UndefinedScoreError("fewer than two classes with two examples or more")
        means, variances = self._gaussians(
            principal(features.target, self.dimensions), features.known
        )
        overlap = np.exp(-bhattacharyya(means, variances))
        return -float(overlap.sum() - np.trace(overlap))

    def _gaussians(self, reduced: Floats, labels: Ints) -> tuple[Floats, Floats]:
        """Return means and variances (K, k) of the classes that have two examples or more."""
        names, counts = np.unique(labels, return_counts=True)
        groups = [reduced[labels == name] for name in names[counts > 1]]
        variances = np.stack([group.var(axis=0, ddof=1) for group in groups])
        if self.covariance == "spherical":
            variances = np.repeat(variances.mean(axis=1, keepdims=True), reduced.shape[1], axis=1)
        floor = FLOOR * float(reduced.var(axis=0).mean())
        return np.stack([group.mean(axis=0) for group in groups]), np.maximum(variances, floor)


def bhattacharyya(means: Floats, variances: Floats) -> Floats:
    """Return the pairwise Bhattacharyya distances of Gaussians with diagonal covariance, (K, K).

    1/8 (m1 - m2)^T S^-1 (m1 - m2) + 1/2 log(|S| / sqrt(|S1| |S2|)) with S = (S1 + S2) / 2.
    """
    rows = [
        _to_all(mean, variance, means, variances)
        for mean, variance in zip(means, variances, strict=True)
    ]
    return np.stack(rows)


def _to_all(mean: Floats, variance: Floats, means: Floats, variances: Floats) -> Floats:
    middle = (variance + variances) / 2
    apart = ((mean - means) ** 2 / middle).sum(axis=1) / 8
    logs = np.log(middle) - (np.log(variance) + np.log(variances)) / 2
    distance: Floats = apart + logs.sum(axis=1) / 2
    return distance
