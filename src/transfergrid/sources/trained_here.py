"""Weights that this program trains itself, on a named source domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from transfergrid.records.arguments import Share, Whole
from transfergrid.records.component import Component
from transfergrid.records.errors import BadInputError
from transfergrid.records.metrics import CLUSTERS, kind_of
from transfergrid.sources.made_here import MadeHere
from transfergrid.sources.source import Architecture, Maker, Source

if TYPE_CHECKING:
    from torch import nn

    from transfergrid.data.domain import Domain
    from transfergrid.sources.backbone import Backbone


@dataclass(frozen=True)
class TrainedHere(MadeHere):
    """An architecture trained on a source domain, once for all cells with the same source.

    Attributes:
        architecture: of the network that is trained.
        domain: the labelled domain that it is trained on.
        training: the recipe of the training.
        start: pretrained weights to start from; by default they are random.
        seed: of the training; "block" trains a source anew for each seed block.
        shuffle_labels: train on shuffled labels of the domain, as a placebo.
        label_noise: share of the domain's labels that are redrawn uniformly over all classes, both
            for training the source and for strategies that learn from its labels.
    """

    architecture: Architecture
    domain: Domain
    training: Component
    start: Source | None = None
    seed: Whole | Literal["block"] = 0
    shuffle_labels: bool = False
    label_noise: Share | None = None
    optional: ClassVar[tuple[str, ...]] = ("label_noise",)

    def head(self, backbone: Backbone, maker: Maker, block_seed: int) -> nn.Module:
        """See `Source.head`."""
        backbone.head_weights = dict(maker.trained_head(self, self.seed_in(block_seed)))
        return super().head(backbone, maker, block_seed)

    def check(self) -> None:
        """See `Source.check`."""
        if self.domain is not None:
            self._check_labels()
        super().check()
        if self.label_noise is not None and self.domain.of_numbers:
            raise BadInputError("source.label_noise is for classes, and source.domain has numbers")

    def _check_labels(self) -> None:
        """Raise `BadInputError` unless the domain has labels to learn from."""
        metric, ours = self.domain.metric, "a source that is trained here learns from labels"
        if not self.domain.labelled or kind_of(metric) == CLUSTERS:
            clusters = f"is clustered (source.domain.metric={metric})"
            told = clusters if self.domain.labelled else "has no labels"
            raise BadInputError(
                f"source.domain ({self.domain.kind}) {told}, and {ours}: "
                "source=pretrained_here learns without"
            )
