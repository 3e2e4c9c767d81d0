"""Linear CKA: are features similar where labels are equal?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from transfergrid.runs.scores.base import Features, Floats, Score, UndefinedScoreError

LEAST = 4


@dataclass(frozen=True)
class LinearCka(Score):
    """Linear centred kernel alignment of the source's features of the target with one-hot labels.

    Kornblith et al. 2019, with the labels as reference (kernel-target alignment, Cortes et
    al. 2012), because that has a direction: closer to the labels is better for the target. The
    other usual reference, the same architecture with random weights, only shows whether training
    moved the features, not whether that helped.

    Attributes:
        debiased: whether HSIC is estimated without bias (Song et al. 2012; Nguyen et al. 2021): the
            plain estimate is near 1 for any features with fewer examples than dimensions. In
            [-1, 1] without bias, in [0, 1] plain.
    """

    paper = "Kornblith et al. 2019, CKA; Song et al. 2012, unbiased HSIC"

    debiased: bool = True

    @override
    def bounds(self, features: Features) -> tuple[float, float]:
        return -1.0 if self.debiased else 0.0, 1.0

    @override
    def compute(self, features: Features) -> float:
        if len(features.target) < LEAST:
            raise UndefinedScoreError(f"{len(features.target)} examples; it takes {LEAST}")
        return linear_cka(features.target, features.onehot, self.debiased)


def linear_cka(first: Floats, second: Floats, debiased: bool = False) -> float:
    """Return the linear CKA of two representations (n, d1) and (n, d2) of the same examples.

    Invariant to rotation, shift and scale of either.

    Raises:
        UndefinedScoreError: one of them is the same for all examples.
    """
    centre = _u_centred if debiased else _centred
    one, other = centre(first @ first.T), centre(second @ second.T)
    own = float((one * one).sum() * (other * other).sum())
    scale = float((first**2).sum() * (second**2).sum())
    if own <= 1e-24 * scale**2:
        raise UndefinedScoreError("all examples are alike, in features or in labels")
    return float((one * other).sum() / np.sqrt(own))


def _centred(gram: Floats) -> Floats:
    rows = gram - gram.mean(axis=0)
    centred: Floats = rows - rows.mean(axis=1, keepdims=True)
    return centred


def _u_centred(gram: Floats) -> Floats:
    """Return the U-centred matrix, without diagonal: its products estimate HSIC without bias."""
    n, off = len(gram), gram - np.diag(np.diag(gram))
    rows = off.sum(axis=0) / (n - 2)
    centred: Floats = off - rows - rows[:, None] + off.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0.0)
    return centred
