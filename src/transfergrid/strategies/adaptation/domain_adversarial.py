"""Features that a discriminator cannot tell apart by domain (DANN)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Batch, join
from transfergrid.records.needs import Baselines, Needs
from transfergrid.strategies.base import ParamGroup, Strategy


def reversal_strength(progress: float, gamma: float = 10.0) -> float:
    """Return lambda(p) = 2 / (1 + exp(-gamma p)) - 1 (Ganin et al. 2016, section 5.2.2)."""
    return 2.0 / (1.0 + math.exp(-gamma * progress)) - 1.0


class GradientReversal(torch.autograd.Function):
    """Identity forward; the gradient is multiplied by -strength on its way back."""

    @staticmethod
    @override
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


class DomainAdversarial(Strategy):
    """DANN (Ganin et al. 2016): class loss on what is labelled, reversed domain loss on features.

    With target labels the class loss is the pooled one of `source_and_target`. BatchNorm treats
    unlabelled target inputs by their own batch and does not record them: so nothing but the domain
    loss depends on them, and `weight=0` is exactly the baseline.

    Args:
        lr_factor: multiplies the shared learning rate.
        schedule: the paper's annealing by default; None for the shared schedule.
        weight: of the domain loss, on top of the paper's lambda(p).
        gamma: how fast lambda(p) rises.
        hidden: width of the discriminator's two hidden layers.
    """

    needs: ClassVar[Needs] = Needs(
        source="start",
        target_labels="optional",
        source_domain=True,
        same_classes=True,
        unlabelled=True,
    )
    baselines: ClassVar[Baselines] = Baselines(
        labelled="source_and_target",
        unlabelled="source_only",
        exploratory=["scratch", "full_finetuning"],
    )
    training_only: ClassVar[tuple[str, ...]] = ("discriminator",)
    discriminator: nn.Module

    def __init__(
        self,
        lr_factor: float = 3.0,
        schedule: str | None = "inverse_decay",
        weight: float = 1.0,
        gamma: float = 10.0,
        hidden: int = 128,
    ) -> None:
        super().__init__(lr_factor, schedule)
        self.weight, self.gamma, self.hidden = weight, gamma, hidden

    @override
    def build(self) -> None:
        self.discriminator = nn.Sequential(
            nn.Linear(self.backbone.dim, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, 1),
        )

    @override
    def trainable(self) -> list[ParamGroup]:
        discriminator = ParamGroup("discriminator", list(self.discriminator.parameters()))
        return [*super().trainable(), discriminator]

    @override
    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.source is not None
        assert batch.unlabelled is not None
        labelled = join(batch.source, batch.target) if batch.target else batch.source
        features = self.backbone.embed(labelled.inputs)
        classes = nn.functional.cross_entropy(self.head(features), labelled.labels)
        with unrecorded_statistics(self.backbone):
            unlabelled = self.backbone.embed(batch.unlabelled)
        from_source = features[: len(batch.source.labels)]
        return classes + self.weight * self.domain_loss(from_source, unlabelled, progress)

    def domain_loss(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        """Binary cross-entropy of the discriminator, its gradient reversed into the features."""
        strength = reversal_strength(progress, self.gamma)
        features = GradientReversal.apply(torch.cat([source, target]), strength)
        domains = torch.cat([source.new_ones(len(source)), target.new_zeros(len(target))])
        logits = self.discriminator(features).squeeze(1)
        return nn.functional.binary_cross_entropy_with_logits(logits, domains)


@contextmanager
def unrecorded_statistics(module: nn.Module) -> Iterator[None]:
    """Let BatchNorm layers normalise by the batch at hand without recording its statistics."""
    layers = [
        m
        for m in module.modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training and m.track_running_stats
    ]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
