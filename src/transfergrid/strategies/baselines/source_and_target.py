"""Train on source domain and target labels together, without any adaptation."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.batches import Batch, join
from transfergrid.records.needs import Baselines, Needs
from transfergrid.strategies.base import Strategy


class SourceAndTarget(Strategy):
    """Pooled cross-entropy: the mean over the examples of a source and a target batch.

    Equal, step for step, to `domain_adversarial` with target labels and its weight at 0.
    """

    needs: ClassVar[Needs] = Needs(source="start", source_domain=True, same_classes=True)
    baselines: ClassVar[Baselines] = Baselines(exploratory=["full_finetuning"])

    def __init__(self, lr_factor: float = 3.0, schedule: str | None = "inverse_decay") -> None:
        super().__init__(lr_factor, schedule)

    @override
    def loss(self, batch: Batch, progress: float) -> Tensor:
        assert batch.source is not None
        assert batch.target is not None
        pooled = join(batch.source, batch.target)
        return nn.functional.cross_entropy(self.predict(pooled.inputs), pooled.labels)
