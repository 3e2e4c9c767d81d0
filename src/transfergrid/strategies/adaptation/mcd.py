"""Two heads seek target inputs on which they disagree; the features make them agree (MCD)."""

from typing import Any

from torch import Tensor

from transfergrid.strategies import (
    Batch,
    Count,
    Group,
    Inputs,
    Objective,
    Phase,
    Range,
    Schedule,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.adaptation.alignment import ADAPTED, ADAPTS, READS


def discrepancy(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean over batch and classes of |p1 - p2|, given logits (batch, classes)."""
    return (one.softmax(1) - other.softmax(1)).abs().mean()


class MCD(Strategy):
    """Let two heads find where they disagree on the target, and the features make them agree.

    The prediction is the mean of both heads' logits. Labelled batches pass twice, in A and in B,
    and BatchNorm records both passes. Target inputs are normalised by their own batch's statistics,
    which are not recorded.

    Formula:
        A: min CE(heads, f); B: min_heads CE - d; C: min_f d, n times;
        d = mean |p1 - p2| on the target
    Try it:
        where target inputs come without labels and classes lie close: it looks at the borders
        between classes, which domain confusion does not
    Cost:
        beside the step on labels a step of the heads and `repeat` steps of the features a batch:
        some three to six times `source_only`; a second head at prediction
    Source:
        Saito et al. 2018, Maximum classifier discrepancy for unsupervised domain adaptation, CVPR,
        arXiv 1712.02560, section 3.3

    Args:
        repeat: steps of the features on each batch, n.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs, baselines = ADAPTS.of("classification"), ADAPTED
    space = {
        "lr_factor": rates(0.95, small_images=0.95, images=0.3, text=0.1, vectors=9.5),
        "repeat": Range(1, 10, log=False, default=4),
    }
    setting, transfers = "transductive", "features"
    also_called = ("maximum_classifier_discrepancy",)
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self, repeat: Count = 4, schedule: Schedule | None = "inverse_decay", **shared: Any
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.repeat = repeat

    def build(self, sizes: Sizes) -> None:
        self.second = self.task.head(self.backbone.dim)  # drawn after the first: other weights

    def phases(self) -> list[Phase]:
        heads = [self.head_group(), Group("second", tuple(self.second.parameters()))]
        steps = [
            Objective(self.loss, [*heads, self.backbone_group()]),
            Objective(lambda b, p: self.loss(b, p) - self.apart(b), heads),
            Objective(lambda b, p: self.apart(b), [self.backbone_group()], self.repeat),
        ]
        return [Phase("adapt", steps, reads=READS)]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        seen = batch.labelled()
        features = self.features(seen.inputs)
        first = self.task.loss(self.head(features), seen.labels)
        return first + self.task.loss(self.second(features), seen.labels)

    def apart(self, batch: Batch) -> Tensor:
        """Return the discrepancy between the two heads on the unlabelled examples."""
        assert batch.unlabelled is not None
        features = self.features(batch.unlabelled, recorded=False)
        return discrepancy(self.head(features), self.second(features))

    def predict(self, inputs: Inputs) -> Tensor:
        features = self.features(inputs)
        both: Tensor = self.head(features) + self.second(features)
        return both / 2
