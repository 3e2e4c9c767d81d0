"""Start from the source's weights and train all of them."""

from __future__ import annotations

from typing import ClassVar

from transfergrid.records.needs import Baselines
from transfergrid.records.space import Space, rates
from transfergrid.strategies.base import Strategy


class FullFinetuning(Strategy):
    """Start from the source's weights and train all of them.

    Every weight learns at one rate, backbone and new head alike.

    Formula:
        CE(w), from the source's w
    Try it:
        first: it is plain fine-tuning, which every other way of adapting weights has to beat
    Cost:
        a forward and backward pass of the whole network at each step; the costs of other strategies
        are stated relative to this
    Source:
        Yosinski et al. 2014, How transferable are features in deep neural networks?, NIPS, arXiv
        1411.1792
    """

    baselines: ClassVar[Baselines] = Baselines(
        exploratory=["scratch_converged", "feature_extraction"]
    )
    space: ClassVar[Space] = {
        "lr_factor": rates(0.3, brief=0.95, small_images=0.3, images=1.0, text=0.095)
    }
    also_called = ("finetuning", "ft", "plain_finetuning", "vanilla", "vanilla_finetuning")
    stackable = True
    badges = ("trajectory_exact",)
