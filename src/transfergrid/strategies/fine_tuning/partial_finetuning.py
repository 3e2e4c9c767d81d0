"""Fine-tune one contiguous stretch of the source's blocks, and the head."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from annotated_types import Len, doc

from transfergrid.strategies import (
    BadInputError,
    Baselines,
    Group,
    ImpossibleError,
    Needs,
    Objective,
    Phase,
    Sizes,
    Strategy,
    rates,
)

Place = Literal["first", "middle", "last", "all"]
Numbers = Annotated[Sequence[int], Len(2, 2), doc("[FROM, TO] in numbers of blocks")]


class PartialFinetuning(Strategy):
    """One stretch of neighbouring blocks learns, and the head always does; the rest stands still.

    A frozen block keeps its running statistics and has no dropout. A layer without parameters that
    is in no block is in the mode of the whole network. Leading frozen blocks run once, and their
    outputs are cached.

    Formula:
        min CE over (W_from ... W_to, head), all other W as the source has them

    Try it:
        With few labels, where you can guess what differs: tune the first blocks if the inputs do
        (noise, another camera), the middle ones if the features do, the last if the classes do. Not
        where everything differs and there are many labels.

    Cost:
        Below full fine-tuning: no gradients below the stretch, no optimiser state outside it.
        Nothing more at prediction.

    Source:
        Lee et al. 2023, Surgical Fine-Tuning Improves Adaptation to Distribution Shifts (arXiv
        2210.11466), section 2.

    Args:
        blocks: `first`, `middle` or `last` for that one block, `all`, or [FROM, TO], both included:
            numbers from 1 at the input, or from -1 at the head. Of an even number of blocks, the
            middle one is the one nearer to the input.
        granularity: what is counted: `coarse` blocks (stages) or `fine` ones (layers).
        shared: see `Strategy`.

    Raises:
        BadInputError: [FROM, TO] is not a stretch for any network.
    """

    needs = Needs(layers="some")
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space = {"lr_factor": rates(3.0, brief=0.95, small_images=0.95, images=1.0, text=0.3)}
    also_called = ("partial",)
    variants = dict.fromkeys(
        ("surgical", "surgical_finetuning"), "strategy.blocks=first,middle,last"
    )
    badges = ("trajectory_exact",)
    stackable = True

    def __init__(
        self,
        blocks: Place | Numbers = "last",
        granularity: Literal["coarse", "fine"] = "coarse",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if not isinstance(blocks, str) and (
            0 in blocks or ((min(blocks) > 0) == (max(blocks) > 0) and blocks[0] > blocks[1])
        ):
            raise BadInputError(
                f"strategy.blocks={list(blocks)} is no stretch: give [FROM, TO] with FROM before "
                "TO, counted from 1 at the input or from -1 at the head"
            )
        self.blocks, self.granularity = blocks, granularity

    def build(self, sizes: Sizes) -> None:
        self.stretch()

    def stretch(self) -> tuple[int, int]:
        """Return where the stretch begins and ends: block indices from 0, the end not included.

        Raises:
            ImpossibleError: the network has no such blocks.
        """
        count = len(self.backbone.blocks(self.granularity))
        if isinstance(self.blocks, str):
            middle = (count - 1) // 2
            return {
                "first": (0, 1),
                "middle": (middle, middle + 1),
                "last": (count - 1, count),
                "all": (0, count),
            }[self.blocks]
        first, last = (n - 1 if n > 0 else count + n for n in self.blocks)
        told = f"strategy.blocks={list(self.blocks)}: {self.backbone.title} has {count} "
        told += f"{self.granularity} blocks"
        if not (0 <= first < count and 0 <= last < count):
            raise ImpossibleError(f"{told}, numbered from 1 to {count}")
        if first > last:
            raise ImpossibleError(
                f"{told}, of which that is {first + 1} to {last + 1}: give FROM before TO"
            )
        return first, last + 1

    def phases(self) -> list[Phase]:
        first, behind = self.stretch()
        blocks = self.block_groups(granularity=self.granularity)[first:behind]
        return [Phase("train", [Objective(self.loss, self._learns(blocks))])]

    def _learns(self, blocks: list[Group]) -> list[Group]:
        return self.everything() if self.blocks == "all" else [self.head_group(), *blocks]
