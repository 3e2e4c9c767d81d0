"""Sparse codes learned from a source's inputs without labels, then a linear classifier on them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfergrid.strategies import (
    Baselines,
    Count,
    Data,
    Inputs,
    Needs,
    Phase,
    Positive,
    Range,
    Sizes,
    Strategy,
)
from transfergrid.strategies.phases import View
from transfergrid.strategies.shallow.frozen import C, linear_head
from transfergrid.strategies.unlabelled.sparse_coding import SparseCoder, flat

MOST = 2000
"""Most inputs that bases are learned from."""


def rows_of(view: View, most: int | None = None) -> Tensor:
    """Return a stream's inputs as rows of numbers, (n, d), in an order that the seed block draws.

    Args:
        view: the stream's examples; their labels are not used.
        most: the most rows; None: all.
    """
    found, count = [], 0
    for batch in view.batches():
        found.append(flat(batch.inputs))
        count += len(found[-1])
        if most is not None and count >= most:
            break
    return torch.cat(found)[:most]


class SelfTaught(Strategy):
    """Self-taught learning: what inputs without labels are made of describes labelled ones.

    Basis vectors are learned from the source's inputs, without access to their labels; the target's
    inputs are encoded with them, and a linear classifier learns from the codes. The source's
    network plays no part. Differences from the paper: inputs are pixels or numbers as a network
    would get them, and images of more than 32 pixels a side are averaged to 32; at most 2,000
    inputs of the source are used; the classifier is logistic regression, not an SVM.

    Formula:
        min over B, a of sum |x - B a|^2 + beta |a|_1, |b_j| <= 1, on the source's inputs; then
        a(x) = argmin |x - B a|^2 + beta |a|_1, and c sum CE(W a(x) / s + b, y) + |W|^2 / 2, s the
        root of the mean squared distance of the labelled examples' codes from their mean

    Try it:
        With few labels and many unlabelled images of a similar kind. Its own baseline is the same
        classifier on pixels.

    Cost:
        Seconds to learn the bases; a prediction takes a few dozen products with a matrix of bases
        by bases.

    Source:
        Raina et al. 2007, Self-taught learning, ICML, equations 1 and 3; bases by turns: Mairal et
        al. 2009, Online dictionary learning, ICML, algorithm 2

    Args:
        beta: weight of the L1 penalty on activations, for inputs of unit spread.
        bases: number of basis vectors.
        rounds: number of rounds in which they are learned.
        c: inverse strength of the classifier's penalty.
    """

    needs = Needs(
        "start",
        domains=1,
        steps=False,
        tasks=("classification",),
        layers="some",
        source_labels=False,
    )
    baselines = Baselines("logistic_regression", None, ["scratch", "logistic_probe"])
    space = {
        "beta": Range(0.01, 1.0, default=0.1),
        "bases": Range(32, 512, default=128),
        "c": C,
    }
    transfers = "features"
    target_statistics = "unseen"
    also_called = ("self_taught_learning", "self_taught_sparse_coding", "sparse_coding")
    badges = ("formula_exact",)
    version = 2  # 1 stopped at 200 steps, too few where bases are similar

    def __init__(
        self, beta: Positive = 0.1, bases: Count = 128, rounds: Count = 20, c: Positive = 1.0
    ) -> None:
        super().__init__()
        self.beta, self.bases, self.rounds, self.c = beta, bases, rounds, c

    def build(self, sizes: Sizes) -> None:
        self.coder = SparseCoder(self.backbone.example(), self.bases, self.beta)
        self.head = self.task.head(self.bases)
        self.scaffold.register_buffer("found", torch.zeros(2))

    def phases(self) -> list[Phase]:
        return [
            Phase("bases", reads=["source"], before=self.learn, cached=False),
            Phase("classify", before=self.classify, cached=False),
        ]

    def learn(self, data: Data) -> None:
        """Learn bases from the source's inputs."""
        left = self.coder.learn(rows_of(data.source[0], MOST), self.rounds)
        self.scaffold.get_buffer("found")[0] = left

    def classify(self, data: Data) -> None:
        """Fit the classifier to the codes of the labelled examples."""
        assert data.target is not None
        codes = self.coder(data.target.inputs())
        self.scaffold.get_buffer("found")[1] = (codes != 0).float().mean()
        labels = data.target.labels.cpu().numpy()
        rows = codes.cpu().double().numpy().astype(np.float64)
        weights, biases = linear_head(self.task, rows, labels, self.c)
        self.task.fill(self.head, torch.from_numpy(weights), torch.from_numpy(biases))

    def predict(self, inputs: Inputs) -> Tensor:
        outputs: Tensor = self.head(self.coder(inputs))
        return outputs

    def tells(self) -> dict[str, Any]:
        left, used = self.scaffold.get_buffer("found").tolist()
        return {"objective_on_source": left, "share_of_bases_used": used}
