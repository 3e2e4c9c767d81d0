"""The nearest training examples vote, on the frozen source."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from transfergrid.strategies import (
    Baselines,
    Count,
    Data,
    Dial,
    Inputs,
    Needs,
    Phase,
    Positive,
    Range,
    Sizes,
    Strategy,
)

PATH, USUAL = (10, 20, 100, 200), 20
"""Values of k to choose from, and k without a validation part (eval_knn.py)."""
TIED = 1e-6
"""Cosines within this of the k-th one tie with it; otherwise rounding would decide."""


def neighbour_weights(similar: Tensor, k: int, temperature: float) -> Tensor:
    """Return the weight of each training example's vote, (batch, n), up to a factor for each row.

    The k nearest have the weight exp(s / temperature), all others 0. Examples that tie for the last
    places share them evenly, so the order of the training examples does not matter.

    Args:
        similar: cosines s, (batch, n).
        k: number of examples that vote; all, if there are fewer.
        temperature: T of the weights.
    """
    k = min(k, similar.shape[1])
    nearest = similar.topk(k, dim=1).values
    last, first = nearest[:, -1:], nearest[:, :1]
    inside, tied = similar > last + TIED, (similar - last).abs() <= TIED
    left = k - inside.sum(1, keepdim=True)
    taken = inside + tied * left / tied.sum(1, keepdim=True)
    return taken * ((similar - first) / temperature).exp()


class KNN(Strategy):
    """The nearest neighbours among the training examples vote, on the frozen source.

    Validation chooses k from 10, 20, 100 and 200; without a validation part it is 20. For numbers
    the prediction is the neighbours' weighted mean. The model contains the training features:
    whoever gets the model gets them. Tied neighbours share the last places, equal votes go to the
    first class, and a class without a vote has a probability of 1e-12.

    Formula:
        p(y | x) ~ sum over the k nearest i of exp(cos(f(x), f(x_i)) / T) [y_i = y]

    Try it:
        With few labels for each class, or where classes consist of several clusters. From about
        twenty labels a class on, a probe on the same features is usually better.

    Cost:
        No training. A prediction takes one pass of the source and n dot products of features; all
        training features are stored.

    Source:
        Caron et al. 2021, Emerging Properties in Self-Supervised Vision Transformers
        (arXiv 2104.14294), section 4.1 and eval_knn.py; Wu et al. 2018 (arXiv 1805.01978),
        section 3.4.

    Args:
        k: number of neighbours that vote, at most all training examples; null: validation chooses.
        temperature: T of their weights; with 0.07 a cosine of .9 counts 4.17 times one of .8.
    """

    needs = Needs(steps=False)
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space = {"temperature": Range(0.01, 1.0, default=0.07)}
    transfers = "features"
    also_called = ("k_nn", "nearest_neighbours", "nearest_neighbors", "k_nearest_neighbours")
    badges = ("formula_exact",)

    bank: Tensor
    answers: Tensor
    neighbours: Tensor

    def __init__(self, k: Count | None = None, temperature: Positive = 0.07) -> None:
        super().__init__()
        self.k, self.temperature = k, temperature

    def build(self, sizes: Sizes) -> None:
        self.head = nn.Identity()
        self.register_buffer("bank", torch.zeros(sizes.target, self.backbone.dim))
        self.register_buffer("neighbours", torch.tensor(self.k or USUAL))
        self.register_buffer("answers", torch.zeros(sizes.target, self.task.outputs))

    def phases(self) -> list[Phase]:
        values, default = (PATH, USUAL) if self.k is None else ((self.k,), self.k)
        return [Phase("keep", before=self.keep, dial=Dial("k", values, self.put, default))]

    def put(self, k: float) -> None:
        """Set the number of neighbours that vote."""
        self.neighbours.fill_(int(k))

    def keep(self, data: Data) -> None:
        """Store the features and labels of the training examples."""
        assert data.target is not None
        self.bank.copy_(normalize(data.target.features(), dim=1))
        self.answers.copy_(self.task.answers(data.target.labels))

    def predict(self, inputs: Inputs) -> Tensor:
        similar = normalize(self.features(inputs), dim=1) @ self.bank.T
        weights = neighbour_weights(similar, int(self.neighbours), self.temperature)
        return self.task.encode(weights @ self.answers / weights.sum(1, keepdim=True))
