"""One task after the other, each in a new column that also sees the earlier columns' states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from transfergrid.data.torch_seed import seed_torch
from transfergrid.records.seeds import stream_seed
from transfergrid.sources.backbone import Backbone
from transfergrid.strategies import Group, Inputs, Sizes
from transfergrid.strategies.beside.progressive_networks import Lateral, entering
from transfergrid.strategies.maps import channel_axes
from transfergrid.strategies.tasks.chain import OneAfterTheOther

LATER = "columns behind the first one start from random weights"


class ProgressiveColumns(OneAfterTheOther):
    """Learn a chain of tasks, each in a column of its own; earlier ones stand still for good.

    The first column starts from the source's initial weights, each later one from random weights
    with the source's architecture. The inputs of each block of a column, and of its head, get
    lateral maps of the previous block's outputs in all earlier columns added, as in
    `progressive_networks`; this is its form for more than two columns. The outputs of a link stay
    the same, bit for bit, after all later links: forgetting is 0.

    Formula:
        h_k^(i) = block_k(h_(k-1)^(i) + sum over j < i of lateral_k^(i,j)(h_(k-1)^(j)))
    Try it:
        where no link may be forgotten and there are few links; memory and time grow with their
        square
    Cost:
        one more forward pass at each step, of all earlier columns; at prediction all columns run
    Source:
        Rusu et al. 2016, Progressive neural networks, arXiv 1606.04671, equations 1 and 2

    Args:
        links: names of the source's domains in the order of learning; null: in order of name.
        lateral: kind of the lateral maps: an `adapter` of a quarter of the channels, or `linear`.
        shared: `lr_factor`, `schedule` and what every gradient strategy takes.
    """

    badges = ("trajectory_exact",)
    version = 2  # 1 also passed on what laterals had added to an earlier column
    also_called = ("progressive_chain",)
    transfers = "features"
    closed_to: ClassVar[Mapping[str, str]] = {
        **OneAfterTheOther.closed_to,
        "layer_decay": LATER,
        "l2_sp": LATER,
    }

    def __init__(
        self,
        links: Sequence[str] | None = None,
        lateral: Literal["adapter", "linear"] = "adapter",
        **shared: Any,
    ) -> None:
        super().__init__(links, **shared)
        self.lateral = lateral

    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        self.columns, self.laterals = nn.ModuleList(), nn.ModuleList()
        self._grow(len(self.heads))

    def _grow(self, more: int) -> None:
        """Create the columns after the first one; the last has the initial weights of `scratch`."""
        sides = [*zip(entering(self.backbone), channel_axes(self.backbone), strict=True)]
        for place in range(1, more + 1):
            self.columns.append(self.fresh("backbone" if place == more else f"column {place}"))
            seed_torch(stream_seed(self.block_seed, "laterals", place))
            each = [nn.ModuleList(self._lateral(*side) for side in sides) for _ in range(place)]
            self.laterals.append(nn.ModuleList(each))

    def _lateral(self, hidden: Tensor, axis: int) -> Lateral:
        return Lateral(hidden.shape[axis], self.lateral == "adapter", axis == hidden.ndim - 1)

    def learners(self, place: int) -> list[Group]:
        if not place:
            return [self.backbone_group()]
        column, laterals = self.columns[place - 1], self.laterals[place - 1]
        return [
            Group(f"column {place + 1}", column.parameters()),
            Group(f"laterals {place + 1}", laterals.parameters()),
        ]

    def embedded(self, place: int, inputs: Inputs, after: int | None = None) -> Tensor:
        made: list[list[Tensor]] = []
        for number in range(place + 1):
            with nullcontext() if number == place else torch.no_grad():
                states, found = self._column(number, inputs, made)
                made.append(states)
        return found

    def _column(
        self, number: int, inputs: Inputs, before: Sequence[Sequence[Tensor]]
    ) -> tuple[list[Tensor], Tensor]:
        """Return the outputs of a column's blocks, before laterals, and the inputs of its head.

        Args:
            number: number of the column, from 0.
            inputs: inputs of all columns.
            before: outputs of the blocks of each earlier column.
        """
        column: Backbone = self.columns[number - 1] if number else self.backbone  # type: ignore[assignment]
        laterals: Any = self.laterals[number - 1] if number else ()
        states: list[Tensor] = []

        def beside(block: int, hidden: Tensor) -> Tensor:
            states.append(hidden)
            for lateral, theirs in zip(laterals, before, strict=True):
                hidden = hidden + lateral[block - 1](theirs[block - 1])
            return hidden

        embedded = column.steered(inputs, beside)
        return states, beside(len(states) + 1, embedded)

    def predict(self, inputs: Inputs) -> Tensor:
        outputs: Tensor = self.head(self.embedded(len(self.columns), inputs))
        return outputs

    def restore(self, state: Mapping[str, Tensor]) -> None:
        numbers = {name.split(".")[1] for name in state if name.startswith("columns.")}
        if len(numbers) > len(self.columns):
            self._grow(len(numbers))
        super().restore(state)
