"""Add learned keys and values to every layer's attention; train them with a new head."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from typing_extensions import override

from transfergrid.records.needs import Badge
from transfergrid.records.space import Space
from transfergrid.sources.backbone import Backbone, evaluating
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
from transfergrid.strategies.few_parameters.attention import Entering
from transfergrid.strategies.few_parameters.token_layers import (
    parameter_of,
    token_layers,
    tried_out,
)

NAME = "prefix"


class PrefixTuning(Strategy):
    """Keys and values that every query sees learn in each layer, and the head; the rest is fixed.

    Formula:
        softmax(q [Pk; k]^T / sqrt(size)) [Pv; v] in each layer; Pk, Pv (tokens, width) begin as
        noise of the size of the layer's inputs: 2 * layers * tokens * width numbers.

    Try it:
        On transformers with few labels, where `prompt_tuning` changes too little: here every layer
        is steered directly.

    Cost:
        No additional tokens pass through the layers, only keys and values: a few percent in
        training and at prediction. The prefix cannot be merged.

    Source:
        Li & Liang 2021, Prefix-Tuning, arXiv 2101.00190, section 4.2, without the network that
        generates the prefix in their section 4.3.

    Args:
        tokens: number of additional keys and values in each layer.
        shared: `lr_factor`, `schedule` and what can be added to any method.

    Raises:
        ImpossibleError: the network has no tokens, or its attention takes no additional keys.
    """

    needs = Needs(layers="tokens")
    target_statistics = "unseen"
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space: ClassVar[Space] = {
        "lr_factor": rates(3.0, small_images=3.0, images=3.0, text=9.5),
        "tokens": Range(4, 100, default=20),
    }
    also_called = ("prefix", "p_tuning_v2", "deep_prompt_tuning")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")
    closed_to = {"l2_sp": "the source's weights stand still, and what is added is none of them"}

    def __init__(self, tokens: Count = 20, **shared: Any) -> None:
        super().__init__(**shared)
        self.tokens = tokens

    @override
    def build(self, sizes: Sizes) -> None:
        network = self.backbone.network
        with tried_out(self.backbone, "prefix_tuning"), self.backbone.rebuilding():
            for path, like in token_layers(self.backbone, "prefix_tuning"):
                layer = network.get_submodule(path)
                width = _width(self.backbone, layer)
                parameter_of(layer, NAME, like, 2, self.tokens, width)
                Entering(NAME).on(layer)
        named = self.backbone.named_parameters()
        self.added = [name for name, _ in named if name.rpartition(".")[2] == NAME]

    @override
    def phases(self) -> list[Phase]:
        named = dict(self.backbone.named_parameters())
        prefixes = Group(NAME, [named[name] for name in self.added], decay=False)
        return [Phase("train", [Objective(self.loss, [self.head_group(), prefixes])])]


def _width(backbone: Backbone, layer: nn.Module) -> int:
    """Return the width of the keys of a layer's attention, all heads together.

    Raises:
        ImpossibleError: the layer computes no attention that can be intercepted.
    """
    looking = Entering()
    handles = looking.on(layer)
    try:
        with evaluating(backbone), torch.no_grad():
            backbone.embed(backbone.example(2))
    finally:
        for handle in handles:
            handle.remove()
    (*_, width) = looking.widths
    if width is None:
        raise ImpossibleError(f"{backbone.title}: its attention is none that takes further keys")
    return width
