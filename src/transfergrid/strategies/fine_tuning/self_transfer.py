"""The control for network surgery: first blocks that were trained on the target itself."""

from typing import Any, Literal

from transfergrid.sources.backbone import Backbone
from transfergrid.strategies import (
    Baselines,
    Data,
    Needs,
    Objective,
    Phase,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.fine_tuning.network_surgery import place_of, take_over


class SelfTransfer(Strategy):
    """Train from random weights, keep what comes before a cut, make the rest anew, train again.

    Its loss against `scratch` is what breaking co-adaptation at the cut costs; the loss of
    `network_surgery` against it at the same cut is what a source of another task costs. The first
    training takes as many steps again, counted as a teacher's, and begins with other random weights
    than `scratch`. The blocks and head that are new in the second training have the initial weights
    of `scratch`; with no block kept this strategy is `scratch`. It uses no weights of the source.

    Formula:
        W = (own W_1 ... W_k of a first training, new W_(k+1) ... W_B)

    Try it:
        Beside network_surgery at the same cuts. It is a control, not a way to a good score.

    Cost:
        Twice that of training from scratch. Nothing more at prediction.

    Source:
        Yosinski et al. 2014, How Transferable are Features in Deep Neural Networks? (arXiv
        1411.1792), section 3: BnB (`kept=frozen`) and BnB+ (`kept=tuned`).

    Args:
        cut: number of blocks before the cut, from 0 to all; a negative number counts from the head.
        kept: whether the kept blocks are `tuned` or `frozen`.
        granularity: what is counted: `coarse` blocks (stages) or `fine` ones (layers).
        shared: see `Strategy`; both trainings have the same rate.
    """

    needs = Needs(source="architecture", layers="some")
    baselines = Baselines()
    space = {"lr_factor": rates(0.95, brief=3.0, small_images=0.3, images=3.2, text=0.095)}
    transfers = "nothing"
    also_called = ("bnb", "self_transfer_control", "selffer")
    badges = ("formula_exact", "trajectory_exact")

    def __init__(
        self,
        cut: int = -1,
        kept: Literal["tuned", "frozen"] = "tuned",
        granularity: Literal["coarse", "fine"] = "coarse",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.cut_before, self.kept, self.granularity = cut, kept, granularity

    def build(self, sizes: Sizes) -> None:
        self.place = place_of(self.cut_before, self.backbone, self.granularity)
        if self.place:
            self.scaffold["new_backbone"] = self.copied(self.backbone)
            self.scaffold["new_head"] = self.copied(self.head)
            first, blocks = self.fresh("first backbone"), self.backbone.blocks("fine")
            take_over(blocks, first, self.backbone)
            self.head.load_state_dict(self.task.head(self.backbone.dim).state_dict())

    def phases(self) -> list[Phase]:
        learns = self.block_groups(granularity=self.granularity)
        if self.kept == "frozen":
            learns = learns[self.place :]
        again = Phase("again", [Objective(self.loss, [self.head_group(), *learns])])
        if not self.place:
            return [again]
        first = Objective(self.loss, self.everything())
        return [
            Phase("first", [first], counts="teacher"),
            Phase("cut", before=self.cut_over),
            again,
        ]

    def cut_over(self, data: Data) -> None:
        """Re-initialise the blocks after the cut, and the head."""
        new = self.scaffold["new_backbone"]
        assert isinstance(new, Backbone)
        take_over(self.backbone.blocks(self.granularity)[self.place :], new, self.backbone)
        self.head.load_state_dict(self.scaffold["new_head"].state_dict())
