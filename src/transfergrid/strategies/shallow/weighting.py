"""The base class of methods that weight source examples as if they were drawn from the target."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from transfergrid.strategies.closed_form.softmax_regression import TINY, Floats
from transfergrid.strategies.shallow.frozen import Frozen, OnFrozenFeatures, linear_head

TOLD = ("effective_sample_size", "source_examples", "largest_weight")


def effective_sample_size(weights: Floats) -> float:
    """Return (sum w)^2 / sum w^2: so many examples of equal weight would vary as much."""
    return float(weights.sum() ** 2 / max(np.square(weights).sum(), TINY))


class InstanceWeights(OnFrozenFeatures):
    """A weighted linear head: each source example counts `weigh`, each labelled target example 1.

    Args:
        c: C of the head.
    """

    transfers = "instances"
    finds: ClassVar[tuple[str, ...]] = TOLD

    def adapt(self, seen: Frozen) -> None:
        weights = self.weigh(seen.source, seen.target)
        self.note(
            effective_sample_size=effective_sample_size(weights),
            source_examples=float(np.count_nonzero(weights)),
            largest_weight=float(weights.max()),
        )
        counts = np.append(weights, np.ones(len(seen.labelled)))
        labels = seen.pooled_labels
        self.put(*linear_head(self.task, seen.pooled(), labels, self.c, counts))

    @abstractmethod
    def weigh(self, source: Floats, target: Floats) -> Floats:
        """Return the weight of each source example, (n,); about 1 on average.

        Args:
            source: features, (n, d).
            target: features of unlabelled target inputs, (m, d).
        """
