"""Align two domains by a critic's estimate of the Wasserstein distance of their features."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

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
)
from transfergrid.strategies.adaptation.alignment import READS, SAME, FeatureAlignment
from transfergrid.strategies.adaptation.domain_adversarial import discriminator


def penalty(critic: nn.Module, points: Tensor) -> Tensor:
    """Return the gradient penalty: the mean over points (n, dim) of (|grad critic(point)| - 1)^2.

    The norm is the Euclidean norm of the whole gradient at a point.
    """
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        said = critic(points).sum()
        (slopes,) = torch.autograd.grad(said, points, create_graph=True)
    norms = (slopes.square().sum(1) + 1e-12).sqrt()  # the root's own gradient at 0 would be NaN
    return (norms - 1).square().mean()


def between(source: Tensor, target: Tensor, shares: Tensor) -> Tensor:
    """Return points on the lines between pairs, (n, dim); the source has the shares (n, 1)."""
    return shares * source + (1 - shares) * target


class Wdgrl(FeatureAlignment):
    """Bring the two domains' features together by a critic's estimate of how far apart they are.

    A penalty holds the critic's gradient norm near 1, so that it estimates the Wasserstein
    distance. The critic has no normalisation layers, because the penalty is defined for each point
    by itself. It learns on detached features; each domain passes as a batch of its own, and
    BatchNorm does not record it. On each batch the network's step comes first, against the critic
    as the batches before have left it. So the critic's random draws do not shift those of dropout,
    and `weight=0` is exactly the baseline, with a critic that has no effect.

    Formula:
        CE(source, target) + w W, W = mean D(f_s) - mean D(f_t); D takes n steps a batch on
        -W + g mean (|grad D(h)| - 1)^2; h = a f_s + (1 - a) f_t with a uniform, and both ends
    Try it:
        as `domain_adversarial`, where its discriminator soon separates the domains and its gradient
        vanishes; it has the same weakness where class frequencies differ between the domains
    Cost:
        that of `coral`, and `steps` forward passes of both domains and steps of the small critic a
        batch; nothing at prediction
    Source:
        Shen et al. 2018, Wasserstein distance guided representation learning for domain
        adaptation, AAAI, arXiv 1707.01217, algorithm 1. The penalty's points are the paper's;
        some codes take only those between pairs

    Args:
        weight: weight of the distance.
        penalty: weight of the gradient penalty.
        steps: steps of the critic on each batch.
        points: where gradients are penalised: `all` (between pairs and at both ends) or `between`.
        hidden: width of the critic's two hidden layers.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    space = {"lr_factor": SAME, "weight": Range(0.1, 1.0, default=1.0)}
    also_called = ("wasserstein_distance_guided_representation_learning", "wasserstein_critic")
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        weight: NotNegative = 1.0,
        penalty: NotNegative = 10.0,
        steps: Count = 5,
        points: Literal["all", "between"] = "all",
        hidden: Count = 128,
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(weight, schedule, **shared)
        self.penalty, self.steps, self.points, self.hidden = penalty, steps, points, hidden

    def build(self, sizes: Sizes) -> None:
        self.scaffold["critic"] = discriminator(self.backbone.dim, self.hidden)

    def phases(self) -> list[Phase]:
        critic = Group("critic", self.scaffold["critic"].parameters())
        network = Objective(self.loss, self.everything())
        return [
            Phase("adapt", [network, Objective(self.criticise, [critic], self.steps)], reads=READS)
        ]

    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        critic = self.scaffold["critic"]
        apart: Tensor = critic(source).mean() - critic(target).mean()
        return apart

    def criticise(self, batch: Batch, progress: float) -> Tensor:
        """Return the critic's loss: the gradient penalty minus the distance."""
        assert batch.unlabelled is not None
        with torch.no_grad():
            source = self.features(batch.source[0].inputs, recorded=False)
            target = self.features(batch.unlabelled, recorded=False)
        pairs = min(len(source), len(target))
        shares = torch.rand(pairs, 1, dtype=source.dtype, device=source.device)
        points = between(source[:pairs], target[:pairs], shares)
        if self.points == "all":
            points = torch.cat([points, source, target])
        held = penalty(self.scaffold["critic"], points)
        return self.penalty * held - self.distance(source, target, progress)
