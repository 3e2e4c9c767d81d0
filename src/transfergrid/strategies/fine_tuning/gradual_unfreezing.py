"""Fine-tune the head first, then one block more at a time, from the top."""

from typing import Any

from transfergrid.strategies import (
    Baselines,
    Objective,
    Part,
    Phase,
    Positive,
    Range,
    Strategy,
    in_one_run,
    rates,
)


class GradualUnfreezing(Strategy):
    """One coarse block more in each of equal stretches (Howard & Ruder 2018, section 3.3).

    The schedule runs once over all of it and the optimiser is never begun anew.

    Args:
        share: of the steps, in which blocks are still frozen.
        decay: factor of the rate per block towards the input; ULMFiT's is 1 / 2.6.
        shared: `lr_factor`; and `schedule`, of which `slanted_triangular` is ULMFiT's.
    """

    baselines = Baselines(exploratory=["layerwise_lr", "full_finetuning"])
    space = {
        "lr_factor": rates(3.0, small_images=3.0, images=1.0, text=0.3),
        "share": Range(0.2, 0.9, log=False, default=0.5),
        "decay": Range(0.1, 0.95, default=1 / 2.6),
    }
    badges = ("trajectory_exact",)

    def __init__(self, share: Part = 0.5, decay: Positive = 1 / 2.6, **shared: Any) -> None:
        super().__init__(**shared)
        self.share, self.decay = share, decay

    def phases(self) -> list[Phase]:
        blocks = self.block_groups(decay=self.decay, granularity="coarse")
        shares = [1 - self.share, *[self.share / len(blocks)] * len(blocks)]
        parts = [Objective(self.loss, [self.head_group(), *blocks[k:]]) for k in range(len(shares))]
        stretches = [Phase(f"from block {k}", [parts[k]], shares[k]) for k in range(len(shares))]
        return in_one_run(stretches[::-1], self.shared_schedule)
