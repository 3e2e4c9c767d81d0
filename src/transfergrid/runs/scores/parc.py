"""PARC: are examples with dissimilar features of different classes?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge
from typing_extensions import override

from transfergrid.runs.scores.base import Features, Floats, Score, UndefinedScoreError, principal


@dataclass(frozen=True)
class Parc(Score):
    """Spearman correlation of pairwise distances: of features, and of one-hot labels.

    Pairwise annotation representation comparison (Bolya et al. 2021): a distance is one minus
    Pearson's correlation of two rows, over all pairs of examples. In [-1, 1]; the paper
    multiplies it by 100. Pearson's correlation over principal components depends on their signs;
    see `base.principal`.

    Attributes:
        dimensions: number of principal components.
    """

    paper = "Bolya et al. 2021, PARC"

    dimensions: Annotated[int, Ge(2)] = 32

    @override
    def bounds(self, features: Features) -> tuple[float, float]:
        return -1.0, 1.0

    @override
    def compute(self, features: Features) -> float:
        from scipy.stats import spearmanr

        reduced = principal(features.target, self.dimensions)
        if reduced.shape[1] < 2:
            raise UndefinedScoreError("the features vary in one direction only")
        alike, above = features.onehot @ features.onehot.T, np.triu_indices(len(reduced), 1)
        if len(set(alike[above])) < 2:
            raise UndefinedScoreError("one label a class: no two examples are alike")
        # Pearson's correlation of two one-hot rows has only two values, one for equal classes
        return float(spearmanr(pearson_distances(reduced)[above], -alike[above]).statistic)


def pearson_distances(rows: Floats) -> Floats:
    """Return one minus Pearson's correlation of each pair of rows, (n, n)."""
    about = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(about, axis=1, keepdims=True)
    unit = about / np.where(length > 0, length, 1.0)
    distances: Floats = 1.0 - unit @ unit.T
    return distances
