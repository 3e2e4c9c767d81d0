"""Pretext task BYOL: one view predicts a slower second network's projection of the other view."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from transfergrid.records.arguments import Count, Share
from transfergrid.runs.pretext.base import WIDTH, Pretext, dense
from transfergrid.strategies import Batch, Group, Inputs, Phase, evaluating
from transfergrid.strategies.modes import unrecorded_statistics


def foretelling(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean over a batch of 2 - 2 cos of (n, d) each; the target gets no gradient."""
    cosines = (normalize(prediction, dim=1) * normalize(target.detach(), dim=1)).sum(1)
    return (2 - 2 * cosines).mean()


def momentum_at(step: int, steps: int, base: float) -> float:
    """Return the share of itself that the second network keeps: from base to 1, a half cosine."""
    return 1 - (1 - base) * (math.cos(math.pi * step / steps) + 1) / 2


def spread(projected: Tensor) -> Tensor:
    """Return sqrt(1 - |mean|^2) of projections (n, d) that are normalised to length 1.

    It is 1 if they point in all directions, and 0 if all point in the same one.
    """
    return (1 - normalize(projected, dim=1).mean(0).square().sum()).clamp_min(0).sqrt()


class Byol(Pretext):
    """The prediction of one view's projection by a slow network's of the other, both ways, a sum.

    Nothing keeps the views of different images apart, so all projections could collapse into one:
    `spread` reports, for the last steps, how far they were from that: 1 evenly spread, 0 collapsed.
    The slow network uses batch statistics, without updating its running statistics.

    Formula: 2 - 2 cos(q(z_1), sg z'_2) and the same with views exchanged; weights of the second
    network m' <- t m' + (1 - t) m, t = 1 - (1 - t_0) (cos(pi k / K) + 1) / 2.

    Source: Grill et al. 2020, Bootstrap your own latent, NeurIPS, arXiv 2006.07733, section 3.

    Args:
        momentum: t_0.
        width: width of projection and prediction; their hidden layers are twice as wide.
    """

    reads = "views"
    finds = ("spread",)

    def __init__(self, momentum: Share = 0.996, width: Count = WIDTH) -> None:
        super().__init__()
        self.momentum, self.width = momentum, width

    def make(self) -> None:
        """See `Pretext.make`."""
        wide = 2 * self.width
        self.scaffold["projector"] = dense(self.backbone.dim, wide, self.width, batch_norm=True)
        self.scaffold["predictor"] = dense(self.width, wide, self.width, batch_norm=True)
        self.scaffold["second"] = self.copied(self.backbone)
        self.scaffold["second_projector"] = self.copied(self.scaffold["projector"])

    def others(self) -> list[Group]:
        """Return projector and predictor; the second network gets no gradients."""
        names = ("projector", "predictor")
        return [Group(name, self.scaffold[name].parameters()) for name in names]

    def phases(self) -> list[Phase]:
        """Return the phase, in which the second network is updated after each step."""
        return [replace(phase, after=self.follow) for phase in super().phases()]

    def follow(self, step: int, steps: int) -> None:
        """Move the second network's weights towards the first one's, as a running mean."""
        kept = momentum_at(step, steps, self.momentum)
        pairs = (
            (self.scaffold["second"], self.backbone),
            (self.scaffold["second_projector"], self.scaffold["projector"]),
        )
        for behind, ahead in pairs:
            for slow, own in zip(behind.parameters(), ahead.parameters(), strict=True):
                slow.lerp_(own, 1 - kept)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """See `Pretext.loss`."""
        assert batch.views is not None
        one, other = (self.scaffold["projector"](self.features(view)) for view in batch.views)
        targets = [self._slow(view) for view in batch.views]
        self.note(spread=spread(one))
        predictor = self.scaffold["predictor"]
        return foretelling(predictor(one), targets[1]) + foretelling(predictor(other), targets[0])

    def _slow(self, view: Inputs) -> Tensor:
        second, projector = self.scaffold["second"], self.scaffold["second_projector"]
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            for part in (second, projector):
                stack.enter_context(evaluating(part, training=True))
                stack.enter_context(unrecorded_statistics(part))
            made: Tensor = projector(second(view))
        return made
