"""Clusters of the sparse codes of self-taught learning."""

from dataclasses import replace

import torch
from torch import Tensor

from transfergrid.strategies import Count, Data, Inputs, Phase, Positive, Range
from transfergrid.strategies.unlabelled.nearest_centres import STARTS, Clusters
from transfergrid.strategies.unlabelled.self_taught import MOST, rows_of
from transfergrid.strategies.unlabelled.sparse_coding import SparseCoder


class KmeansOnCodes(Clusters):
    """k-means on the sparse codes of `self_taught`, whose bases the source's inputs have taught.

    There are as many clusters as classes, and the best of ten starts is kept. The labels of neither
    domain are used, and the source's network plays no part.

    Formula:
        min over c of sum over x of min_k |a(x) - c_k|^2, a(x) = argmin |x - B a|^2 + beta |a|_1

    Try it:
        Beside `kmeans`, which clusters the same inputs directly.

    Cost:
        That of `self_taught` and of k-means.

    Source:
        Raina et al. 2007, Self-taught learning, ICML, equations 1 and 3; clustering with the help
        of other inputs: Dai et al. 2008, Self-taught clustering, ICML, by another method

    Args:
        beta: weight of the L1 penalty on activations, for inputs of unit spread.
        bases: number of basis vectors.
        rounds: number of rounds in which they are learned.
        starts: number of random initialisations, of which the best result is kept.
    """

    needs = replace(Clusters.needs, source="start", domains=1, layers="some", source_labels=False)
    space = {"beta": Range(0.01, 1.0, default=0.1), "bases": Range(32, 512, default=128)}
    badges = ("formula_exact",)
    version = 2  # as of `self_taught`

    def __init__(
        self,
        beta: Positive = 0.1,
        bases: Count = 128,
        rounds: Count = 20,
        starts: Count = STARTS,
    ) -> None:
        super().__init__(starts)
        self.beta, self.bases, self.rounds = beta, bases, rounds

    def width(self) -> int:
        self.coder = SparseCoder(self.backbone.example(), self.bases, self.beta)
        return self.bases

    def phases(self) -> list[Phase]:
        (find,) = super().phases()
        return [
            Phase("bases", reads=["source"], before=self.learn, cached=False),
            replace(find, cached=False),
        ]

    def learn(self, data: Data) -> None:
        """Learn bases from the source's inputs."""
        self.coder.learn(rows_of(data.source[0], MOST), self.rounds)

    def rows(self, data: Data) -> Tensor:
        assert data.unlabelled is not None
        return torch.cat([self.coder(batch.inputs) for batch in data.unlabelled.batches()])

    def predict(self, inputs: Inputs) -> Tensor:
        outputs: Tensor = self.head(self.coder(inputs))
        return outputs
