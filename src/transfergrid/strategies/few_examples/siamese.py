"""Features that pull pairs of one class together and push pairs of two classes apart."""

from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import Batch, Count, Inputs, Positive, Range, rates
from transfergrid.strategies.few_examples.memory import Remembering
from transfergrid.strategies.few_examples.over_episodes import MetaLearned

APART = 1e4
"""Squared distance that a class without examples lies beyond the farthest example."""


def contrastive(distances: Tensor, same: Tensor, margin: float) -> Tensor:
    """Return the mean over pairs of ½ d² where both are of one class, else ½ max(0, m - d)².

    Args:
        distances: d, of any shape.
        same: whether both are of one class, of the same shape.
        margin: m.
    """
    apart = (margin - distances).clamp_min(0)
    return 0.5 * torch.where(same, distances, apart).square().mean()


def distances(one: Tensor, other: Tensor) -> Tensor:
    """Return Euclidean distances (n, m) of features (n, dim) and (m, dim).

    Squares are clamped away from 0, where the square root has no derivative.
    """
    squares = (one[:, None] - other[None]).square().sum(2)
    return squares.clamp_min(1e-12).sqrt()


class Siamese(Remembering):
    """A siamese network: features of one class lie near, those of two a margin apart.

    Each query is paired with each example of the support. All pairs count alike, though most are of
    two classes. The distance to a class is that to its nearest example.

    Formula:
        ½ d² for pairs of one class, ½ max(0, m - d)² for others, d = |f(x) - f(x')|;
        p(y = k | x) ~ exp(-d²) of the nearest example of class k

    Try it:
        Where all that is known about examples is whether two are alike.

    Cost:
        As `prototypical_networks`; the model contains the features of the support.

    Source:
        Hadsell, Chopra & LeCun 2006, Dimensionality reduction by learning an invariant mapping,
        CVPR, equation 4; used for one-shot learning as in Koch et al. 2015, who take a sigmoid of a
        weighted distance instead

    Args:
        margin: m.
        ways: number of classes in an episode; null: as many as the target has.
        queries: number of query examples of each class in an episode.
        shared: `lr_factor` and `schedule`.
    """

    space = {
        "lr_factor": rates(0.3, small_images=1.0, images=0.3, text=0.1),
        "margin": Range(0.1, 10.0, default=1.0),
    }
    also_called = ("siamese_networks", "siamese_network")
    badges = ("formula_exact", "trajectory_exact")
    closed_to = {**MetaLearned.closed_to, "label_smoothing": "its loss is of pairs of examples"}
    version = 2  # 1 scored all examples at a distance above 100 alike

    def __init__(
        self,
        margin: Positive = 1.0,
        ways: Count | None = None,
        queries: Count = 15,
        **shared: Any,
    ) -> None:
        super().__init__(ways, queries, **shared)
        self.margin = margin

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.episode is not None
        support, query = batch.episode
        kept, asked = self.features(support.inputs), self.features(query.inputs)
        apart = distances(asked, kept)
        return contrastive(apart, query.labels[:, None] == support.labels[None], self.margin)

    def predict(self, inputs: Inputs) -> Tensor:
        squares = distances(self.features(inputs), self.kept).square()
        far = (squares.amax(1, keepdim=True) + APART).repeat(1, self.task.outputs)
        index = self.labels.expand(len(squares), -1)
        return -far.scatter_reduce(1, index, squares, "amin", include_self=True)
