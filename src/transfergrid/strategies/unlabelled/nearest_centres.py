"""k-means, and the base class of strategies that assign examples to the nearest centre."""

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
"""Number of random initialisations, of which the best result is kept."""


def centres_of(rows: Any, clusters: int, starts: int, seed: int) -> NDArray[np.float64]:
    """Return the centres (clusters, d) of k-means, by scikit-learn from k-means++ starts.

    With fewer examples than clusters there are only as many centres; the last is repeated.

    Args:
        rows: (n, d), dense or sparse.
        clusters: number of clusters.
        starts: number of random initialisations.
        seed: the block seed.
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
    """Return w = 2c, (clusters, d), and b = -|c|^2: a softmax over minus squared distances."""
    weights = 2 * centres
    return torch.from_numpy(weights), torch.from_numpy(-(centres**2).sum(axis=1))


class Clusters(Strategy):
    """k-means on features that a subclass defines; labels are not used, nor passed to it.

    Args:
        starts: number of random initialisations, of which the best result is kept.
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
        """Return the width of the features; a subclass also creates here what computes them."""
        return self.backbone.dim

    def phases(self) -> list[Phase]:
        return [Phase("find", reads=["unlabelled"], before=self.find)]

    def find(self, data: Data) -> None:
        """Find the centres of the target's inputs without labels."""
        assert data.unlabelled is not None
        rows = self.rows(data).cpu().double().numpy()
        centres = centres_of(rows, self.task.outputs, self.starts, self.block_seed)
        self.task.fill(self.head, *linear_of(centres))

    def rows(self, data: Data) -> Tensor:
        """Return the features of all inputs without labels, (n, d)."""
        assert data.unlabelled is not None
        return data.unlabelled.features()
