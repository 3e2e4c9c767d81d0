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
    """Return the means of classes (classes, d), and features (n, d) less that of their own."""
    counts = np.bincount(labels, minlength=classes)
    means = np.eye(classes)[labels].T @ features / np.maximum(counts, 1)[:, None]
    return means, features - means[labels]


def discriminants(
    features: Floats, labels: NDArray[np.int64], classes: int, shrinkage: float
) -> tuple[Floats, Floats]:
    """Return weights (classes, d) and biases (classes,) whose softmax are the posteriors.

    Args:
        features: (n, d).
        labels: (n,).
        classes: how many there are; one without examples is never predicted.
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
    """Return the shrinkage of rows (n, d) less the means of their classes: lemma 3.2 of 2004.

    It is the share of the variance of the covariance's entries in how far it is from a sphere.
    """
    n, d = rows.shape
    gram = rows @ rows.T if n < d else rows.T @ rows
    total, squares = np.trace(gram) / n, np.square(gram).sum() / n**2
    noise = (np.square(np.square(rows).sum(axis=1)).sum() / n - squares) / n
    far = squares - total**2 / d
    return float(min(1.0, noise / far)) if far > 0 else 1.0


def _solved(deviations: Floats, shrinkage: float, right: Floats) -> Floats:
    """Return the shrunken covariance's inverse times columns (d, k), in the span of the rows.

    Of rows that do not vary it is the identity; without shrinkage, the pseudo-inverse.
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

    The covariance is that within classes, divided by n, and shrunk towards its mean variance in all
    directions; on features as they are, where scikit-learn's `auto` standardises them first. Priors
    are the shares of the training labels, which an even draw makes even whatever the pool is. With
    one label a class nothing varies within, and it predicts the classes that `prototypes` does. The
    record tells the shrinkage that was taken (`told`).

    Formula:
        w_k = S^-1 m_k;  b_k = log p_k - m_k' S^-1 m_k / 2;  S = (1 - s) W + s tr(W) / d I,
        W the covariance within classes

    Try it:
        From five labels a class on, where features vary together: it learns from how examples
        spread, which `prototypes` does not see. At shrinkage 1 it is nearest means.

    Cost:
        One singular value decomposition of the n features: milliseconds. A prediction costs what
        the source's costs.

    Source:
        Fisher 1936; Friedman 1989, Regularized Discriminant Analysis (JASA 84), equation 18; Ledoit
        & Wolf 2004 (J. Multivariate Analysis 88), lemma 3.2.

    Args:
        shrinkage: s, from 0 to 1; null for Ledoit and Wolf's, chosen from the training features.
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
        """Set the head."""
        assert data.target is not None
        features = data.target.features().cpu().double().numpy()
        labels = data.target.labels.cpu().numpy()
        classes, shrinkage = self.task.outputs, self.shrinkage
        if shrinkage is None:
            shrinkage = ledoit_wolf(within(features, labels, classes)[1])
        self.scaffold.get_buffer("taken").fill_(shrinkage)
        weights, biases = discriminants(features, labels, classes, shrinkage)
        self.task.fill(self.head, torch.from_numpy(weights), torch.from_numpy(biases))
