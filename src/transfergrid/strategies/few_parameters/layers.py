"""The layers of a network whose weights a method may rewrite, and the plain network again.

Which library a network is of plays no part: a forward pass tells which layers are called. A weight
that is read from outside its layer, as torch's attention reads its own, is a layer here too.
"""

from __future__ import annotations

import copy
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from transfergrid.records.errors import did_you_mean
from transfergrid.sources.backbone import Backbone, evaluating
from transfergrid.strategies import BadInputError, ImpossibleError


class Layer(NamedTuple):
    """A weight of at least two dimensions that embeddings depend on.

    Attributes:
        path: of its module in the network.
        weight: its name in the module.
        is_called: whether the module itself multiplies by it, and nobody else reads it.
    """

    path: str
    weight: str
    is_called: bool

    @property
    def title(self) -> str:
        """What it is chosen by: the module's path, or that with `in_proj` behind it."""
        own = self.weight.removesuffix("weight").removesuffix("_")
        return f"{self.path}.{own}" if own else self.path

    def module(self, network: nn.Module) -> nn.Module:
        """Return its module."""
        return network.get_submodule(self.path)


def layers_of(backbone: Backbone, targets: Sequence[str] | None, method: str) -> list[Layer]:
    """Return the layers that are chosen: all of them, or those whose paths end so.

    Depthwise convolutions and embeddings are none: a kernel of nine numbers has no low rank.

    Args:
        backbone: as its source made it.
        targets: ends of paths, such as `qkv` or `attention.query`.
        method: for messages.

    Raises:
        BadInputError: no layer has a path that ends in one of the targets.
        ImpossibleError: the network has no such layer at all.
    """
    found = _all_layers(backbone)
    if not found:
        raise ImpossibleError(f"{backbone.title} has no layer that {method} could be put into")
    return found if targets is None else chosen(found, targets, "targets", backbone.title)


def chosen(
    layers: Sequence[Layer], ends: Sequence[str], argument: str, network: str
) -> list[Layer]:
    """Return the layers whose paths end so.

    Args:
        layers: among which is chosen.
        ends: of paths.
        argument: that they were given as, for messages.
        network: its name, likewise.

    Raises:
        BadInputError: no layer has a path that ends in one of them.
    """
    for end in ends:
        if not any(_ends(layer.title, end) for layer in layers):
            last = sorted({layer.title.rpartition(".")[2] for layer in layers})
            known = [name for name in last if not name.isdigit()] or [la.title for la in layers]
            raise BadInputError(
                f"{argument}: {network} has no layer {end!r}{did_you_mean(end, known)}"
            )
    return [layer for layer in layers if any(_ends(layer.title, end) for end in ends)]


def _ends(title: str, end: str) -> bool:
    return f".{title}".endswith(f".{end}")


def _all_layers(backbone: Backbone) -> list[Layer]:
    network, calls = backbone.network, set[str]()
    hooks = [
        module.register_forward_pre_hook(lambda *_, path=path: calls.add(path))
        for path, module in network.named_modules()
    ]
    try:
        with evaluating(backbone), torch.no_grad():
            backbone.embed(backbone.example())  # as at prediction, where torch takes short cuts
    finally:
        for hook in hooks:
            hook.remove()
    used = _used(backbone)
    return [
        Layer(path, name, path in calls and _is_plain(module))
        for path, module in network.named_modules()
        for name, weight in module.named_parameters(recurse=False)
        if id(weight) in used and _is_matrix(module, name, weight)
    ]


def _used(backbone: Backbone) -> set[int]:
    """Return the ids of the parameters that embeddings depend on."""
    backbone.requires_grad_(True)
    with evaluating(backbone), torch.inference_mode(False), torch.enable_grad():
        result = backbone.embed(backbone.example())
    seen, waiting, found = set[Any](), [result.grad_fn], set[int]()
    while waiting:
        node: Any = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        found.add(id(getattr(node, "variable", None)))
        waiting += [below for below, _ in node.next_functions]
    return found


