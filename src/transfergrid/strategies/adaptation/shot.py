"""Adapt a source model to unlabelled target inputs without any source example (SHOT)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot, pad

from transfergrid.strategies import (
    Batch,
    Data,
    Needs,
    NotNegative,
    Objective,
    Part,
    Phase,
    Range,
    Schedule,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.adaptation.alignment import ADAPTED


def pseudo_labels(features: Tensor, probabilities: Tensor, rounds: int = 2) -> Tensor:
    """Return the class of the nearest centroid by cosine, (n,) (Liang et al. 2020, section 3.3).

    A 1 is appended to each row of features (n, dim), and rows are scaled to length 1. The first
    centroids are means weighted by probabilities (n, classes), later ones means by label. A class
    that no example was assigned to is dropped.
    """
    features, weights = normalize(pad(features, (0, 1), value=1.0)), probabilities
    labels = weights.argmax(1)
    for _ in range(rounds):
        there = one_hot(labels, weights.shape[1]).sum(0) > 0
        centroids = normalize(weights.T @ features)  # sums will do: only the angle counts
        similar = (features @ centroids.T).masked_fill(~there, -torch.inf)
        labels = similar.argmax(1)
        weights = one_hot(labels, weights.shape[1]).to(features)
    return labels


def information(logits: Tensor) -> Tensor:
    """Return the mean entropy of predictions minus the entropy of their mean (equation 3)."""
    said = logits.softmax(1)
    mean = said.mean(0)
    sure = -(said * logits.log_softmax(1)).sum(1).mean()
    return sure + (mean * mean.clamp_min(1e-12).log()).sum()


class SHOT(Strategy):
    """Adapt a source model to unlabelled target inputs, its head kept and no source example seen.

    The head is the plain linear one on the backbone's features, without the authors' bottleneck,
    BatchNorm and weight normalisation. During adaptation BatchNorm records target batches. Pseudo
    labels are computed in eval mode, at the start of adaptation and after each fifth of its steps:
    the class of the nearest centroid, with centroids computed in two rounds and without classes
    that no example is assigned to.

    Formula:
        H(p(x)) - H(mean p) + w CE(p(x), pseudo label), over the features alone
    Try it:
        where the source's examples are not available at adaptation; it needs a source model that
        is right more often than not
    Cost:
        that of full fine-tuning, a part of it on the source; a pass over all unlabelled inputs at
        each fifth of the adaptation
    Source:
        Liang, Hu & Feng 2020, Do we really need to access the source data? (SHOT), ICML, arXiv
        2002.08546, sections 3.2 and 3.3

    Args:
        weight: weight of the loss on pseudo labels.
        share: share of the steps in which the source model is trained, with labels smoothed by 0.1.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs = Needs("start", "unused", 1, "same", unlabelled=True, tasks=("classification",))
    baselines = ADAPTED
    space = {
        "lr_factor": rates(3.0, small_images=9.5, images=0.3, text=0.1),
        "weight": Range(0.03, 3.0, default=0.3),
    }
    setting = "transductive"
    moves_statistics = True
    also_called = ("source_hypothesis_transfer",)
    badges = ("formula_exact", "trajectory_exact")
    assumes = ("equal_shares",)

    def __init__(
        self,
        weight: NotNegative = 0.3,
        share: Part = 0.5,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.weight, self.share = weight, share

    def build(self, sizes: Sizes) -> None:
        self.scaffold.register_buffer("pseudo", torch.zeros(sizes.unlabelled, dtype=torch.int64))

    def phases(self) -> list[Phase]:
        source = Objective(self.on_source, self.everything())
        adapt = Objective(self.loss, [self.backbone_group()])
        return [
            Phase("source", [source], self.share, ["source"]),
            Phase("adapt", [adapt], 1 - self.share, ["unlabelled"], self.relabel, every=0.2),
        ]

    def on_source(self, batch: Batch, progress: float) -> Tensor:
        """Return the loss on the source domain, with smoothed labels."""
        seen = batch.source[0]
        return self.task.loss(self.predict(seen.inputs), seen.labels, smoothing=0.1)

    def relabel(self, data: Data) -> None:
        """Compute the pseudo labels of all unlabelled examples by their nearest centroids."""
        assert data.unlabelled is not None
        features, said = data.unlabelled.features(), data.unlabelled.outputs().softmax(1)
        self.scaffold.get_buffer("pseudo").copy_(pseudo_labels(features, said))

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        logits = self.predict(batch.unlabelled)
        labels = self.scaffold.get_buffer("pseudo")[batch.rows]
        return information(logits) + self.weight * self.task.loss(logits, labels)
