"""The base class and shared settings of strategies that align the features of two domains."""

from abc import abstractmethod
from dataclasses import replace
from typing import Any

from torch import Tensor

from transfergrid.strategies import (
    Baselines,
    Batch,
    Needs,
    NotNegative,
    Objective,
    Phase,
    Range,
    Schedule,
    Strategy,
    StreamName,
    rates,
)
from transfergrid.strategies.draws import same_draws

READS: tuple[StreamName, ...] = ("source", "target", "unlabelled")
ADAPTS = Needs(source="start", target_labels="optional", domains=1, classes="same", unlabelled=True)
ADAPTED = Baselines(
    "source_and_target",
    "source_only",
    ["scratch", "full_finetuning", "source_only_target_statistics"],
)
RATES = rates(3.0, small_images=3.0, images=0.3, text=0.1)
"""The rates of `source_only` and `source_and_target`, with which adaptation is compared."""
SAME = replace(RATES, as_baseline=True)
"""For strategies that equal one of these two baselines when the weight of their term is 0."""


class FeatureAlignment(Strategy):
    """The loss of what is labelled, plus `weight` times a distance of two domains' features.

    BatchNorm does not record unlabelled inputs, so that `weight` 0 is exactly the baseline.

    Args:
        weight: weight of the distance.
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs, baselines = ADAPTS, ADAPTED
    space = {"lr_factor": SAME, "weight": Range(1e-2, 10.0, default=1.0)}
    setting, transfers = "transductive", "features"

    def __init__(
        self, weight: NotNegative = 1.0, schedule: Schedule | None = "inverse_decay", **shared: Any
    ) -> None:
        super().__init__(schedule=schedule, **shared)
        self.weight = weight

    def phases(self) -> list[Phase]:
        return [Phase("adapt", [Objective(self.loss, self.everything())], reads=READS)]

    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.unlabelled is not None
        seen = batch.labelled()
        features = self.features(seen.inputs)
        with same_draws(self):  # what follows draws the same numbers as without this pass
            other = self.features(batch.unlabelled, recorded=False)
        labelled = self.task.loss(self.head(features), seen.labels)
        from_source = features[: len(batch.source[0].labels)]
        return labelled + self.weight * self.distance(from_source, other, progress)

    @abstractmethod
    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        """Return the distance between the two domains' features (batch, dim), a scalar."""
