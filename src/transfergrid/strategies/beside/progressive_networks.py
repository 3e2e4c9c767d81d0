"""A new column beside the frozen source, each of whose blocks also sees the source's states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.inputs import Inputs
from transfergrid.data.torch_seed import seed_torch
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.records.needs import Badge, Baselines, Needs
from transfergrid.records.seeds import stream_seed
from transfergrid.records.space import Space, rates
from transfergrid.sources.backbone import Backbone, evaluating
from transfergrid.strategies.base import Sizes, Strategy
from transfergrid.strategies.beside.standing import STANDS_STILL
from transfergrid.strategies.maps import channel_axes
from transfergrid.strategies.phases import Group, Objective, Phase

REDUCED = 4
"""An adapter's inner width is the number of channels divided by this."""
SMALL = 0.1
"""Initial value of an adapter's scale alpha."""


class Pointwise(nn.Module):
    """A linear map of channels without bias: axis 1 of maps (n, c, h, w), else the last axis.

    Args:
        channels: number of input channels.
        outputs: number of output channels.
        last: whether maps are (n, h, w, c).
    """

    def __init__(self, channels: int, outputs: int, last: bool = False) -> None:
        super().__init__()
        self.last = last
        self.weight = nn.Parameter(torch.empty(outputs, channels))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the mapped channels at each place."""
        if hidden.ndim == 4 and not self.last:
            return nn.functional.conv2d(hidden, self.weight[:, :, None, None])
        return nn.functional.linear(hidden, self.weight)


class Lateral(nn.Module):
    """U h, or with an adapter U relu(V (alpha h)); U is 0 at first.

    Args:
        channels: number of channels, in the source's hidden state and in the column's own.
        adapted: whether there is an adapter (V, alpha and the ReLU).
        last: whether maps are (n, h, w, c), as in some vision transformers.
    """

    def __init__(self, channels: int, adapted: bool, last: bool = False) -> None:
        super().__init__()
        inner = max(1, channels // REDUCED) if adapted else channels
        self.u = Pointwise(inner, channels, last)
        nn.init.zeros_(self.u.weight)
        if adapted:
            self.v = Pointwise(channels, inner, last)
            self.alpha = nn.Parameter(torch.tensor(SMALL))
        self.adapted = adapted

    def forward(self, hidden: Tensor) -> Tensor:
        """Return what is added to the column's own hidden state, of the same shape."""
        if self.adapted:
            hidden = torch.relu(self.v(self.alpha * hidden))
        added: Tensor = self.u(hidden)
        return added


def entering(backbone: Backbone) -> list[Tensor]:
    """Return the inputs of each coarse block but the first, and of the head, for two examples.

    Raises:
        ImpossibleError: nothing can be inserted between the blocks of the network.
    """
    try:
        with evaluating(backbone), torch.no_grad():
            example = backbone.example(2)
            backbone.steered(example, lambda number, hidden: hidden)
            crossing = backbone.boundaries(example)
    except BadInputError as error:
        raise ImpossibleError(str(error)) from error
    return [boundary[0] for boundary in crossing]


class ProgressiveNetworks(Strategy):
    """A second column of the source's architecture learns, and looks at the source's hidden states.

    The inputs of each coarse block of the new column except the first, and those of its head, get a
    lateral map of the source's inputs at the same place added. Where a block begins with a linear
    map W, the paper's U is W times ours. The column starts from the initial weights of `scratch`,
    and laterals start at 0: the first prediction is that of `scratch`. The source keeps every
    weight and every running statistic. The `scratch` baseline has the width of the new column
    alone, not of both columns.

    Formula:
        h_k = block_k(h_(k-1) + U_k relu(V_k (alpha_k s_(k-1)))); s of the source, frozen; or with
        `lateral=linear` h_(k-1) + U_k s_(k-1)
    Try it:
        where source and target differ and there are many labels, so that a network could be trained
        from random weights anyway; a source that does not help can be ignored
    Cost:
        one more forward pass, of the source, at each step than `scratch`; at prediction both
        columns run
    Source:
        Rusu et al. 2016, Progressive neural networks, arXiv 1606.04671, equations 1 and 2

    Args:
        lateral: kind of the lateral maps: an `adapter` of a quarter of the channels, or `linear`.
        shared: `lr_factor`, `schedule` and what can be added to any strategy.
    """

    also_called: ClassVar[tuple[str, ...]] = ("progressive", "progressive_nets", "pnn")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")
    needs: ClassVar[Needs] = Needs(layers="some")
    baselines: ClassVar[Baselines] = Baselines(
        exploratory=["feature_extraction", "full_finetuning"]
    )
    closed_to: ClassVar[Mapping[str, str]] = {
        "layer_decay": STANDS_STILL,
        "l2_sp": STANDS_STILL,
        "probe_first": "the head is on the new column and not on the source's features",
    }
    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, brief=0.95, small_images=0.3, images=1.0, text=30.0)
    }
    transfers = "features"

    def __init__(self, lateral: Literal["adapter", "linear"] = "adapter", **shared: Any) -> None:
        super().__init__(**shared)
        self.lateral = lateral

    @override
    def build(self, sizes: Sizes) -> None:
        self.own = self.fresh("backbone")
        seed_torch(stream_seed(self.block_seed, "laterals"))
        parts = zip(entering(self.backbone), channel_axes(self.backbone), strict=True)
        self.laterals = nn.ModuleList(self._lateral(*part) for part in parts)

    def _lateral(self, hidden: Tensor, axis: int) -> Lateral:
        return Lateral(hidden.shape[axis], self.lateral == "adapter", axis == hidden.ndim - 1)

    @override
    def phases(self) -> list[Phase]:
        own = Group("column", self.own.parameters())
        laterals = Group("laterals", self.laterals.parameters())
        learns = Objective(self.loss, [self.head_group(), own, laterals])
        return [Phase("train", [learns], cached=False)]

    @override
    def predict(self, inputs: Inputs) -> Tensor:
        with torch.no_grad():
            theirs = [boundary[0] for boundary in self.backbone.boundaries(inputs)]

        def beside(number: int, hidden: Tensor) -> Tensor:
            added: Tensor = self.laterals[number - 1](theirs[number - 1])
            return hidden + added

        embedded = self.own.steered(inputs, beside)
        outputs: Tensor = self.head(beside(len(theirs), embedded))
        return outputs
