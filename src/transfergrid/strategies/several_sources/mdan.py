"""Adversarial alignment of several sources, where the worst source counts most (MDAN)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from transfergrid.strategies import (
    Batch,
    Count,
    Group,
    NotNegative,
    Objective,
    Phase,
    Positive,
    Range,
    Sizes,
)
from transfergrid.strategies.adaptation.domain_adversarial import GradientReversal
from transfergrid.strategies.draws import same_draws
from transfergrid.strategies.several_sources.side_by_side import RATES, READS, SeveralSources


def soft_worst(values: Tensor, gamma: float) -> Tensor:
    """Return 1/gamma log sum exp(gamma v) of values (k,): a soft maximum that cannot overflow."""
    return torch.logsumexp(gamma * values, 0) / gamma


class Mdan(SeveralSources):
    """Learn features in which the worst source is learned and cannot be told from the target.

    Each source has a discriminator that minimises the domain loss d_k, the sum of the mean losses
    of both domains; the features maximise it through a gradient reversal. Declared: d_k is added to
    a source's loss, as in the authors' code. The paper's bound subtracts it, which gives the same
    game between features and discriminator but weighs the sources the other way. There is no ramp.
    With `weight` 0 the discriminators have no effect, and the sources' gradients are weighted by a
    softmax of gamma times their losses. The order of the sources makes no difference.

    Formula:
        1/gamma log sum_k exp(gamma (CE_k + w d_k)), features behind a reversal in d_k; labelled
        target examples join for their share of a batch
    Try it:
        where some of several sources are far from the target and you cannot tell which
    Cost:
        a batch of each source, and one of unlabelled inputs, at every step; a small discriminator
        per source; nothing at prediction
    Source:
        Zhao et al. 2018, Adversarial multiple source domain adaptation, NeurIPS, arXiv 1705.09684,
        equation 6 (soft version), signs as in the authors' code

    Args:
        weight: weight of the domain losses, mu in the paper.
        gamma: how much the worst source counts; near 0 the weights are those of a plain mean.
        hidden: width of a discriminator's two hidden layers.
        shared: `lr_factor` and `schedule`.
    """

    space = {"lr_factor": RATES, "weight": Range(1e-2, 1.0, default=0.01)}
    also_called = ("multisource_domain_adversarial_networks",)
    badges = ("formula_exact", "trajectory_exact")
    version = 2  # version 1 subtracted the domain losses

    def __init__(
        self,
        weight: NotNegative = 0.01,
        gamma: Positive = 10.0,
        hidden: Count = 128,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.weight, self.gamma, self.hidden = weight, gamma, hidden

    def build(self, sizes: Sizes) -> None:
        self.scaffold["discriminators"] = nn.ModuleList(self._critic() for _ in sizes.source)

    def _critic(self) -> nn.Module:
        inner = [nn.Linear(self.backbone.dim, self.hidden), nn.ReLU()]
        inner += [nn.Linear(self.hidden, self.hidden), nn.ReLU()]
        return nn.Sequential(*inner, nn.Linear(self.hidden, 1))

    def phases(self) -> list[Phase]:
        critics = Group("discriminators", self.scaffold["discriminators"].parameters())
        adapt = Objective(self.loss, [*self.everything(), critics])
        return [Phase("adapt", [adapt], reads=READS)]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        seen = self.passed(batch)
        with same_draws(self):  # what follows draws the same numbers as without this pass
            other = self.features(batch.unlabelled, recorded=False)
        critics = self.scaffold["discriminators"]
        told = [
            domain_loss(critic, source, other)
            for critic, source in zip(critics, seen.features, strict=True)  # type: ignore[call-overload]
        ]
        each = seen.losses + self.weight * torch.stack(told)
        return seen.with_target(soft_worst(each, self.gamma))


def domain_loss(critic: nn.Module, source: Tensor, target: Tensor) -> Tensor:
    """Return a discriminator's domain loss; its gradient into the features is reversed."""
    said = critic(GradientReversal.apply(torch.cat([source, target]), 1.0)).squeeze(1)
    ours, theirs = said[: len(source)], said[len(source) :]
    return softplus(-ours).mean() + softplus(theirs).mean()
