"""The layers whose weights a method may reparametrise, and merging them back into a plain network.

Nothing here depends on the network's library: a forward pass shows which layers are called. A
weight that is read from outside its layer, as in torch's attention, counts as a layer here too.
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
    """A weight of at least two dimensions that the embeddings depend on.

    Attributes:
        path: path of its module in the network.
        weight: name of the weight in the module.
        is_called: whether the module itself is called and peft can wrap it; otherwise the weight
            is reparametrised, as other modules may read it.
    """

    path: str
    weight: str
    is_called: bool

    @property
    def title(self) -> str:
        """The path that targets are matched against: the module's, or that and `.in_proj`."""
        own = self.weight.removesuffix("weight").removesuffix("_")
        return f"{self.path}.{own}" if own else self.path

    def module(self, network: nn.Module) -> nn.Module:
        """Return the layer's module."""
        return network.get_submodule(self.path)


def layers_of(backbone: Backbone, targets: Sequence[str] | None, method: str) -> list[Layer]:
    """Return the chosen layers: all of them, or those whose paths end in a target.

    Depthwise convolutions and embeddings do not count: a kernel of nine numbers has no low rank.

    Args:
        backbone: as its source made it.
        targets: suffixes of paths, such as `qkv` or `attention.query`; None: all layers.
        method: the method's name, for messages.

    Raises:
        BadInputError: no layer has a path that ends in one of the targets.
        ImpossibleError: the network has no layer whose weight could be rewritten.
    """
    found = _all_layers(backbone)
    if not found:
        raise ImpossibleError(f"{backbone.title} has no layer that {method} could be put into")
    return found if targets is None else chosen(found, targets, "targets", backbone.title)


def chosen(
    layers: Sequence[Layer], ends: Sequence[str], argument: str, network: str
) -> list[Layer]:
    """Return the layers whose paths end in one of these suffixes.

    Args:
        layers: the layers to choose from.
        ends: suffixes of paths.
        argument: the argument that they were given as, for messages.
        network: the network's name, for messages.

    Raises:
        BadInputError: one of the suffixes fits no layer.
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
            backbone.embed(backbone.example())  # in eval mode, where torch has fast paths
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
    """Return the ids of the parameters that the embeddings depend on."""
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
    """Return whether peft can wrap a layer; a subclass may use its weight in another way.

    GPT-2's Conv1D is a linear layer with a transposed weight, which peft supports.
    """
    if type(module) is not nn.Conv2d:
        return type(module) is nn.Linear or type(module).__name__ == "Conv1D"
    usual = module.groups == 1 and set(module.dilation) == {1} and module.padding_mode == "zeros"
    return usual and not isinstance(module.padding, str)


class Rewriting(nn.Module, ABC):
    """A parametrisation: a weight as a function of itself and of few new parameters.

    Attributes:
        merged: whether the weight that it gets is merged already, and is returned as it is.
    """

    merged = False

    @override
    def forward(self, weight: Tensor) -> Tensor:
        return weight if self.merged else self.rewritten(weight)

    @abstractmethod
    def rewritten(self, weight: Tensor) -> Tensor:
        """Return the rewritten weight, of the same shape."""


def _rewritten(network: nn.Module) -> list[tuple[str, nn.Module, str, Any]]:
    """Return path, module, name and parametrisation list of each weight with a `Rewriting`.

    Parametrisations that the source itself has are left alone.
    """
    return [
        (path, module, name, own)
        for path, module in network.named_modules()
        for name, own in getattr(module, "parametrizations", {}).items()
        if isinstance(own[0], Rewriting)
    ]


def inject(backbone: Backbone, layers: Sequence[Layer], config: Any) -> None:
    """Let peft wrap these layers, all of which must be called ones."""
    from peft import inject_adapter_in_model

    paths = [layer.path for layer in layers]
    if not paths:
        return
    config.target_modules = "|".join(map(re.escape, paths))
    with warnings.catch_warnings(action="ignore"):  # about settings that peft corrects by itself
        inject_adapter_in_model(config, backbone.network)


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of the equivalent plain network, with everything merged."""
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
    """Merge all rewritten weights while inside; afterwards every bit is restored."""
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
            layer.merged_adapters.clear()  # unmerging is not exact
            layer.get_base_layer().load_state_dict(state)
