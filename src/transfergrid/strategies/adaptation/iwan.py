"""Weigh source examples by their likeness to the target, and align the domains (IWAN)."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import (
    Batch,
    Count,
    Group,
    NotNegative,
    Objective,
    Phase,
    Range,
    Schedule,
    Sizes,
    Strategy,
)
from transfergrid.strategies.adaptation.alignment import ADAPTED, ADAPTS, READS, SAME
from transfergrid.strategies.adaptation.domain_adversarial import (
    GradientReversal,
    discriminator,
    reversal_strength,
)
from transfergrid.strategies.adaptation.weighted_domains import domain_loss
from transfergrid.strategies.draws import same_draws


def importance(said: Tensor) -> Tensor:
    """Return importance weights of source examples, (1 - D) over its mean, without a gradient.

    Args:
        said: D, the discriminator's probability that each source example is the source's, (batch,).
    """
    weights = 1 - said.detach()
    return weights / weights.mean().clamp_min(1e-5)


class Iwan(Strategy):
    """Weigh source examples by how much of the target is like them, and align the domains.

    This is for a target that lacks some of the source's classes. A first discriminator finds source
    examples that look unlike the target. It only gives weights; its gradient does not reach the
    features. A second discriminator sees the weighted domains, and its gradient is reversed. Both
    domains share one feature extractor, as in the most used library; the paper trains one on the
    source and then a second one for the target. The labelled loss is not weighted. With `weight`
    and `entropy` at 0 it is exactly the baseline, because BatchNorm does not record unlabelled
    inputs.

    Formula:
        CE(source, target) - lambda(p) W mean w BCE(D0(f), domain) + e H(p(target)), D and D0
        descending their own; w = (1 - D(f)) over its mean in the batch, 1 of target examples
    Try it:
        where the target has only some of the source's classes, and the others look unlike them
    Cost:
        that of `domain_adversarial`, and a second small discriminator; nothing at prediction
    Source:
        Zhang, Ding, Li & Ogunbona 2018, Importance weighted adversarial nets for partial domain
        adaptation, CVPR, arXiv 1803.09210, section 3; W and e as in a library

    Args:
        weight: W, of the weighted domain loss, on top of lambda(p) of Ganin et al. 2016.
        entropy: e, weight of the entropy of predictions on the target.
        gamma: how fast lambda(p) rises.
        hidden: width of the discriminators' two hidden layers.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs = replace(ADAPTS.of("classification"), pairs=("partial",))
    baselines = ADAPTED
    space = {
        "lr_factor": SAME,
        "weight": Range(0.1, 10.0, default=3.0),
        "entropy": Range(1e-2, 1.0, default=0.1),
    }
    setting, transfers = "transductive", "instances"
    also_called = ("importance_weighted_adversarial_nets",)
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        weight: NotNegative = 3.0,
        entropy: NotNegative = 0.1,
        gamma: NotNegative = 10.0,
        hidden: Count = 128,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.weight, self.entropy, self.gamma, self.hidden = weight, entropy, gamma, hidden

    def build(self, sizes: Sizes) -> None:
        for name in ("weighs", "meets"):
            self.scaffold[name] = discriminator(self.backbone.dim, self.hidden)

    def phases(self) -> list[Phase]:
        critics = [Group(n, self.scaffold[n].parameters()) for n in ("weighs", "meets")]
        adapt = [Objective(self.loss, [*self.everything(), *critics])]
        return [Phase("adapt", adapt, reads=READS)]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        seen = batch.labelled()
        features = self.features(seen.inputs)
        labelled = self.task.loss(self.head(features), seen.labels)
        with same_draws(self):  # what follows draws the same numbers as without this pass
            other = self.features(batch.unlabelled, recorded=False)
        logits: Tensor = self.head(other)
        unsure = -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()
        source = features[: len(batch.source[0].labels)]
        return labelled + self.entropy * unsure + self.of_domains(source, other, progress)

    def of_domains(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        """Return both discriminators' losses, the second with its gradient reversed."""
        first, second = self.scaffold["weighs"], self.scaffold["meets"]
        here, there = source.detach(), target.detach()
        weights = importance(first(here).sigmoid().squeeze(1))
        strength = reversal_strength(progress, self.gamma)
        told_apart = domain_loss(first, here, there, torch.ones_like(weights))
        ours, theirs = (GradientReversal.apply(f, strength) for f in (source, target))
        return told_apart + self.weight * domain_loss(second, ours, theirs, weights)
