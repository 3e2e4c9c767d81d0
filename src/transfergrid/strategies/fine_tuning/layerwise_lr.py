"""Fine-tune with rates that fall from the head towards the input."""

from __future__ import annotations

from typing import ClassVar, Literal

from typing_extensions import override

from transfergrid.records.errors import BadInputError, check_known
from transfergrid.records.needs import Baselines
from transfergrid.strategies.base import ParamGroup, Strategy


class LayerwiseLR(Strategy):
    """Discriminative fine-tuning (Howard & Ruder 2018, section 3.2): block d learns at decay^d.

    The head has depth 0, the block next to it 1, the block at the input the largest.

    Args:
        lr_factor: multiplies the shared learning rate.
        schedule: `slanted_triangular` is ULMFiT's; None for the shared schedule.
        decay: factor per block towards the input; ULMFiT's is 1 / 2.6.
        granularity: `coarse` blocks (stages) or `fine` ones (layers).

    Raises:
        BadInputError: the granularity is neither, or the decay is not above 0.
    """

    baselines: ClassVar[Baselines] = Baselines(exploratory=["scratch_converged", "full_finetuning"])

    def __init__(
        self,
        lr_factor: float = 10.0,
        schedule: str | None = None,
        decay: float = 1 / 2.6,
        granularity: Literal["coarse", "fine"] = "coarse",
    ) -> None:
        super().__init__(lr_factor, schedule)
        check_known("strategy.granularity", granularity, ("coarse", "fine"))
        if not decay > 0:
            raise BadInputError(f"strategy.decay must be above 0: {decay}")
        self.decay, self.granularity = decay, granularity

    @override
    def trainable(self) -> list[ParamGroup]:
        named = dict(self.backbone.named_parameters())
        groups = [ParamGroup("head", list(self.head.parameters()))]
        for depth, block in enumerate(reversed(self.backbone.blocks(self.granularity)), start=1):
            parameters = [named[name] for name in block.parameters]
            groups.append(ParamGroup(block.name, parameters, self.decay**depth))
        return groups
