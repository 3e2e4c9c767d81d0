"""The base class of methods that reparametrise weights by few new parameters, and can be merged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from torch import Tensor, nn
from typing_extensions import override

from transfergrid.strategies import Group, Objective, Phase, Sizes, Strategy
from transfergrid.strategies.few_parameters.layers import Layer, layers_of, merged, plain_state


class Merged(Strategy):
    """Weights become a function of themselves and of few new parameters, which learn.

    By default the saved state holds the merged weights under their original names: a model made
    from it has the source's plain architecture.
    """

    closed_to: ClassVar[Mapping[str, str]] = {
        "l2_sp": "the source's weights stand still, and what is added is no weight of its"
    }
    method: ClassVar[str]
    """The method's name in messages."""

    def __init__(
        self, targets: Sequence[str] | None = None, merge: bool = True, **shared: Any
    ) -> None:
        super().__init__(**shared)
        self.targets, self.merge = targets, merge
        self.added: tuple[str, ...] | None = None

    @override
    def build(self, sizes: Sizes) -> None:
        layers = self.layers()
        if self.merge and sizes == Sizes():
            return  # made again to predict: the weights to be restored are merged
        before = {id(p) for p in self.backbone.parameters()}
        with self.backbone.rebuilding():
            self.rewrite(layers)
        named = self.backbone.named_parameters()
        self.added = tuple(name for name, p in named if id(p) not in before)

    def layers(self) -> list[Layer]:
        """Return the layers whose weights are to be rewritten.

        Raises:
            BadInputError: a layer that was asked for does not exist.
            ImpossibleError: the network has no such layer, or one that the method cannot rewrite.
        """
        return layers_of(self.backbone, self.targets, self.method)

    def decays(self, name: str) -> bool:
        """Return whether a new parameter decays: only if zero is where it changes nothing."""
        return True

    @abstractmethod
    def rewrite(self, layers: Sequence[Layer]) -> None:
        """Add the new parameters to these layers of the backbone."""

    @override
    def phases(self) -> list[Phase]:
        named = dict(self.backbone.named_parameters())
        own = named if self.added is None else self.added  # if merged, all weights count
        kinds = {decay: [n for n in own if self.decays(n) is decay] for decay in (True, False)}
        added = [
            Group("added" if decay else "added, undecayed", [named[n] for n in names], decay=decay)
            for decay, names in kinds.items()
            if names
        ]
        return [Phase("train", [Objective(self.loss, [self.head_group(), *added])])]

    @override
    def kept_state(self) -> dict[str, Tensor]:
        state, network = super().kept_state(), "backbone.network."
        if not self.merge or self.added is None:
            return state
        plain = plain_state(self.backbone.network)
        others = {name: value for name, value in state.items() if not name.startswith(network)}
        return {**others, **{f"{network}{name}": value for name, value in plain.items()}}

    @override
    @contextmanager
    def in_use(self) -> Iterator[None]:
        if not self.merge or self.added is None:
            yield
            return
        with merged(self.backbone.network):
            yield

    @override
    def parameters_in_use(self) -> list[nn.Parameter]:
        gone = {f"backbone.{name}" for name in self.added or () if self.merge}
        return [own for name, own in self.named_parameters() if name not in gone]
