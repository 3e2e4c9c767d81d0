"""Prepend learned tokens to those of each input; train them with a new head."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from typing_extensions import override

from transfergrid.records.needs import Badge
from transfergrid.records.space import Space
from transfergrid.strategies import (
    Baselines,
    Count,
    Group,
    Needs,
    Objective,
    Phase,
    Range,
    Sizes,
    Strategy,
    rates,
)
from transfergrid.strategies.few_parameters.token_layers import (
    first_of,
    hidden_of,
    parameter_of,
    replaced,
    token_layers,
    tried_out,
    with_masks,
)

NAME = "prompt"


class PromptTuning(Strategy):
    """Some tokens that stand before every input learn, and the head; the source stands still.

    Formula:
        layers([P; E(x)]) without the first rows, in the place of layers(E(x)); P (tokens, width)
        begins as noise of the size of E(x), which holds the positions already.

    Try it:
        With large transformers and very few labels. Its first outputs differ from the source's, it
        learns slowly and needs a high rate; small networks are rarely changed much by it.

    Cost:
        Additional tokens in every layer, in training and at prediction: 20 of them beside an
        image's 196 cost a tenth more. The fewest parameters of all: tokens times width.

    Source:
        Lester et al. 2021, The Power of Scale, arXiv 2104.08691, section 2; Jia et al. 2022, Visual
        Prompt Tuning, arXiv 2203.12119, equation 4 (shallow), for images.

    Args:
        tokens: number of learned tokens.
        shared: `lr_factor`, `schedule` and what can be added to any method.

    Raises:
        ImpossibleError: the network has no tokens, or its layers take no additional ones.
    """

    needs = Needs(layers="tokens")
    target_statistics = "unseen"
    baselines = Baselines(exploratory=["feature_extraction", "full_finetuning"])
    space: ClassVar[Space] = {
        "lr_factor": rates(10.0, small_images=10.0, images=10.0, text=30.0),
        "tokens": Range(4, 100, default=20),
    }
    also_called = ("soft_prompts", "visual_prompt_tuning", "vpt", "prompts")
    badges: ClassVar[tuple[Badge, ...]] = ("formula_exact", "trajectory_exact")
    closed_to = {"l2_sp": "the source's weights stand still, and what is added is none of them"}

    def __init__(self, tokens: Count = 20, **shared: Any) -> None:
        super().__init__(**shared)
        self.tokens = tokens

    @override
    def build(self, sizes: Sizes) -> None:
        layers = token_layers(self.backbone, "prompt_tuning")
        network, (first, like) = self.backbone.network, layers[0]
        modules = [network.get_submodule(path) for path, _ in layers]
        with tried_out(self.backbone, "prompt_tuning"), self.backbone.rebuilding():
            self.added = f"network.{first}.{NAME}"
            parameter_of(modules[0], NAME, like, self.tokens, like.shape[-1])
            for module in modules[1:]:
                module.register_forward_pre_hook(Behind(self.tokens), with_kwargs=True)
            modules[0].register_forward_pre_hook(_before, with_kwargs=True)
            modules[-1].register_forward_hook(Without(self.tokens))

    @override
    def phases(self) -> list[Phase]:
        prompt = dict(self.backbone.named_parameters())[self.added]
        groups = [self.head_group(), Group(NAME, [prompt], decay=False)]
        return [Phase("train", [Objective(self.loss, groups)])]


def _before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Prepend the prompt to the inputs of the first layer, and widen its masks."""
    hidden = hidden_of(args, kwargs)
    assert hidden is not None
    prompt = layer.get_parameter(NAME)
    told = torch.cat([prompt.expand(len(hidden), *prompt.shape), hidden], dim=1)
    args, kwargs = _masks(args, kwargs, hidden.shape[1], len(prompt))
    return ((told, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": told})


class Behind:
    """A hook that widens the masks of a later layer, which do not cover the prompt."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See torch's `register_forward_pre_hook`."""
        hidden = hidden_of(args, kwargs)
        assert hidden is not None
        return _masks(args, kwargs, hidden.shape[1] - self.tokens, self.tokens)


def _masks(
    args: tuple[Any, ...], kwargs: dict[str, Any], tokens: int, more: int
) -> tuple[Any, dict[str, Any]]:
    return with_masks(args, tokens, more, True), with_masks(kwargs, tokens, more, True)


class Without:
    """A hook that removes the prompt from the last layer's outputs."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def __call__(self, layer: nn.Module, inputs: Any, output: Any) -> Any:
        """See torch's `register_forward_hook`."""
        hidden = first_of(output)
        assert hidden is not None
        return replaced(output, hidden[:, self.tokens :])
