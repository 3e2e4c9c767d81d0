"""TransRate: how much shorter a code of the features becomes when the labels are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from transfergrid.records.arguments import Positive
from transfergrid.runs.scores.base import Features, Floats, Score, centred


@dataclass(frozen=True)
class TransRate(Score):
    """R(Z) - sum_c n_c/n R(Z_c) in nats, Z centred (Huang et al. 2022).

    R(Z) = 1/2 log det(I + Z^T Z / (n eps)). Classes are weighted by their size, as in the
    equation; libraries that weight them equally differ if classes are unequal. In [0, R(Z)]. It
    grows with the features' scale, so it compares best sources of one architecture.

    Attributes:
        eps: allowed squared distortion.
    """

    paper = "Huang et al. 2022, TransRate"

    eps: Positive = 1e-4

    @override
    def bounds(self, features: Features) -> tuple[float, float]:
        return 0.0, coding_rate(centred(features.target), self.eps)

    @override
    def compute(self, features: Features) -> float:
        spread, labels = centred(features.target), features.known
        inside = 0.0
        for name in np.unique(labels):
            group = spread[labels == name]
            inside += len(group) / len(spread) * coding_rate(group, self.eps)
        return coding_rate(spread, self.eps) - inside


def coding_rate(features: Floats, eps: float) -> float:
    """Return 1/2 log det(I + Z^T Z / (n eps)), from the smaller of the two Gram matrices."""
    n, d = features.shape
    gram = features.T @ features if d <= n else features @ features.T
    return 0.5 * float(np.linalg.slogdet(np.eye(len(gram)) + gram / (n * eps))[1])