def _is_matrix(module: nn.Module, name: str, weight: Tensor) -> bool:
    if isinstance(module, nn.Embedding) or weight.ndim < 2 or not name.endswith("weight"):
        return False
    return not (getattr(module, "groups", 1) > 1 and weight.shape[1] == 1)


def _is_plain(module: nn.Module) -> bool:
    """Tell whether peft wraps a layer as it is: a subclass may do something else with its weight.

    GPT-2's Conv1D is a linear layer whose weight lies the other way round, which peft knows.
    """
    if type(module) is not nn.Conv2d:
        return type(module) is nn.Linear or type(module).__name__ == "Conv1D"
    usual = module.groups == 1 and set(module.dilation) == {1} and module.padding_mode == "zeros"
    return usual and not isinstance(module.padding, str)


class Rewriting(nn.Module, ABC):
    """A weight as a function of itself and of few parameters, where others read it.

    Attributes:
        merged: whether the weight that it is given holds what comes of it already.
    """

    merged = False

    @override
    def forward(self, weight: Tensor) -> Tensor:
        return weight if self.merged else self.rewritten(weight)

    @abstractmethod
    def rewritten(self, weight: Tensor) -> Tensor:
        """Return what others are to read, of the same shape."""


def _rewritten(network: nn.Module) -> list[tuple[str, nn.Module, str, Any]]:
    """Return path, module and name of each weight with a `Rewriting`, and the list that holds it.

    Weights that the source itself makes of others stay as they are.
    """
    return [
        (path, module, name, own)
        for path, module in network.named_modules()
        for name, own in getattr(module, "parametrizations", {}).items()
        if isinstance(own[0], Rewriting)
    ]


def inject(backbone: Backbone, layers: Sequence[Layer], config: Any) -> None:
    """Let peft wrap these layers, which are called."""
    from peft import inject_adapter_in_model

    paths = [layer.path for layer in layers]
    if not paths:
        return
    config.target_modules = "|".join(map(re.escape, paths))
    with warnings.catch_warnings(action="ignore"):  # of what it sets right by itself
        inject_adapter_in_model(config, backbone.network)


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of the plain network that gives the same: everything is merged."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    state: dict[str, Tensor] = dict(network.state_dict())
    for path, module in network.named_modules():
        if isinstance(module, BaseTunerLayer):
            own: Any = copy.deepcopy(module)
            own.merge(safe_merge=True)
            merged = own.get_base_layer().state_dict()
            state = _without(state, f"{path}.") | {f"{path}.{n}": v for n, v in merged.items()}
    for path, module, name, _ in _rewritten(network):
        state = _without(state, f"{path}.parametrizations.{name}.")
        state[f"{path}.{name}"] = getattr(module, name).detach()
    return state


def _without(state: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith(start)}


@contextmanager
def merged(network: nn.Module) -> Iterator[None]:
    """Merge all that was rewritten while inside; afterwards every bit is as it was."""
    with _wrapped_merged(network), _rewritten_merged(network):
        yield


@contextmanager
def _rewritten_merged(network: nn.Module) -> Iterator[None]:
    found = [
        (own, own[0], own.original.detach().clone(), getattr(module, name).detach().clone())
        for _, module, name, own in _rewritten(network)
    ]
    for own, function, _, value in found:
        own.original.data.copy_(value)
        function.merged = True
    try:
        yield
    finally:
        for own, function, before, _ in found:
            own.original.data.copy_(before)
            function.merged = False


@contextmanager
def _wrapped_merged(network: nn.Module) -> Iterator[None]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers: list[Any] = [part for part in network.modules() if isinstance(part, BaseTunerLayer)]
    before = [copy.deepcopy(layer.get_base_layer().state_dict()) for layer in layers]
    for layer in layers:
        layer.merge()
    try:
        yield
    finally:
        for layer, state in zip(layers, before, strict=True):
            layer.merged_adapters.clear()  # to unmerge is not exact
            layer.get_base_layer().load_state_dict(state)
