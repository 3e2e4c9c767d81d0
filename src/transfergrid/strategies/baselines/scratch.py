"""The source's architecture trained from random weights: the result without any transfer."""

from __future__ import annotations

from typing import ClassVar

from transfergrid.records.needs import Baselines, Needs
from transfergrid.records.space import Space, rates
from transfergrid.strategies.base import Strategy


class Scratch(Strategy):
    """Train all weights from random ones; the primary baseline of every source with labels.

    Formula:
        CE(w), from random w
    Try it:
        always: it is the primary baseline, and the gain over it is the worth of transfer
    Cost:
        that of full fine-tuning, and no source
    Source:
        He, Girshick & Dollar 2019, Rethinking ImageNet pre-training, ICCV, arXiv 1811.08883
    """

    needs: ClassVar[Needs] = Needs(source="architecture")
    baselines: ClassVar[Baselines] = Baselines(labelled=None)
    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, brief=0.95, small_images=0.3, images=10.0, text=0.095, vectors=0.3)
    }
    transfers = "nothing"
    also_called = ("from_scratch", "random_init", "random_initialisation", "no_transfer")
    stackable = True
    badges = ("trajectory_exact",)
