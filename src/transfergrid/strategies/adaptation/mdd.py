"""A second head learns to disagree on the target; the features prevent it (MDD)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from transfergrid.strategies import (
    Group,
    NotNegative,
    Objective,
    Phase,
    Positive,
    Schedule,
    Sizes,
)
from transfergrid.strategies.adaptation.alignment import ADAPTS, READS, FeatureAlignment
from transfergrid.strategies.adaptation.domain_adversarial import (
    GradientReversal,
    reversal_strength,
)


def log_of_the_others(logits: Tensor, labels: Tensor) -> Tensor:
    """Return log(1 - p) for the probability p of each label, (n,); finite where p rounds to 1.

    Args:
        logits: (n, classes), at least two classes.
        labels: (n,).
    """
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.logsumexp(1) - logits.logsumexp(1)


def disparity(
    source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor], margin: float
) -> Tensor:
    """Return gamma times CE on the source, minus the mean log(1 - p) on the target, a scalar.

    Args:
        source: the second head's logits (n, classes) and the first head's predicted classes (n,).
        target: the same for the target.
        margin: gamma.
    """
    return margin * cross_entropy(*source) - log_of_the_others(*target).mean()


class Mdd(FeatureAlignment):
    """A second head disagrees on the target alone, the features leave it no way to (MDD).

    The second head learns to agree with the first head on the source and to disagree with it on the
    target. The features learn the opposite, because the gradient is reversed on its way into them.
    Declared: the first head's predictions serve as labels, without a gradient; the reversal reaches
    the features alone, and its strength rises with progress to `reversal`, whereas the library
    counts steps; log(1 - p) is exact, without an offset inside it; the second head has the first
    one's architecture, as in the theory, and is used only in training.

    Formula:
        CE(source, target) + w d, d = gamma CE(h', argmax h) on the source - mean log(1 - p') on the
        target, p' what h' gives argmax h; h' descends d, f climbs it at strength r lambda(p)
    Try it:
        as `mcd`, at a fraction of its steps: where target inputs come without labels and classes
        lie close
    Cost:
        a second forward and backward pass of as many unlabelled inputs a step; nothing at
        prediction
    Source:
        Zhang, Liu, Long & Jordan 2019, Bridging theory and algorithm for domain adaptation, ICML,
        arXiv 1904.05801, section 4; the reversal's end as in the Transfer Learning Library

    Args:
        weight: weight of the disparity.
        margin: gamma; where domains are alike the second head ends at p' = gamma / (1 + gamma).
        reversal: r, the final strength of the gradient reversal.
        ramp: how fast lambda(p) = 2 / (1 + e^(-ramp p)) - 1 rises.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs = ADAPTS.of("classification")
    also_called = ("margin_disparity_discrepancy", "margin_disparity")
    stackable = True
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        weight: NotNegative = 1.0,
        margin: Positive = 4.0,
        reversal: NotNegative = 0.1,
        ramp: NotNegative = 10.0,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(weight=weight, schedule=schedule, **shared)
        self.margin, self.reversal, self.ramp = margin, reversal, ramp

    def build(self, sizes: Sizes) -> None:
        self.scaffold["second"] = self.task.head(self.backbone.dim)  # other weights than the first

    def phases(self) -> list[Phase]:
        second = Group("second", self.scaffold["second"].parameters())
        adapt = Objective(self.loss, [*self.everything(), second])
        return [Phase("adapt", [adapt], reads=READS)]

    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        features = torch.cat([source, target])
        said = self.head(features).argmax(1)
        strength = self.reversal * reversal_strength(progress, self.ramp)
        logits = self.scaffold["second"](GradientReversal.apply(features, strength))
        n = len(source)
        return disparity((logits[:n], said[:n]), (logits[n:], said[n:]), self.margin)
