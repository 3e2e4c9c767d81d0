"""LEEP: how well the source's own predictions predict the target's labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from transfergrid.runs.scores.base import Features, Floats, Score, entropy


@dataclass(frozen=True)
class Unknown(Score):
    """Base of scores of how uncertain the labels remain, in [-H(Y), 0] nats."""

    @override
    def bounds(self, features: Features) -> tuple[float, float]:
        return -entropy(features.known), 0.0


@dataclass(frozen=True)
class OfPosteriors(Unknown):
    """Base of scores of how uncertain the labels remain, given the source's own predictions."""

    needs = ("labels", "posteriors")

    @override
    def remarks(self, features: Features) -> tuple[str, ...]:
        """Return a remark if the source has more classes than there are examples."""
        assert features.posteriors is not None
        n, source_classes = features.posteriors.shape
        few = "fewer examples than source classes, which moves it to 0 whatever the source"
        return (few,) if n < source_classes else ()


@dataclass(frozen=True)
class Leep(OfPosteriors):
    """Log expected empirical prediction (Nguyen et al. 2020), in nats per example.

    mean_i log sum_z P(y_i | z) theta_z(x_i), P(y | z) counted with theta as weights.

    In [-H(Y), 0]: it is the log likelihood after one EM step from a predictor that knows only the
    class shares, and EM never lowers a likelihood.
    """

    paper = "Nguyen et al. 2020, LEEP"

    @override
    def compute(self, features: Features) -> float:
        assert features.posteriors is not None
        return leep(features.posteriors, features.onehot)


def leep(posteriors: Floats, onehot: Floats) -> float:
    """Return the mean log of sum_z P(y | z) theta_z(x).

    Args:
        posteriors: theta, (n, Z); rows sum to 1.
        onehot: indicators of the target's labels, (n, K).
    """
    joint = onehot.T @ posteriors  # (K, Z), n times P(y, z)
    mass = joint.sum(axis=0)
    given = joint / np.where(mass > 0, mass, 1.0)
    expected = ((onehot @ given) * posteriors).sum(axis=1)
    return float(np.log(expected).mean())
