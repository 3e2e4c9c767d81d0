"""What methods share that rewrite weights: merged they are the plain network again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from typing_extensions import override

from transfergrid.strategies import Group, Objective, Phase, Sizes, Strategy
from transfergrid.strategies.few_parameters.layers import Layer, layers_of, plain_state


class Rewriting(Strategy):
    """Weights become a function of themselves and of few new parameters.

    Merged, what is kept of it are plain weights: a model made of them holds no new parameter.
    """

    method = "a rewriting of weights"

    def __init__(
        self, targets: Sequence[str] | None = None, merge: bool = True, **shared: Any
    ) -> None:
        super().__init__(**shared)
        self.targets, self.merge = targets, merge
        self.is_rewritten = False

    @override
    def build(self, sizes: Sizes) -> None:
        if self.merge and sizes == Sizes():
            return  # made again to predict: the weights that are to come are merged
        layers = layers_of(self.backbone, self.targets, self.method)
        before = {id(p) for p in self.backbone.parameters()}
        with self.backbone.rebuilding():
            self.rewrite(layers)
        self.added = tuple(
            name for name, p in self.backbone.named_parameters() if id(p) not in before
        )
        self.is_rewritten = True

    @abstractmethod
    def rewrite(self, layers: Sequence[Layer]) -> None:
        """Put new parameters into the layers of the backbone."""

    @override
    def phases(self) -> list[Phase]:
        named = dict(self.backbone.named_parameters())
        own = [named[name] for name in self.added] if self.is_rewritten else []
        return [Phase("train", [Objective(self.loss, [self.head_group(), Group("added", own)])])]

    @override
    def kept_state(self) -> dict[str, Tensor]:
        state, network = super().kept_state(), "backbone.network."
        if not (self.merge and self.is_rewritten):
            return state
        plain = plain_state(self.backbone.network)
        others = {name: value for name, value in state.items() if not name.startswith(network)}
        return {**others, **{f"{network}{name}": value for name, value in plain.items()}}
