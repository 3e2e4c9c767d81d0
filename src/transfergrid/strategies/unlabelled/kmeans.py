"""Clusters of plain features, without any source."""

import torch

from transfergrid.data.sparse_inputs import matrix_of
from transfergrid.strategies import Baselines, Count, Data, Needs, Phase
from transfergrid.strategies.baselines.plain_features import OnPlainFeatures
from transfergrid.strategies.unlabelled.nearest_centres import STARTS, centres_of, linear_of


class Kmeans(OnPlainFeatures):
    """k-means on plain features (pixels, or tf-idf for text): the baseline of all clusters.

    There are as many clusters as classes, and the best of ten starts is kept. No label is used in
    training: classes serve only to compute the score.

    Formula:
        min over c of sum over x of min_k |x - c_k|^2

    Try it:
        As the baseline that clusters of a source's features must beat.

    Cost:
        Seconds; no network.

    Source:
        Lloyd 1982, Least squares quantization in PCM; starts: Arthur & Vassilvitskii 2007,
        k-means++; scikit-learn's implementation

    Args:
        starts: number of random initialisations, of which the best result is kept.
    """

    needs = Needs("none", "unused", unlabelled=True, steps=False, tasks=("clustering",))
    baselines = Baselines(labelled=None, unlabelled=None)
    setting, target_statistics = "unsupervised", "unseen"
    also_called = ("k_means", "k_means_on_pixels")
    badges = ("formula_exact",)

    def __init__(self, starts: Count = STARTS) -> None:
        super().__init__()
        self.starts = starts

    def phases(self) -> list[Phase]:
        return [Phase("solve", reads=["unlabelled"], before=self.solve)]

    def solve(self, data: Data) -> None:
        """Find the centres of the target's inputs without labels."""
        assert data.unlabelled is not None
        rows = matrix_of(data.unlabelled.inputs())
        found = centres_of(rows, self.task.outputs, self.starts, self.block_seed)
        weights, biases = linear_of(found)
        self.coefficients.zero_()[:, : weights.shape[1]] = weights
        self.intercepts.copy_(biases)
        assert torch.isfinite(self.intercepts).all()
