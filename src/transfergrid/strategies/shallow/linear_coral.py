"""Source features whitened, and re-coloured with the target's covariance (CORAL)."""

import numpy as np

from transfergrid.strategies import Positive, Range
from transfergrid.strategies.closed_form.softmax_regression import Floats
from transfergrid.strategies.shallow.frozen import C, Frozen, OnFrozenFeatures, linear_head, spread


def recolouring(source: Floats, target: Floats, ridge: float) -> Floats:
    """Return A = (C_s + ridge I)^-1/2 (C_t + ridge I)^1/2, (d, d), to be applied as x A.

    Covariances have the divisor n - 1 (Sun, Feng & Saenko 2016, algorithm 1).

    Args:
        source: features, (n, d), n from 2.
        target: features, (m, d), m from 2.
        ridge: ridge, in the unit of the variances.
    """
    return _power(source, ridge, -0.5) @ _power(target, ridge, 0.5)


def _power(rows: Floats, ridge: float, exponent: float) -> Floats:
    """Return the symmetric matrix (C + ridge I)^exponent, C being the covariance of rows."""
    values, axes = np.linalg.eigh(np.atleast_2d(np.cov(rows.T)))
    return np.asarray((axes * (np.maximum(values, 0.0) + ridge) ** exponent) @ axes.T)


class LinearCoral(OnFrozenFeatures):
    """Shallow CORAL: source features get the target's covariance, and a linear head is fitted.

    Both domains are divided by one number, so that the mean variance of a feature is 1, and each is
    centred at its own mean. The algorithm assumes normalised features; the authors' data are
    standardised feature by feature, each domain apart. `centred=false` leaves the means as they
    are, so that only second moments are aligned. Target examples are not transformed, apart from
    the subtraction of the target's mean. The record tells the distance |C_s - C_t|^2 / (4 d^2)
    before and after, in these units.

    Formula:
        x_s <- (x_s - m_s) (C_s + r I)^-1/2 (C_t + r I)^1/2, covariances with n - 1; then a linear
        head on these and on x_t - m_t
    Try it:
        first of the mapping methods: it has no number of dimensions to choose; with fewer examples
        than features the ridge determines most of the result
    Cost:
        two eigendecompositions of d features: seconds; a prediction costs what the source's costs
    Source:
        Sun, Feng & Saenko 2016, Return of Frustratingly Easy Domain Adaptation, AAAI, arXiv
        1511.05547, algorithm 1

    Args:
        ridge: r, added to all variances.
        centred: whether each domain's mean is subtracted.
        c: C of the head.
    """

    space = {"c": C, "ridge": Range(1e-3, 10.0, default=1.0)}
    also_called = ("coral_shallow", "shallow_coral")
    badges = ("formula_exact",)
    finds = ("distance_before", "distance_after")

    def __init__(self, ridge: Positive = 1.0, centred: bool = True, c: Positive = 1.0) -> None:
        super().__init__(c)
        self.ridge, self.centred = ridge, centred

    def adapt(self, seen: Frozen) -> None:
        width = seen.source.shape[1]
        unit = spread(np.vstack([seen.source, seen.target])) / np.sqrt(width)
        source, target, labelled = (
            rows / unit for rows in (seen.source, seen.target, seen.labelled)
        )
        ours, theirs = (rows.mean(axis=0) * self.centred for rows in (source, target))
        moved = (source - ours) @ recolouring(source, target, self.ridge)
        self.note(
            distance_before=covariances_apart(source, target),
            distance_after=covariances_apart(moved, target),
        )
        rows = np.vstack([moved, labelled - theirs])
        weights, biases = linear_head(self.task, rows, seen.pooled_labels, self.c)
        self.put(weights / unit, biases - weights @ theirs)


def covariances_apart(source: Floats, target: Floats) -> float:
    """Return |C_s - C_t|^2 / (4 d^2), the distance that Deep CORAL minimises."""
    apart = np.atleast_2d(np.cov(source.T) - np.cov(target.T))
    return float(np.square(apart).sum() / (4 * source.shape[1] ** 2))
