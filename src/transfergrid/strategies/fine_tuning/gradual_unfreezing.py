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
    """The head learns first, then one coarse block more in each of equal stretches, from the top.

    The schedule runs once over all steps, and the optimiser is never reset: a newly unfrozen block
    joins it while the other blocks keep their moments. A frozen block keeps its running statistics
    and has no dropout.

    Formula:
        stretch s trains head, W_B ... W_(B-s+1); the block d below the head at lr * decay^d

    Try it:
        On small targets, above all for texts. With few steps a stretch is too short for a block to
        adapt: use layerwise_lr.

    Cost:
        Below full fine-tuning: outputs of leading frozen blocks are cached, and need no gradients.
        Nothing more at prediction.

    Source:
        Howard & Ruder 2018, Universal Language Model Fine-tuning for Text Classification (arXiv
        1801.06146), section 3.3; discriminative rates 3.2, slanted triangles equation 3.

    Args:
        share: share of the steps in which some blocks are still frozen. ULMFiT unfreezes a block an
            epoch, which with few labels is a step or two.
        decay: factor of the rate per block towards the input (discriminative rates). ULMFiT's is
            1 / 2.6; at 1 all blocks have the same rate.
        shared: `lr_factor`; `schedule`, of which `slanted_triangular` is ULMFiT's; see `Strategy`.
    """

    baselines = Baselines(exploratory=["layerwise_lr", "full_finetuning"])
    space = {
        "lr_factor": rates(0.95, brief=9.5, small_images=0.95, images=3.2, text=3.0),
        "share": Range(0.2, 0.9, log=False, default=0.5),
        "decay": Range(0.1, 0.95, default=1 / 2.6),
    }
    also_called = ("gradual_unfreeze",)
    variants = {"ulmfit": "strategy.schedule=slanted_triangular"}
    badges = ("formula_exact", "trajectory_exact")
    closed_to = {"layer_decay": "rates fall by layer as strategy.decay says"}

    def __init__(self, share: Part = 0.5, decay: Positive = 1 / 2.6, **shared: Any) -> None:
        super().__init__(**shared)
        self.share, self.decay = share, decay

    def phases(self) -> list[Phase]:
        blocks = self.block_groups(decay=self.decay, granularity="coarse")
        shares = [1 - self.share, *[self.share / len(blocks)] * len(blocks)]
        parts = [Objective(self.loss, [self.head_group(), *blocks[k:]]) for k in range(len(shares))]
        stretches = [Phase(f"from block {k}", [parts[k]], shares[k]) for k in range(len(shares))]
        return in_one_run(stretches[::-1], self.shared_schedule)
