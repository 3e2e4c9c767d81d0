"""What strategies share that learn from several source domains, each with a batch of its own."""

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
"""The same without telling sources apart: their union, pooled."""
RATES = rates(3.0, small_images=3.0, images=0.3, text=0.1)
"""Those of `source_only` and `source_and_target`."""
READS: tuple[StreamName, ...] = ("source", "target", "unlabelled")


@dataclass
class Passed:
    """One pass of all labelled examples of a batch, normalised together as the baseline's are.

    Attributes:
        features: of each source domain, (batch, dim).
        losses: of each source domain, (domains,).
        target: the loss of the labelled target examples; None where there are none.
        sizes: examples of each source domain, and of the target.
    """

    features: Sequence[Tensor]
    losses: Tensor
    target: Tensor | None
    sizes: tuple[int, ...]

    def with_target(self, source: Tensor) -> Tensor:
        """Return the loss of the sources, joined by the target's for its share of examples.

        However many sources there are they count as one batch, as in `source_and_target`.
        """
        if self.target is None:
            return source
        one, own = max(self.sizes[:-1]), self.sizes[-1]
        return (one * source + own * self.target) / (one + own)


class SeveralSources(Strategy):
    """The losses of several source domains, brought together in a way of its own.

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
        """Take all labelled examples of a batch through the network at once."""
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
    """Return sum alpha_k L_k of losses and weights (domains,)."""
    return (weights.to(losses) * losses).sum()


def equal(losses: Tensor) -> Tensor:
    """Return weights (domains,) that are all the same."""
    return torch.full_like(losses, 1 / len(losses)).detach()
