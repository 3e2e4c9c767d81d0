"""Leave-one-out accuracy of nearest neighbours on the source's features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from transfergrid.records.arguments import Count, Positive
from transfergrid.runs.scores.base import Features, Floats, Score, UndefinedScoreError


@dataclass(frozen=True)
class Knn(Score):
    """k-NN accuracy, each example judged by the k nearest others.

    Neighbours vote with exp(s / temperature), s their cosine similarity (Caron et al. 2021, DINO).
    Examples that are alone in their class cannot be right, and are only voters. Equal votes go to
    the first class. In [0, 1].

    Attributes:
        k: neighbours that vote.
        temperature: of the weights; 0.07 gives s=.9 4.17 times the vote of s=.8.
    """

    paper = "Caron et al. 2021 (weights); leave-one-out k-NN"

    k: Count = 5
    temperature: Positive = 0.07

    @override
    def bounds(self, features: Features) -> tuple[float, float]:
        return 0.0, 1.0

    @override
    def compute(self, features: Features) -> float:
        onehot = features.onehot
        judged = onehot.sum(axis=0)[onehot.argmax(axis=1)] > 1
        if not judged.any():
            raise UndefinedScoreError("one label a class: nothing of a class is left to be near to")
        votes = self._votes(cosines(features.target), onehot)
        right = votes.argmax(axis=1) == onehot.argmax(axis=1)
        return float(right[judged].mean())

    def _votes(self, similar: Floats, onehot: Floats) -> Floats:
        """Return each example's votes by class (n, K); no example votes on itself."""
        k = min(self.k, len(similar) - 1)
        np.fill_diagonal(similar, -np.inf)
        nearest = np.argsort(-similar, axis=1, kind="stable")[:, :k]
        weights = dino_weights(np.take_along_axis(similar, nearest, axis=1), self.temperature)
        votes: Floats = np.einsum("nk,nkc->nc", weights, onehot[nearest])
        return votes


def dino_weights(similarity: Floats, temperature: Positive = 0.07) -> Floats:
    """Return exp(s / temperature) up to a factor that all votes on one example share."""
    weights: Floats = np.exp((similarity - similarity.max(axis=-1, keepdims=True)) / temperature)
    return weights


def cosines(features: Floats) -> Floats:
    """Return the cosine similarity of every two examples, (n, n); 0 with a zero vector."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(length > 0, length, 1.0)
    similar: Floats = unit @ unit.T
    return similar
