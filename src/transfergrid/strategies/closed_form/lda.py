"""Linear discriminant analysis on the frozen source: one shrunken covariance for all classes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfergrid.strategies import Baselines, Data, Needs, Phase, Range, Share, Sizes, Strategy
from transfergrid.strategies.closed_form.softmax_regression import Floats, Rows

NEVER = -1e9
"""The bias of a class without examples."""


def within(features: Floats, labels: NDArray[np.int64], classes: int) -> tuple[Floats, Floats]:
    """Return class means (classes, d), and features (n, d) minus the mean of their class."""
    counts = np.bincount(labels, minlength=classes)
    means = np.eye(classes)[labels].T @ features / np.maximum(counts, 1)[:, None]
    return means, features - means[labels]


def discriminants(
    features: Floats, labels: NDArray[np.int64], classes: int, shrinkage: float
) -> tuple[Floats, Floats]:
    """Return weights (classes, d) and biases (classes,); the softmax gives the posteriors.

    Args:
        features: (n, d).
        labels: (n,).
        classes: number of classes; one without examples is never predicted.
        shrinkage: share of the covariance that is replaced by its mean variance in all directions.
    """
    counts = np.bincount(labels, minlength=classes)
    known = counts > 0
    means, rows = within(features, labels, classes)
    weights = _solved(rows, shrinkage, means.T).T
    priors = np.log(np.maximum(counts, 1) / len(labels))
    biases = priors - np.einsum("kd,kd->k", weights, means) / 2
    return np.where(known[:, None], weights, 0.0), np.where(known, biases, NEVER)


def ledoit_wolf(rows: Floats) -> float:
    """Return Ledoit and Wolf's shrinkage (2004, lemma 3.2) for rows (n, d) minus class means.

    It is the summed variance of the covariance's entries over the squared distance of the
    covariance from a multiple of the identity, at most 1.
    """
    n, d = rows.shape
    gram = rows @ rows.T if n < d else rows.T @ rows
    total, squares = np.trace(gram) / n, np.square(gram).sum() / n**2
    noise = (np.square(np.square(rows).sum(axis=1)).sum() / n - squares) / n
    far = squares - total**2 / d
    return float(min(1.0, noise / far)) if far > 0 else 1.0


def _solved(deviations: Floats, shrinkage: float, right: Floats) -> Floats:
    """Return the inverse of the shrunken covariance times columns (d, k).

    It is computed in the span of the rows. If rows do not vary, the inverse is the identity;
    without shrinkage it is the pseudo-inverse.
    """
    rows = Rows.of(deviations)
    axes, variances = rows.back, rows.steepness[:-1]
    assert axes is not None
    mean = variances.sum() / deviations.shape[1]
    if mean == 0:
        return right
    inside = axes.T @ right
    found = axes @ (inside / ((1 - shrinkage) * variances + shrinkage * mean)[:, None])
    outside = right - axes @ inside
    return np.asarray(found + outside / (shrinkage * mean) if shrinkage > 0 else found)


class LDA(Strategy):
    """Linear discriminant analysis on the frozen source: Gaussian classes of one covariance.

    The covariance is that within classes, divided by n and shrunk towards its mean variance in all
    directions. Features are not standardised, while scikit-learn's `auto` standardises them first.
    Priors are the shares of the training labels: a balanced draw makes them equal whatever the
    pool's are. With one label a class nothing varies within classes, and the predictions are those
    of `prototypes`. The record tells the shrinkage that was used (`told`).

    Formula:
        w_k = S^-1 m_k;  b_k = log p_k - m_k' S^-1 m_k / 2;  S = (1 - s) W + s tr(W) / d I,
        W the covariance within classes

    Try it:
        From five labels a class on, where features are correlated: it learns from the spread of
        examples, which `prototypes` ignores. At shrinkage 1 it is nearest class means.

    Cost:
        One singular value decomposition of the n features: milliseconds. Prediction costs what the
        source costs.

    Source:
        Fisher 1936; Friedman 1989, Regularized Discriminant Analysis (JASA 84), equation 18; Ledoit
        & Wolf 2004 (J. Multivariate Analysis 88), lemma 3.2.

    Args:
        shrinkage: s, from 0 to 1; null: Ledoit and Wolf's, computed from the training features.
    """

    needs = Needs(steps=False, tasks=("classification",))
    baselines = Baselines(exploratory=["prototypes", "full_finetuning"])
    space = {"shrinkage": Range(0.1, 1.0, log=False, default=None)}
    transfers = "features"
    also_called = ("linear_discriminant_analysis", "fisher", "discriminant_analysis")
    badges = ("formula_exact",)

    def __init__(self, shrinkage: Share | None = None) -> None:
        super().__init__()
        self.shrinkage = shrinkage

    def build(self, sizes: Sizes) -> None:
        self.scaffold.register_buffer("taken", torch.zeros((), dtype=torch.float64))

    def phases(self) -> list[Phase]:
        return [Phase("solve", before=self.solve)]

    def tells(self) -> dict[str, Any]:
        return {"shrinkage": float(self.scaffold.get_buffer("taken"))}

    def solve(self, data: Data) -> None:
        """Set the head to the discriminants."""
        assert data.target is not None
        features = data.target.features().cpu().double().numpy()
        labels = data.target.labels.cpu().numpy()
        classes, shrinkage = self.task.outputs, self.shrinkage
        if shrinkage is None:
            shrinkage = ledoit_wolf(within(features, labels, classes)[1])
        self.scaffold.get_buffer("taken").fill_(shrinkage)
        weights, biases = discriminants(features, labels, classes, shrinkage)
        self.task.fill(self.head, torch.from_numpy(weights), torch.from_numpy(biases))
