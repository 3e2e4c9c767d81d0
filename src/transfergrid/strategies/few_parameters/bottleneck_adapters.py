"""Insert a small residual bottleneck after each block; train the bottlenecks with a new head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.records.needs import Badge
from transfergrid.records.space import Space
from transfergrid.sources.backbone import Backbone, Granularity, evaluating, last_module
from transfergrid.strategies import (
    Baselines,
    Count,
    Group,
    ImpossibleError,
    Needs,
    Objective,
    Phase,
    Range,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.few_parameters.parts import hold_statistics
from transfergrid.strategies.maps import channel_axis, told_by

STD = 0.01
"""Standard deviation of initial weights, truncated at two of it (Houlsby, section 3.6)."""


class BottleneckAdapters(Strategy):
    """Small modules behind the blocks learn, and the head; the source's weights stand still.

    Formula:
        h' = h + U relu(D h + d) + u behind each block but the stem, along the channels of a map or
        the width of tokens; D (width, h), U (h, width) begin near zero, so h' begins near h.

    Try it:
        On transformers, where 0.3 to a few percent of the weights are enough to come close to full
        fine-tuning; many targets can then share one source.

    Cost:
        No gradient of the source's matrices: about two thirds of the time of full fine-tuning. The
        bottlenecks stay at prediction, with a few percent more operations, and cannot be merged.

    Source:
        Houlsby et al. 2019, Parameter-Efficient Transfer Learning, arXiv 1902.00751, section 2; one
        a layer, as in Pfeiffer et al. 2021, AdapterFusion, arXiv 2005.00247; norms stay frozen.

    Args:
        width: width of the bottlenecks.
        granularity: whether they follow `fine` blocks (layers) or `coarse` ones (stages).
        shared: `lr_factor`, `schedule` and what can be added to any method.

    Raises:
        ImpossibleError: no block of the network outputs a single tensor.
    """

    needs = Needs(layers="some")
    target_statistics = "unseen"
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space: ClassVar[Space] = {
        "lr_factor": rates(9.5, brief=0.95, small_images=9.5, images=3.2, text=0.95),
        "width": Range(8, 256, default=64),
    }
    also_called = ("adapters", "adapter", "houlsby", "pfeiffer")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")
    closed_to = {"l2_sp": "the source's weights stand still, and what is added is none of them"}

    def __init__(
        self, width: Count = 64, granularity: Literal["coarse", "fine"] = "fine", **shared: Any
    ) -> None:
        super().__init__(**shared)
        self.width, self.granularity = width, granularity

    @override
    def build(self, sizes: Sizes) -> None:
        places = list(_places(self.backbone, self.granularity))
        if not places:
            raise ImpossibleError(f"{self.backbone.title}: no block of it ends in one tensor")
        with self.backbone.rebuilding():
            for place in places:
                place.put(Bottleneck(place.size, self.width, place.axis))
        self.added = [n for n, _ in self.backbone.named_parameters() if f".{NAME}." in n]

    @override
    def phases(self) -> list[Phase]:
        named = dict(self.backbone.named_parameters())
        adapters = Group("adapters", [named[name] for name in self.added])
        return [Phase("train", [Objective(self.loss, [self.head_group(), adapters])])]

    @override
    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        hold_statistics(self)  # also BatchNorm that ends a block and so contains a bottleneck
        return self


NAME = "bottleneck"


class Bottleneck(nn.Module):
    """A residual bottleneck: x + up(relu(down(x))) along one axis.

    Args:
        size: size of the tensor along the axis.
        width: width between the two layers.
        axis: the channel axis.
    """

    def __init__(self, size: int, width: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.down, self.up = nn.Linear(size, width), nn.Linear(width, size)
        for layer in (self.down, self.up):
            nn.init.trunc_normal_(layer.weight, std=STD, a=-2 * STD, b=2 * STD)
            nn.init.zeros_(layer.bias)

    @override
    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.up(self.down(hidden.movedim(self.axis, -1)).relu())
        told: Tensor = hidden + inner.movedim(-1, self.axis)
        return told


class Place(NamedTuple):
    """The last module of a block, with the channel axis of its output and that axis's size."""

    module: nn.Module
    axis: int
    size: int

    def put(self, added: nn.Module) -> None:
        """Apply a module to this one's output: by a hook, or as the last module of a sequence."""
        weight = next(self.module.parameters())
        self.module.add_module(NAME, added.to(weight.device, weight.dtype))
        if not isinstance(self.module, nn.Sequential):
            self.module.register_forward_hook(_apply)


def _apply(module: nn.Module, inputs: Any, output: Any) -> Any:
    added = module.get_submodule(NAME)
    if isinstance(output, Tensor):
        return added(output)
    return (added(output[0]), *output[1:])


def _places(backbone: Backbone, granularity: Granularity) -> Iterator[Place]:
    """Yield the ends of blocks; of several blocks the first, the stem, is left out."""
    blocks = backbone.blocks(granularity)
    ends = {b.name: last_module(backbone, b) for b in blocks[len(blocks) > 1 :] if b.parameters}
    found: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        first = output[0] if isinstance(output, (tuple, list)) else output
        if isinstance(first, Tensor):
            found[module] = first

    hooks = [end.register_forward_hook(note) for end in ends.values() if end is not None]
    try:
        with evaluating(backbone), torch.no_grad():
            backbone.embed(backbone.example(2))
    finally:
        for hook in hooks:
            hook.remove()
    for end in ends.values():
        if end in found and end is not None:
            axis = channel_axis(found[end], *told_by(end))
            yield Place(end, axis, found[end].shape[axis])
