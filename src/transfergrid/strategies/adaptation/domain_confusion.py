"""Features for which a domain classifier gives both domains probability one half."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from transfergrid.strategies import (
    Batch,
    Count,
    Group,
    NotNegative,
    Objective,
    Phase,
    Range,
    Sizes,
)
from transfergrid.strategies.adaptation.alignment import READS, SAME, FeatureAlignment
from transfergrid.strategies.adaptation.domain_adversarial import discriminator


def confusion(logits: Tensor) -> Tensor:
    """Return the cross-entropy of predicted domains against the uniform distribution.

    It is a mean over domains and batch (Tzeng et al. 2015, equation 4).

    Args:
        logits: (batch, domains).
    """
    return -logits.log_softmax(1).mean()


class DomainConfusion(FeatureAlignment):
    """Features of which a domain classifier can say nothing: it should answer half and half.

    Each batch takes two steps. In the first the network learns the labels, and features for which
    the classifier says half and half. In the second the classifier alone learns the domains of the
    updated features, which are held fixed. This is no gradient reversal: where the classifier is
    undecided the features get no gradient, while a reversed gradient still pushes. Declared: losses
    are means over domains and batch (the sum over both domains is twice as much); the paper's soft
    labels, which need target labels, are left out; the classifier is as large as the discriminator
    of `domain_adversarial`; BatchNorm records nothing in the classifier's step.

    Formula:
        network: CE(source, target) + w mean(-(log q_s + log q_t) / 2); classifier: CE(q, domain)
    Try it:
        as `domain_adversarial`, where that is unstable: this push ends once domains are alike
    Cost:
        two forward passes of labelled and unlabelled inputs a batch, a second step of the small
        classifier; nothing at prediction
    Source:
        Tzeng et al. 2015, Simultaneous deep transfer across domains and tasks, ICCV, arXiv
        1510.02192, section 3.1

    Args:
        weight: weight of the confusion.
        hidden: width of the domain classifier's two hidden layers.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    space = {"lr_factor": SAME, "weight": Range(1e-3, 1.0, default=0.01)}
    also_called = ("ddc_tzeng", "confusion_loss")
    badges = ("formula_exact", "trajectory_exact")

    def __init__(self, weight: NotNegative = 0.01, hidden: Count = 128, **shared: Any) -> None:
        super().__init__(weight=weight, **shared)
        self.hidden = hidden

    def build(self, sizes: Sizes) -> None:
        self.scaffold["discriminator"] = discriminator(self.backbone.dim, self.hidden, outputs=2)

    def phases(self) -> list[Phase]:
        critic = Group("discriminator", self.scaffold["discriminator"].parameters())
        steps = [Objective(self.loss, self.everything()), Objective(self.by_domain, [critic])]
        return [Phase("adapt", steps, reads=READS)]

    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        return confusion(self.scaffold["discriminator"](torch.cat([source, target])))

    def by_domain(self, batch: Batch, progress: float) -> Tensor:
        """Return the domain classifier's own loss on the current, detached features."""
        assert batch.unlabelled is not None
        with torch.no_grad():  # one pass of all labelled inputs, so BatchNorm normalises as in loss
            labelled = self.features(batch.labelled().inputs, recorded=False)
            target = self.features(batch.unlabelled, recorded=False)
        source = labelled[: len(batch.source[0].labels)]
        domains = torch.cat([target.new_zeros(len(source)), target.new_ones(len(target))]).long()
        return cross_entropy(self.scaffold["discriminator"](torch.cat([source, target])), domains)
