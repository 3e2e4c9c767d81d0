"""The base class of strategies that learn from several source domains, with a batch of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from transfergrid.strategies import (
    Baselines,
    Batch,
    Needs,
    Objective,
    Phase,
    Schedule,
    Strategy,
    StreamName,
    rates,
)

SEVERAL = Needs(
    source="start", target_labels="optional", domains=2, classes="same", unlabelled=True
)
COMPARED = Baselines("source_and_target", "source_only", ["scratch", "full_finetuning"])
"""Compared with baselines that do not tell sources apart but pool their examples."""
RATES = rates(3.0, small_images=3.0, images=0.3, text=0.1)
"""The rates of `source_only` and `source_and_target`."""
READS: tuple[StreamName, ...] = ("source", "target", "unlabelled")


@dataclass
class Passed:
    """The results of one forward pass of all labelled examples of a batch.

    BatchNorm normalises all of them together, as in the baseline.

    Attributes:
        features: features of each source domain, (batch, dim).
        losses: loss of each source domain, (domains,).
        target: the loss of the labelled target examples; None where there are none.
        sizes: number of examples of each source domain, and last of the target.
    """

    features: Sequence[Tensor]
    losses: Tensor
    target: Tensor | None
    sizes: tuple[int, ...]

    def with_target(self, source: Tensor) -> Tensor:
        """Return the mean of the sources' loss and the target's, weighted by number of examples.

        All sources together count as one batch, as in `source_and_target`: as many examples as the
        largest of their batches has.

        Args:
            source: the combined loss of the sources, a scalar.
        """
        if self.target is None:
            return source
        one, own = max(self.sizes[:-1]), self.sizes[-1]
        return (one * source + own * self.target) / (one + own)


class SeveralSources(Strategy):
    """The losses of several source domains, brought together in a way of its own.

    A subclass combines the losses in its `loss`, from the results of `passed`.

    Args:
        schedule: the annealing of Ganin et al. 2016 by default; null for the shared schedule.
        shared: `lr_factor`.
    """

    needs, baselines = SEVERAL, COMPARED
    setting, transfers = "transductive", "features"

    def __init__(self, schedule: Schedule | None = "inverse_decay", **shared: Any) -> None:
        super().__init__(schedule=schedule, **shared)

    def phases(self) -> list[Phase]:
        return [Phase("adapt", [Objective(self.loss, self.everything())], reads=READS)]

    def passed(self, batch: Batch) -> Passed:
        """Pass all labelled examples of a batch through the network at once."""
        sizes = [len(part.labels) for part in batch.source]
        sizes.append(len(batch.target.labels) if batch.target is not None else 0)
        features = self.features(batch.labelled().inputs)
        outputs = torch.split(self.head(features), sizes)
        losses = [
            self.task.loss(said, part.labels)
            for said, part in zip(outputs, batch.source, strict=False)
        ]
        own = None
        if batch.target is not None:
            own = self.task.loss(outputs[-1], batch.target.labels)
        return Passed(torch.split(features, sizes)[:-1], torch.stack(losses), own, tuple(sizes))


def weighed(losses: Tensor, weights: Tensor) -> Tensor:
    """Return the sum of alpha_k L_k, given losses L and weights alpha, each (domains,)."""
    return (weights.to(losses) * losses).sum()


def equal(losses: Tensor) -> Tensor:
    """Return equal weights that sum to 1, (domains,)."""
    return torch.full_like(losses, 1 / len(losses)).detach()
