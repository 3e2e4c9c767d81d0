"""Measures of features that need no training: probes, distances, similarities. NumPy alone.

All take features (n, d), one row per example.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

NEIGHBOURS = 5
TEMPERATURE = 0.07
"""Votes weigh exp(similarity / temperature) (Wu et al. 2018; Caron et al. 2021)."""
PENALTIES = np.logspace(-4, 2, 7)
"""Ridge penalties, in mean eigenvalues of the Gram matrix; the leave-one-out error chooses one."""
TINY = 1e-12


@dataclass(frozen=True)
class Ridge:
    """Ridge regression on classes or domains, with an intercept that is not penalised."""

    left_out: Floats
    """(n, classes): exact leave-one-out predictions for each example."""
    rows: Floats
    weights: Floats
    centre: Floats
    offset: Floats
    scale: float

    def predict(self, features: Floats) -> Floats:
        """Return scores (m, classes) for other examples."""
        return (_wide(features) / self.scale - self.centre) @ self.rows.T @ self.weights + (
            self.offset
        )


def ridge(features: Floats, targets: Floats) -> Ridge:
    """Fit `targets` (n, classes) in the dual, with the penalty of least leave-one-out error.

    An example's leave-one-out residual is r / (1 - h), h its leverage (Allen 1974, PRESS).
    """
    rows, n = _wide(features), len(features)
    scale = float(np.sqrt(np.mean((rows - rows.mean(axis=0)) ** 2))) or 1.0
    rows = rows / scale
    centre, offset = rows.mean(axis=0), targets.mean(axis=0)
    rows = rows - centre
    values, vectors = np.linalg.eigh(rows @ rows.T)
    values = np.maximum(values, 0.0)
    turned = vectors.T @ (targets - offset)
    best: tuple[float, Floats, Floats] | None = None
    for penalty in PENALTIES * max(float(values.mean()), TINY):
        kept = values / (values + penalty)
        fitted = vectors @ (kept[:, None] * turned)
        leverage = 1.0 / n + (vectors**2) @ kept
        residual = (targets - offset - fitted) / np.maximum(1.0 - leverage, TINY)[:, None]
        error = float((residual**2).sum())
        if best is None or error < best[0]:
            best = error, targets - residual, vectors @ (turned / (values + penalty)[:, None])
    assert best is not None
    return Ridge(best[1], rows, best[2], centre, offset, scale)


def one_hot(labels: Labels, classes: int) -> Floats:
    """Return labels (n,) as one-hot rows (n, classes)."""
    return np.asarray(np.eye(classes)[labels])


def linear_accuracy(features: Floats, labels: Labels, classes: int) -> float:
    """Return the leave-one-out accuracy of ridge regression on one-hot classes."""
    said = ridge(features, one_hot(labels, classes)).left_out.argmax(axis=1)
    return float((said == labels).mean())


def knn_accuracy(features: Floats, labels: Labels, classes: int) -> float:
    """Return the leave-one-out accuracy of weighted nearest neighbours by cosine.

    Features are centred. Five neighbours vote; one if a class has no more than five examples.
    """
    rows = _wide(features) - _wide(features).mean(axis=0)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), TINY)
    similar = rows @ rows.T
    np.fill_diagonal(similar, -np.inf)
    counts = np.bincount(labels)
    k = NEIGHBOURS if counts[counts > 0].min() > NEIGHBOURS else 1
    nearest = np.argsort(-similar, axis=1, kind="stable")[:, :k]
    weights = np.exp(np.take_along_axis(similar, nearest, axis=1) / TEMPERATURE)
    votes = np.zeros((len(labels), classes))
    np.add.at(votes, (np.arange(len(labels))[:, None], labels[nearest]), weights)
    return float((votes.argmax(axis=1) == labels).mean())


def proxy_a_distance(source: Floats, target: Floats) -> float:
    """Return 2 (1 - 2e), at least 0, e the leave-one-out error of telling source from target.

    Ben-David et al. 2007, section 4, with ridge regression; both sides have equally many examples.
    """
    side = np.r_[np.ones(len(source)), -np.ones(len(target))][:, None]
    left_out = ridge(np.concatenate([_wide(source), _wide(target)]), side).left_out
    error = float((np.sign(left_out) != side).mean())
    return max(0.0, 2.0 * (1.0 - 2.0 * error))


def matching(source: Floats, source_labels: Labels, target: Floats, labels: Labels) -> float:
    """Return the share of target examples whose nearest source class mean is of their own class."""
    known = np.unique(source_labels)
    means = np.stack([_wide(source)[source_labels == c].mean(axis=0) for c in known])
    distances = (means**2).sum(axis=1) - 2.0 * _wide(target) @ means.T
    return float((known[distances.argmin(axis=1)] == labels).mean())


def cka(one: Floats, other: Floats) -> float | None:
    """Return linear CKA (Kornblith et al. 2019) with unbiased HSIC, clipped to [0, 1].

    The biased estimate approaches 1 if there are more features than examples (Nguyen et al. 2021,
    equation 3; Song et al. 2012). None for fewer than four examples or a constant side.
    """
    if len(one) < 4:
        return None
    grams = [_gram(side) for side in (one, other)]
    both, first, second = _hsic(*grams), _hsic(grams[0], grams[0]), _hsic(grams[1], grams[1])
    if first <= TINY or second <= TINY:
        return None
    return float(np.clip(both / np.sqrt(first * second), 0.0, 1.0))


def _gram(features: Floats) -> Floats:
    """Return the Gram matrix (n, n), zero on its diagonal, of features scaled to unit size."""
    rows = _wide(features) - _wide(features).mean(axis=0)
    rows = rows / max(float(np.sqrt((rows**2).sum(axis=1).mean())), TINY)
    gram = rows @ rows.T
    np.fill_diagonal(gram, 0.0)
    return np.asarray(gram)


def _hsic(k: Floats, l: Floats) -> float:  # noqa: E741
    """Return the unbiased HSIC of zero-diagonal Gram matrices (Song et al. 2012, equation 5)."""
    n = len(k)
    trace = float((k * l).sum())
    sums = float(k.sum() * l.sum()) / ((n - 1) * (n - 2))
    mixed = 2.0 / (n - 2) * float(k.sum(axis=0) @ l.sum(axis=0))
    return (trace + sums - mixed) / (n * (n - 3))


def _wide(features: Floats) -> Floats:
    return np.asarray(features, dtype=np.float64)
