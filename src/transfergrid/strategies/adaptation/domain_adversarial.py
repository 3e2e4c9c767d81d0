"""Features by which a discriminator cannot tell the domains apart (DANN)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Batch
from transfergrid.records.arguments import Count, NotNegative
from transfergrid.records.needs import Baselines, Needs, Setting, Transferred
from transfergrid.records.space import Range, Space, rates
from transfergrid.records.training import Schedule
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.draws import same_draws
from transfergrid.strategies.phases import Group, Objective, Phase


def reversal_strength(progress: float, gamma: float = 10.0) -> float:
    """Return lambda(p) = 2 / (1 + exp(-gamma p)) - 1 at progress p (Ganin et al. 2016, 5.2.2)."""
    return 2.0 / (1.0 + math.exp(-gamma * progress)) - 1.0


class GradientReversal(torch.autograd.Function):
    """The identity in the forward pass; the backward pass multiplies the gradient by -strength."""

    generate_vmap_rule = True  # so that seeds can be trained side by side

    @staticmethod
    @override
    def forward(features: Tensor, strength: float) -> Tensor:
        return features.view_as(features)

    @staticmethod
    @override
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.strength = inputs[1]

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def discriminator(width: int, hidden: int, outputs: int = 1) -> nn.Sequential:
    """Return a discriminator of domains for features (batch, width), with two hidden layers."""
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )


class DomainAdversarial(Strategy):
    """Learn features that a discriminator cannot tell apart by domain (DANN).

    With target labels the class loss is the pooled loss of `source_and_target`. BatchNorm
    normalises unlabelled target inputs by their own batch and does not record them: so only the
    domain loss depends on them, and `weight=0` is exactly the baseline.

    Formula:
        CE(source, target) - w lambda(p) BCE(D(f), domain), D descending its own loss;
        lambda(p) = 2 / (1 + e^(-gamma p)) - 1
    Try it:
        where target inputs come without labels and look unlike the source's, and classes are
        equally frequent in both; where they are not, it can align different classes and hurt
    Cost:
        a second forward and backward pass of as many unlabelled inputs a step; nothing at
        prediction
    Source:
        Ganin et al. 2016, Domain-adversarial training of neural networks, JMLR 17, arXiv
        1505.07818, section 5.2.2 for the two schedules

    Args:
        weight: weight of the domain loss, on top of the paper's lambda(p).
        gamma: how fast lambda(p) rises.
        hidden: width of the discriminator's two hidden layers.
        schedule: the paper's annealing by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs: ClassVar[Needs] = Needs(
        source="start", target_labels="optional", domains=1, classes="same", unlabelled=True
    )
    baselines: ClassVar[Baselines] = Baselines(
        labelled="source_and_target",
        unlabelled="source_only",
        exploratory=["scratch", "full_finetuning", "source_only_target_statistics"],
    )
    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, as_baseline=True, small_images=3.0, images=0.3, text=0.1),
        "weight": Range(1e-2, 10.0, default=1.0),
    }
    setting: ClassVar[Setting] = "transductive"
    transfers: ClassVar[Transferred] = "features"
    also_called: ClassVar[tuple[str, ...]] = (
        "dann",
        "domain_adversarial_neural_network",
        "gradient_reversal",
        "revgrad",
    )
    stackable = True
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        weight: NotNegative = 1.0,
        gamma: NotNegative = 10.0,
        hidden: Count = 128,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.weight, self.gamma, self.hidden = weight, gamma, hidden

    @override
    def build(self, sizes: Sizes) -> None:
        self.scaffold["discriminator"] = discriminator(self.backbone.dim, self.hidden)

    @override
    def phases(self) -> list[Phase]:
        critic = Group("discriminator", tuple(self.scaffold["discriminator"].parameters()))
        adapt = Objective(self.loss, [*self.everything(), critic])
        return [Phase("adapt", [adapt], reads=["source", "target", "unlabelled"])]

    @override
    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        seen = batch.labelled()
        features = self.features(seen.inputs)
        classes = self.task.loss(self.head(features), seen.labels)
        with same_draws(self):  # what follows draws the same numbers as without this pass
            unlabelled = self.features(batch.unlabelled, recorded=False)
        from_source = features[: len(batch.source[0].labels)]
        return classes + self.alignment(from_source, unlabelled, progress)

    def alignment(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        """Return the term that is added to the labelled loss, of each domain's features."""
        return self.weight * self.domain_loss(source, target, progress)

    def domain_loss(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        """Return the discriminator's cross-entropy; its gradient into the features is reversed."""
        strength = reversal_strength(progress, self.gamma)
        features = GradientReversal.apply(torch.cat([source, target]), strength)
        domains = torch.cat([source.new_ones(len(source)), target.new_zeros(len(target))])
        logits = self.scaffold["discriminator"](features).squeeze(1)
        return nn.functional.binary_cross_entropy_with_logits(logits, domains)
