"""Fine-tune with rates that fall from the head towards the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from typing_extensions import override

from transfergrid.records.arguments import Positive
from transfergrid.records.needs import Baselines
from transfergrid.records.space import Range, Space, rates
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.phases import Objective, Phase


class LayerwiseLR(Strategy):
    """Fine-tune with rates that fall from the head towards the input.

    The head has depth 0, the block next to it 1, the block at the input the largest.

    Formula:
        rate of block d = lr decay^d
    Try it:
        where early layers are general and labels few; at decay 1 it is plain fine-tuning
    Cost:
        that of full fine-tuning
    Source:
        Howard & Ruder 2018, Universal language model fine-tuning (ULMFiT), ACL, arXiv 1801.06146,
        section 3.2

    Args:
        decay: factor per block towards the input; ULMFiT's is 1 / 2.6.
        granularity: `coarse` blocks (stages) or `fine` ones (layers).
        shared: `lr_factor`; and `schedule`, of which `slanted_triangular` is ULMFiT's.

    Raises:
        BadInputError: the granularity is neither, or the decay is not above 0.
    """

    baselines: ClassVar[Baselines] = Baselines(exploratory=["scratch_converged", "full_finetuning"])
    space: ClassVar[Space] = {
        "lr_factor": rates(10.0, brief=9.5, small_images=3.0, images=32.0, text=3.0),
        "decay": Range(0.1, 0.95, default=1 / 2.6),
    }
    closed_to: ClassVar[Mapping[str, str]] = {
        "layer_decay": "rates fall by layer as strategy.decay says"
    }
    also_called = (
        "llrd",
        "layerwise_lr_decay",
        "discriminative_learning_rates",
        "discriminative_finetuning",
    )
    stackable = True
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        decay: Positive = 1 / 2.6,
        granularity: Literal["coarse", "fine"] = "coarse",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.decay, self.granularity = decay, granularity

    @override
    def phases(self) -> list[Phase]:
        blocks = self.block_groups(decay=self.decay, granularity=self.granularity)
        return [Phase("train", [Objective(self.loss, [self.head_group(), *blocks])])]
