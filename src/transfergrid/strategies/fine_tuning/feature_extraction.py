"""A linear classifier on the frozen source."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from transfergrid.records.needs import Baselines
from transfergrid.strategies.base import ParamGroup, Strategy


class FeatureExtraction(Strategy):
    """Linear probe: the backbone keeps weights and statistics, only the new head learns."""

    baselines: ClassVar[Baselines] = Baselines(exploratory=["scratch_converged", "full_finetuning"])

    def __init__(self, lr_factor: float = 3.0, schedule: str | None = None) -> None:
        super().__init__(lr_factor, schedule)

    @override
    def trainable(self) -> list[ParamGroup]:
        return [ParamGroup("head", list(self.head.parameters()))]
