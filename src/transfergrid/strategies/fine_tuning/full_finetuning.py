"""Start from the source's weights and train all of them."""

from __future__ import annotations

from typing import ClassVar

from transfergrid.records.needs import Baselines
from transfergrid.strategies.base import Strategy


class FullFinetuning(Strategy):
    """Every weight learns at one rate, backbone and new head alike (Yosinski et al. 2014)."""

    baselines: ClassVar[Baselines] = Baselines(
        exploratory=["scratch_converged", "feature_extraction"]
    )

    def __init__(self, lr_factor: float = 0.3, schedule: str | None = None) -> None:
        super().__init__(lr_factor, schedule)
