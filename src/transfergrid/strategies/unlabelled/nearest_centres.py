"""What ways of finding clusters share: k-means, and that an example is of the nearest centre."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfergrid.records.seeds import generator
from transfergrid.strategies import Baselines, Count, Data, Needs, Phase, Sizes, Strategy

STARTS = 10
"""Draws of first centres, of which the best end is kept."""


def centres_of(rows: Any, clusters: int, starts: int, seed: int) -> NDArray[np.float64]:
    """Return the centres (clusters, d) of k-means, by scikit-learn from k-means++ starts.

    Of fewer examples than clusters each is a centre, the last ones again.

    Args:
        rows: (n, d), dense or sparse.
        clusters: how many.
        starts: draws of first centres.
        seed: of the block.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    state = int(generator(seed, "kmeans").integers(2**31))
    some = min(clusters, rows.shape[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        found = KMeans(some, n_init=starts, random_state=state).fit(rows).cluster_centers_
    return np.asarray(found[np.minimum(np.arange(clusters), some - 1)], dtype=np.float64)


def linear_of(centres: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Return w = 2c, (clusters, d), and b = -|c|^2, whose softmax is that of squared distances."""
    weights = 2 * centres
    return torch.from_numpy(weights), torch.from_numpy(-(centres**2).sum(axis=1))


class Clusters(Strategy):
    """k-means on features of a class's own: no label is learned from, nor handed over.

    A class of its own says what the features of examples are.

    Args:
        starts: draws of first centres, of which the best end is kept.
    """

    needs = Needs(target_labels="unused", unlabelled=True, steps=False, tasks=("clustering",))
    baselines = Baselines(labelled=None, unlabelled="kmeans")
    setting, transfers = "unsupervised", "features"
    target_statistics = "unseen"

    def __init__(self, starts: Count = STARTS) -> None:
        super().__init__()
        self.starts = starts

    def build(self, sizes: Sizes) -> None:
        self.head = torch.nn.Linear(self.width(), self.task.outputs)

    def width(self) -> int:
        """Return how many numbers a feature has; made with whatever makes them."""
        return self.backbone.dim

    def phases(self) -> list[Phase]:
        return [Phase("find", reads=["unlabelled"], before=self.find)]

    def find(self, data: Data) -> None:
        """Find centres of the target's inputs without labels."""
        assert data.unlabelled is not None
        rows = self.rows(data).cpu().double().numpy()
        centres = centres_of(rows, self.task.outputs, self.starts, self.block_seed)
        self.task.fill(self.head, *linear_of(centres))

    def rows(self, data: Data) -> Tensor:
        """Return the features of all inputs without labels, (n, d)."""
        assert data.unlabelled is not None
        return data.unlabelled.features()
