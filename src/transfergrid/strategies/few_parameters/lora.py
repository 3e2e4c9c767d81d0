"""Add a product of two thin matrices to each weight, and train it with a new head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import doc
from torch import Tensor, nn
from torch.nn.utils import parametrize
from typing_extensions import override

from transfergrid.records.needs import Badge
from transfergrid.records.space import Space
from transfergrid.strategies import (
    Baselines,
    Count,
    ImpossibleError,
    Needs,
    Positive,
    Range,
    Share,
    rates,
)
from transfergrid.strategies.few_parameters.layers import Layer, Rewriting, inject
from transfergrid.strategies.few_parameters.merging import Merged

MAGNITUDES = (".lora_magnitude_vector.", ".size.")
"""Parts of the names of DoRA's magnitudes, which would switch a layer off at zero."""


class Lora(Merged):
    """Each weight gets a change of low rank, through peft; nothing else but the head learns.

    Formula:
        W' = W + alpha / r * B A; A (r, in) begins as a linear layer's weight, B (out, r) at zero.
        rsLoRA: alpha / sqrt(r). DoRA: W' = m * V / |V| by rows, V as above, m begins as |W|.

    Try it:
        On transformers with a few dozen labels or more, where it comes close to full fine-tuning
        and moves the weights less. In a small convolutional network r = 8 may be full rank.

    Cost:
        No gradient of W and no optimiser state for it: about two thirds of the time and far less
        memory than full fine-tuning. Once merged, prediction costs nothing more.

    Source:
        Hu et al. 2021, LoRA, arXiv 2106.09685, section 4.1; Kalajdzievski 2023, rsLoRA,
        arXiv 2312.03732; Liu et al. 2024, DoRA, arXiv 2402.09353, equation 5.

    Args:
        r: rank of the update.
        alpha: the update is scaled by alpha / r.
        dropout: share of a layer's inputs that the update does not see in training; impossible
            where a layer's weight is read by another module, which alone sees the inputs.
        dora: whether a weight's magnitude learns apart from its direction (DoRA).
        rslora: whether the scale is alpha / sqrt(r).
        targets: suffixes of the paths of layers, such as `[query, value]` (the paper's), `[qkv]`
            where these are one matrix, or `[in_proj]` in torch's own attention; null: every linear
            layer and every convolution except depthwise ones.
        merge: whether the saved model holds plain, merged weights; peft is then not needed to use
            it.
        shared: `lr_factor`, `schedule` and what can be added to any method.

    Raises:
        BadInputError: no layer's path ends in one of the targets.
        ImpossibleError: dropout is above 0, and the weight of one of the layers is read by others.
    """

    needs = Needs(layers="some")
    target_statistics = "unseen"
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space: ClassVar[Space] = {
        "lr_factor": rates(0.95, brief=3.0, small_images=3.0, images=1.0, text=0.95),
        "r": Range(4, 16, default=8),
    }
    also_called = ("low_rank_adaptation", "peft")
    variants = {"dora": "strategy.dora=true", "rslora": "strategy.rslora=true"}
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")
    method = "lora"

    def __init__(
        self,
        r: Count = 8,
        alpha: Positive = 8.0,
        dropout: Share = 0.0,
        dora: bool = False,
        rslora: bool = False,
        targets: Annotated[Sequence[str], doc("ends of paths of layers")] | None = None,
        merge: bool = True,
        **shared: Any,
    ) -> None:
        super().__init__(targets, merge, **shared)
        self.r, self.alpha, self.dropout = r, alpha, dropout
        self.dora, self.rslora = dora, rslora

    @override
    def layers(self) -> list[Layer]:
        found = super().layers()
        unseen = next((layer.title for layer in found if not layer.is_called), None)
        if self.dropout and unseen is not None:
            raise ImpossibleError(
                f"{self.backbone.title}: no dropout can be put before {unseen}, whose weight "
                "others read: dropout=0, or targets without it"
            )
        return found

    @override
    def decays(self, name: str) -> bool:
        return not any(own in f"{name}." for own in MAGNITUDES)

    @override
    def rewrite(self, layers: Sequence[Layer]) -> None:
        from peft import LoraConfig

        config = LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            use_rslora=self.rslora,
            use_dora=self.dora,
        )
        inject(self.backbone, [layer for layer in layers if layer.is_called], config)
        scale = self.alpha / (math.sqrt(self.r) if self.rslora else self.r)
        for layer in [layer for layer in layers if not layer.is_called]:
            module = layer.module(self.backbone.network)
            weight: Tensor = getattr(module, layer.weight)
            change = Change(weight, self.r, scale, self.dora)
            parametrize.register_parametrization(module, layer.weight, change)

    @override
    def start_again(self) -> None:
        super().start_again()
        if self.dora:
            measure(self.backbone.network)


@torch.no_grad()
def measure(network: nn.Module) -> None:
    """Set DoRA's magnitudes to the norms of the current weights, before any update."""
    from peft.tuners.lora import LoraLayer

    part: Any
    size: Any
    for part in network.modules():
        if isinstance(part, LoraLayer):
            for size in part.lora_magnitude_vector.values():
                size.weight.copy_(size.get_weight_norm(part.weight, 0.0, 1.0))
        elif isinstance(part, parametrize.ParametrizationList):
            for change in part:
                if isinstance(change, Change) and change.size is not None:
                    change.size.copy_(part.original.flatten(1).norm(dim=1))


class Change(Rewriting):
    """The low-rank update of a weight that is read from outside its layer; see `Lora`.

    Args:
        weight: (out, ...); all dimensions after the first are flattened.
        r: rank of the update.
        scale: factor of the update.
        dora: see `Lora`.
    """

    def __init__(self, weight: Tensor, r: int, scale: float, dora: bool) -> None:
        super().__init__()
        rows = weight.detach().flatten(1)
        self.scale = scale
        self.down = nn.Parameter(rows.new_empty(r, rows.shape[1]))
        self.up = nn.Parameter(rows.new_zeros(len(rows), r))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.size = nn.Parameter(rows.norm(dim=1)) if dora else None

    @override
    def rewritten(self, weight: Tensor) -> Tensor:
        rows = weight.flatten(1) + self.scale * (self.up @ self.down)
        if self.size is not None:
            length = torch.linalg.norm(rows, dim=1).detach()  # DoRA, section 4.3
            rows = (self.size / length).unsqueeze(1) * rows
        return rows.view_as(weight)
