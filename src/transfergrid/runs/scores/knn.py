"""Leave-one-out k-NN on the source's features: accuracy for classes, R² for numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from transfergrid.records.arguments import Count, Positive
from transfergrid.runs.scores.base import Features, Floats, Score, UndefinedScoreError


@dataclass(frozen=True)
class Knn(Score):
    """k-NN accuracy, each example judged by the k nearest others.

    Neighbours vote with exp(s / temperature), s their cosine similarity (Caron et al. 2021, DINO).
    Examples that are alone in their class cannot be right: they vote but are not judged. Of equal
    votes the first class wins. In [0, 1].

    For labels that are numbers it is the R² of the neighbours' weighted mean, averaged over the
    outputs: at most 1.

    Attributes:
        k: number of neighbours that vote.
        temperature: temperature of the weights; 0.07 gives s=.9 4.17 times the vote of s=.8.
    """

    paper = "Caron et al. 2021 (weights); leave-one-out k-NN"
    takes_numbers: ClassVar[bool] = True

    k: Count = 5
    temperature: Positive = 0.07

    @override
    def bounds(self, features: Features) -> tuple[float, float]:
        return (-math.inf if features.of_numbers else 0.0), 1.0

    @override
    def compute(self, features: Features) -> float:
        if features.of_numbers:
            return self._explained(features)
        onehot = features.onehot
        judged = onehot.sum(axis=0)[onehot.argmax(axis=1)] > 1
        if not judged.any():
            raise UndefinedScoreError("one label a class: nothing of a class is left to be near to")
        votes = self._votes(cosines(features.target), onehot)
        right = votes.argmax(axis=1) == onehot.argmax(axis=1)
        return float(right[judged].mean())

    def _explained(self, features: Features) -> float:
        """Return R² of the neighbours' weighted means; the variance of the labels is 1."""
        labels = features.standardised
        similar = cosines(features.target)
        weights = self._votes(similar, np.ones((len(labels), 1)))
        told = self._votes(similar, labels) / weights
        return float(1 - ((labels - told) ** 2).mean())

    def _votes(self, similar: Floats, of: Floats) -> Floats:
        """Return weighted sums (n, K) of the neighbours' rows; no example is its own neighbour."""
        k = min(self.k, len(similar) - 1)
        np.fill_diagonal(similar, -np.inf)
        nearest = np.argsort(-similar, axis=1, kind="stable")[:, :k]
        weights = dino_weights(np.take_along_axis(similar, nearest, axis=1), self.temperature)
        votes: Floats = np.einsum("nk,nkc->nc", weights, of[nearest])
        return votes


def dino_weights(similarity: Floats, temperature: Positive = 0.07) -> Floats:
    """Return exp(s / temperature), up to a factor shared by all votes on an example."""
    weights: Floats = np.exp((similarity - similarity.max(axis=-1, keepdims=True)) / temperature)
    return weights


def cosines(features: Floats) -> Floats:
    """Return the pairwise cosine similarities of examples, (n, n); 0 for a zero vector."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(length > 0, length, 1.0)
    similar: Floats = unit @ unit.T
    return similar
