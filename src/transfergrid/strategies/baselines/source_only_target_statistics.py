"""Train on the source domain while BatchNorm also records the target's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from typing_extensions import override

from transfergrid.data.batches import Batch
from transfergrid.records.needs import Baselines, Needs
from transfergrid.records.training import Schedule
from transfergrid.strategies.base import Sizes
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.batch_norms import batch_norms
from transfergrid.strategies.phases import Data, Objective, Phase
from transfergrid.strategies.weight_space.batch_statistics import retake


class SourceOnlyTargetStatistics(SourceOnly):
    """`source_only`, the target's statistics in its BatchNorm: what these alone are worth.

    Much of an adaptation's gain may come from this: published codes differ in whether target
    batches reach the running statistics, and few say so. Each step is that of `source_only`; after
    its forward pass a batch of unlabelled inputs passes in training mode, without a gradient. Both
    batches are recorded in turn, with the layer's own momentum, so that target and source each have
    about half of the weight, as in a network that sees batches of both domains.
    `statistics=target` instead takes the statistics of the target alone, after the last step, as
    `adabn` does. All parameters are those of `source_only`, bit for bit; only predictions differ.

    Formula:
        CE(source); running statistics of source and target batches in turn, or the target's
    Try it:
        beside an adaptation, to see how much of its gain is due to statistics alone:
        `transfergrid verdicts --over source_only_target_statistics`
    Cost:
        a forward pass of as many unlabelled inputs a step, beside `source_only`
    Source:
        Li et al. 2017, Revisiting batch normalization for practical domain adaptation, arXiv
        1603.04779, for statistics of the target; as a baseline it is ours

    Args:
        statistics: statistics of `both` domains in turn, or of the `target` alone.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.

    Raises:
        ImpossibleError: the network has no BatchNorm.
    """

    needs: ClassVar[Needs] = replace(SourceOnly.needs, unlabelled=True, layers="batch_norm")
    baselines: ClassVar[Baselines] = Baselines("source_and_target", "source_only")
    space = {"lr_factor": replace(SourceOnly.space["lr_factor"], as_baseline=True)}
    moves_statistics = True
    stackable = True
    closed_to: ClassVar[Mapping[str, str]] = {
        "weight_averaging": "a mean's statistics are taken of labelled examples alone"
    }
    badges = ("trajectory_exact",)

    def __init__(
        self,
        statistics: Literal["both", "target"] = "both",
        schedule: Schedule | None = "inverse_decay",
        **shared: Any,
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.statistics = statistics

    @override
    def build(self, sizes: Sizes) -> None:
        batch_norms(self.backbone, "source_only_target_statistics")

    @override
    def phases(self) -> list[Phase]:
        whole = [Objective(self.loss, self.everything())]
        if self.statistics == "both":
            return [Phase("train", whole, reads=["source", "unlabelled"])]
        take = Phase("take", before=self.take, reads=["unlabelled"])
        return [Phase("train", whole, reads=["source"]), take]

    @override
    def loss(self, batch: Batch, progress: float) -> Tensor:
        of_source = super().loss(batch, progress)
        if batch.unlabelled is not None:
            with torch.no_grad():
                self.features(batch.unlabelled)  # after the source, whose dropout draws then stay
        return of_source

    def take(self, data: Data) -> None:
        """Set BatchNorm's statistics to those of all unlabelled target inputs."""
        assert data.unlabelled is not None
        norms = batch_norms(self.backbone, "source_only_target_statistics")
        retake(norms, [data.unlabelled], self.backbone.embed)
