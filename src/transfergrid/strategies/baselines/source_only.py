"""Train on the labelled source domain and use the result on the target as it is."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Batch
from transfergrid.records.needs import Baselines, Needs
from transfergrid.strategies.base import Strategy


class SourceOnly(Strategy):
    """Cross-entropy on source batches alone: what adaptation at `labels=0` is compared with.

    Equal, step for step, to `domain_adversarial` with its weight at 0.
    """

    needs: ClassVar[Needs] = Needs(
        source="start", target_labels="unused", source_domain=True, same_classes=True
    )
    baselines: ClassVar[Baselines] = Baselines(labelled=None)

    def __init__(self, lr_factor: float = 3.0, schedule: str | None = "inverse_decay") -> None:
        super().__init__(lr_factor, schedule)

    @override
    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.source is not None
        logits = self.predict(batch.source.inputs)
        return nn.functional.cross_entropy(logits, batch.source.labels)
