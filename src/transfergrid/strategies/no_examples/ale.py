"""A bilinear map between features and class descriptions, learned by ranking."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from transfergrid.strategies import (
    Batch,
    Data,
    Group,
    Inputs,
    Needs,
    NotNegative,
    Objective,
    Phase,
    Range,
    Sizes,
    rates,
)
from transfergrid.strategies.no_examples.described import ByDescription

Ranked = Literal["weighted", "sum", "max"]


def ranking(scores: Tensor, labels: Tensor, margin: float, ranked: Ranked = "weighted") -> Tensor:
    """Return the ranking loss, averaged over a batch.

    The hinges are h_y = max(0, margin + s_y - s_label), r of which are above 0. The loss is their
    sum times (1 + 1/2 + ... + 1/r) / r (`weighted`, ALE), their `sum` (DeViSE), or `max` (SJE).

    Args:
        scores: s, (batch, classes).
        labels: (batch,) int64.
        margin: by how much the right class should lead.
        ranked: which of the three.
    """
    right = scores.gather(1, labels[:, None])
    hinges = (margin + scores - right).clamp_min(0).scatter(1, labels[:, None], 0.0)
    if ranked == "max":
        return hinges.max(1).values.mean()
    if ranked == "sum":
        return hinges.sum(1).mean()
    rank = (hinges > 0).sum(1)
    steps = torch.arange(1, scores.shape[1] + 1, dtype=scores.dtype, device=scores.device)
    harmonic = torch.cat([steps.new_zeros(1), steps.reciprocal().cumsum(0) / steps])
    return (harmonic[rank] * hinges.sum(1)).mean()


class ALE(ByDescription):
    """Attribute label embedding: descriptions rank the classes of an input, the right one first.

    The map is learned on the source's classes alone, on its frozen features. Descriptions are
    scaled to length 1, and the margin plays no part in predictions. The hinges of all classes
    count, while the authors draw one class that violates the margin.

    Formula:
        mean of (1 + ... + 1/r)/r * sum over y of max(0, m + x'W(s_y - s_label)), r hinges above 0

    Try it:
        As `eszsl`, if the source has many classes.

    Cost:
        A linear map, trained on frozen features.

    Source:
        Akata et al. 2016, Label-embedding for image classification, TPAMI 38, equation 8; the other
        two as compared by Xian et al. 2017 (arXiv 1703.04394): Frome et al. 2013, Akata et al. 2015

    Args:
        margin: m.
        ranked: `weighted` as above, `sum` of all hinges (DeViSE), or the `max` (SJE).
        shared: `lr_factor` and `schedule`.
    """

    needs = Needs("weights", "unused", 1, "described", tasks=("classification",))
    space = {
        "lr_factor": rates(3.0, small_images=3.0, images=3.0, text=3.0),
        "margin": Range(0.01, 10.0, default=1.0),
    }
    also_called = ("attribute_label_embedding",)
    closed_to = {
        "probe_first": "its head maps features to descriptions, and not to classes",
        "layer_decay": "no layer of the backbone learns",
        "l2_sp": "the backbone stays as it is",
        "label_smoothing": "its loss ranks classes",
    }
    variants = {"devise": "strategy.ranked=sum", "sje": "strategy.ranked=max"}
    badges = ("formula_exact", "trajectory_exact")

    known: Tensor
    asked: Tensor

    def __init__(
        self, margin: NotNegative = 1.0, ranked: Ranked = "weighted", **shared: Any
    ) -> None:
        super().__init__(**shared)
        self.margin, self.ranked = margin, ranked

    def build(self, sizes: Sizes) -> None:
        self.head = torch.nn.Linear(self.backbone.dim, sizes.attributes, bias=False)
        seen = self.source_tasks[0].outputs if self.source_tasks else 0
        self.scaffold.register_buffer("known", torch.zeros(seen, sizes.attributes))
        self.register_buffer("asked", torch.zeros(self.task.outputs, sizes.attributes))

    def phases(self) -> list[Phase]:
        learns = [Group("map", self.head.parameters())]
        step = [Objective(self.loss, learns)]
        reads = ["source", "attributes"]
        return [Phase("rank", step, reads=reads, before=self.describe, judged=False)]  # type: ignore[arg-type]

    def describe(self, data: Data) -> None:
        """Store the descriptions of the source's and the target's classes."""
        assert data.attributes is not None
        self.scaffold.get_buffer("known").copy_(normalize(data.described[0], dim=1))
        self.asked.copy_(normalize(data.attributes, dim=1))

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.source[0]
        scores = self.head(self.features(seen.inputs)) @ self.scaffold.get_buffer("known").T
        return ranking(scores, seen.labels, self.margin, self.ranked)

    def predict(self, inputs: Inputs) -> Tensor:
        mapped: Tensor = self.head(self.features(inputs))
        return mapped @ self.asked.T
