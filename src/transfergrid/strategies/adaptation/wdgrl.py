"""A critic estimates how far apart the two domains' features are, and these come together."""

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
    """Return the mean over points (n, dim) of (|gradient of the critic| - 1)^2, the norm Euclidean.

    It is of whole gradients, one a point, and not of their coordinates.
    """
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        said = critic(points).sum()
        (slopes,) = torch.autograd.grad(said, points, create_graph=True)
    norms = (slopes.square().sum(1) + 1e-12).sqrt()  # whose own slope at 0 would be no number
    return (norms - 1).square().mean()


def between(source: Tensor, target: Tensor, shares: Tensor) -> Tensor:
    """Return points on the lines between pairs, (n, dim), of shares (n, 1) of the source."""
    return shares * source + (1 - shares) * target


class Wdgrl(FeatureAlignment):
    """Bring the two domains' features together by a critic's estimate of how far apart they are.

    The critic is held to slopes of 1 by a penalty, so that its estimate is of the Wasserstein
    distance. It has no norms: the penalty is of each point by itself. It learns on features that no
    gradient goes back into, of both domains by their own batch, of which BatchNorm takes no note.
    Within a batch the network's step comes first and meets the critic that the batches before have
    taught: nothing that the critic draws moves what dropout draws, and `weight=0` is exactly the
    baseline, its critic learning for nobody.

    Formula:
        CE(source, target) + w W, W = mean D(f_s) - mean D(f_t); D takes n steps a batch on
        -W + g mean (|grad D(h)| - 1)^2; h = a f_s + (1 - a) f_t with a uniform, and both ends
    Try it:
        as `domain_adversarial`, where its discriminator is soon sure and has no slope left to
        give; it shares its weakness where classes are not equally frequent in both domains
    Cost:
        that of `coral`, and `steps` passes forward of both domains and of the small critic;
        nothing at prediction
    Source:
        Shen et al. 2018, Wasserstein distance guided representation learning for domain
        adaptation, AAAI, arXiv 1707.01217, algorithm 1. The penalty's points are the paper's;
        some codes take those between alone

    Args:
        weight: of the distance.
        penalty: of the critic's slopes.
        steps: of the critic a batch.
        points: where slopes are penalised: `all` (between pairs and at both ends) or `between`.
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
        """Return what the critic minimises."""
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
