"""H-score: variance between classes relative to the total, as an optimal linear model sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from transfergrid.runs.scores.base import Features, Floats, Score, UndefinedScoreError, centred


@dataclass(frozen=True)
class HScore(Score):
    """trace(cov(f)^-1 cov(E[f | y])) (Bao et al. 2019), regularised.

    With fewer examples than dimensions cov(f) cannot be inverted, and a pseudo-inverse gives every
    source the greatest value. With `shrinkage`, cov(f) is the Ledoit-Wolf estimate with shrinkage
    a, and cov(E[f | y]) is multiplied by 1 - a (Ibrahim et al. 2022). Without it the score is
    invariant to invertible affine maps of the features; with it, to rotation and scale.
    In [0, min(d, K - 1)] for K classes that occur.

    Attributes:
        shrinkage: whether to regularise.
    """

    paper = "Bao et al. 2019, H-score; Ibrahim et al. 2022, regularised"

    shrinkage: bool = True

    @override
    def bounds(self, features: Features) -> tuple[float, float]:
        return 0.0, float(min(features.target.shape[1], len(features.counts) - 1))

    @override
    def remarks(self, features: Features) -> tuple[str, ...]:
        n, d = features.target.shape
        if self.shrinkage or n > d:
            return ()
        return (f"saturated: {n} examples in {d} dimensions",)

    @override
    def compute(self, features: Features) -> float:
        spread = centred(features.target)
        if not spread.any():
            raise UndefinedScoreError("all examples have the same features")
        between = _class_means(spread, features.onehot)
        if self.shrinkage:
            return _shrunk(spread, between)
        inverse = np.linalg.pinv(spread.T @ spread / len(spread), hermitian=True)
        return float(np.einsum("nd,de,ne->", between, inverse, between) / len(spread))


def _class_means(spread: Floats, onehot: Floats) -> Floats:
    """Return class means M times the root of their size, (K, d): M^T M is n cov(E[f | y])."""
    size = onehot.sum(axis=0)[:, None]
    means: Floats = (onehot.T @ spread) / np.sqrt(size)
    return means


def _shrunk(spread: Floats, between: Floats) -> float:
    """Return the score with shrunk covariance, computed in the span of the examples.

    The class means lie in that span.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    n, d = spread.shape
    shrinkage = float(ledoit_wolf_shrinkage(spread, assume_centered=True))
    _, singular, axes = np.linalg.svd(spread, full_matrices=False)
    variance = (1 - shrinkage) * singular**2 / n + shrinkage * (singular**2).sum() / (n * d)
    along = (between @ axes.T) ** 2 / n
    kept = variance > variance.max() * 1e-12
    return float((1 - shrinkage) * (along[:, kept] / variance[kept]).sum())
