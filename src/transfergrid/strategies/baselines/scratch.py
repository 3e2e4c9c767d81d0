"""The source's architecture with random weights: what there is without any transfer."""

from __future__ import annotations

from typing import ClassVar

from transfergrid.records.needs import Baselines, Needs
from transfergrid.strategies.base import Strategy


class Scratch(Strategy):
    """Train all weights from random ones; the primary baseline of every source with labels."""

    needs: ClassVar[Needs] = Needs(source="architecture")
    baselines: ClassVar[Baselines] = Baselines(labelled=None)

    def __init__(self, lr_factor: float = 3.0, schedule: str | None = None) -> None:
        super().__init__(lr_factor, schedule)
