"""The frozen source and a network that learns beside it, blended by one learned weight."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.data.inputs import Inputs
from transfergrid.records.needs import Badge, Baselines
from transfergrid.records.space import Space, rates
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Sizes
from transfergrid.strategies.beside.standing import StillSource, encoder_beside, head_on
from transfergrid.strategies.phases import Group


def blend(a: Tensor, of_source: Tensor, own: Tensor) -> Tensor:
    """Return alpha f + (1 - alpha) s, with alpha = sigmoid(a).

    Args:
        a: a scalar.
        of_source: f, (batch, width).
        own: s, (batch, width).
    """
    alpha = torch.sigmoid(a)
    return alpha * of_source + (1 - alpha) * own


class SideTuning(StillSource):
    """The source stands still, a copy of it learns beside it, and one number says how they blend.

    The share alpha of the source begins at one half. A small network with random weights may
    replace the copy:
    `strategy.encoder={_target_: transfergrid.sources.small_encoder.SmallEncoder}`. If its width is
    not the source's, a linear layer without bias brings it to that; `scratch_small` is this network
    alone. The record tells the final share of the source.

    Formula:
        outputs = head(alpha f(x) + (1 - alpha) s(x)), alpha = 1 / (1 + exp(-a)), a = 0 at first
    Try it:
        where the source must stay unchanged, as it serves several targets; where full fine-tuning
        forgets what a probe could use
    Cost:
        full fine-tuning and a forward pass of the source at each step, or a single one for each
        example where inputs are not augmented; at prediction both networks run
    Source:
        Zhang et al. 2020, Side-tuning: a baseline for network adaptation via additive side
        networks, arXiv 1912.13503, section 3

    Args:
        encoder: architecture of the network beside the source; null: a copy of the source.
        shared: `lr_factor`, `schedule` and what can be added to any strategy.
    """

    also_called: ClassVar[tuple[str, ...]] = ("side_network", "sidetuning")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")
    baselines: ClassVar[Baselines] = Baselines(
        exploratory=["scratch_small", "feature_extraction", "full_finetuning"]
    )
    space: ClassVar[Space] = {
        "lr_factor": rates(0.95, brief=0.95, small_images=3.0, images=3.2, text=0.3)
    }

    def __init__(self, encoder: Architecture | None = None, **shared: Any) -> None:
        super().__init__(**shared)
        self.encoder = encoder

    @override
    def build(self, sizes: Sizes) -> None:
        super().build(sizes)
        self.a = nn.Parameter(torch.zeros(()))
        self.own = (
            self.copied(self.backbone)
            if self.encoder is None
            else encoder_beside(self, self.encoder)
        )
        same = self.own.dim == self.backbone.dim
        self.widened = (
            nn.Identity() if same else nn.Linear(self.own.dim, self.backbone.dim, bias=False)
        )
        self.head = head_on(self, self.backbone.dim)

    @override
    def beside(self) -> list[Group]:
        side = [*self.own.parameters(), *self.widened.parameters()]
        return [Group("side", side), Group("share", [self.a], decay=False)]

    @override
    def joined(self, of_source: Tensor, inputs: Inputs) -> Tensor:
        own = self.widened(self.own.embed(inputs))
        outputs: Tensor = self.head(blend(self.a, of_source.to(own.dtype), own))
        return outputs

    @override
    def tells(self) -> dict[str, Any]:
        return {"alpha": torch.sigmoid(self.a).item()}
