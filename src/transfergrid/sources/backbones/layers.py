"""Blocks and cuts of networks that call a list of layers one after another.

A network consists of *layers* and, around them, *units*: the other children of the modules that
contain layers. One forward pass tells in which order they are called. All units before the first
layer are the stem, each layer is a block, and a unit that is called after a layer belongs to it.

A prefix or suffix is the network itself with stand-ins for some layers and units. The prefix stops
where the first layer or unit after the cut is called. In the suffix the stand-ins of all that comes
before the cut return the hidden state of the boundary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from transfergrid.sources.backbone import Block, Change, evaluating

Run: TypeAlias = Callable[[nn.Module, int], Any]
"""Runs a network on inputs that depend on the number, but have the same shape for all numbers."""


@dataclass(frozen=True)
class Unit:
    """A module that is treated as a whole: a layer, or a module beside the layers.

    Attributes:
        block: the number of the block that it belongs to.
        replaced: whether a stand-in replaces it after a cut. A unit that does not depend on the
            inputs' contents, such as positions, is computed on both sides of the cut instead.
        output: its output without tensors, which tells whether the output is a tuple.
    """

    block: int
    replaced: bool
    output: Any


@dataclass(frozen=True)
class Layout:
    """A network's layers and units by their paths."""

    layers: tuple[str, ...]
    units: dict[str, Unit]

    @property
    def n_blocks(self) -> int:
        """The stem and the layers."""
        return 1 + len(self.layers)


def find_layers(network: nn.Module, counts: Iterable[int], called: Iterable[str]) -> list[str]:
    """Return the paths of the layers: the items of the first `ModuleList` of one of these lengths.

    Without such a list, as in ALBERT, the only layer is the last child with weights that is called.
    """
    for path, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) in counts:
            return [f"{path}.{i}" for i in range(len(module))]
    children = [path for path in called if path and "." not in path]
    weighty = [p for p in children if any(True for _ in network.get_submodule(p).parameters())]
    return weighty[-1:]


def lay_out(network: nn.Module, counts: Iterable[int], run: Run) -> Layout:
    """Observe forward passes and return the network's layers and units.

    Args:
        network: in eval mode during the call.
        counts: possible numbers of layers.
        run: calls the network.
    """
    with evaluating(network), torch.no_grad():
        everything = [path for path, _ in network.named_modules()]
        called = _watch(network, everything, run, 0)
        layers = find_layers(network, set(counts), called)
        paths = [path for path in _unit_paths(network, layers) if path in called]
        first, second = (_watch(network, [*layers, *paths], run, i) for i in (0, 1))
    units: dict[str, Unit] = {}
    block = 0
    for path, output in first.items():
        if path in layers:
            block = layers.index(path) + 1
            units[path] = Unit(block, True, _skeleton(output))
        else:
            replaced = _answers(network.get_submodule(path), output, second[path])
            units[path] = Unit(block, replaced, _skeleton(output))
    return Layout(tuple(layers), units)


def _watch(network: nn.Module, paths: Iterable[str], run: Run, number: int) -> dict[str, Any]:
    """Return each called module's first output, in the order in which the calls began."""
    outputs: dict[str, Any] = {}
    hooks = []
    for path in paths:
        module = network.get_submodule(path)
        hooks.append(module.register_forward_pre_hook(partial(_begun, outputs, path)))
        hooks.append(module.register_forward_hook(partial(_ended, outputs, path)))
    try:
        run(network, number)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def _begun(outputs: dict[str, Any], path: str, module: nn.Module, arguments: Any) -> None:
    outputs.setdefault(path, None)


def _ended(
    outputs: dict[str, Any], path: str, module: nn.Module, arguments: Any, output: Any
) -> None:
    if outputs[path] is None:
        outputs[path] = output


def _unit_paths(network: nn.Module, layers: list[str]) -> list[str]:
    """Return the children of all modules that contain a layer; without those modules and layers."""
    containers = {"", *(path for layer in layers for path in _ancestors(layer))} - set(layers)
    found = []
    for container in containers:
        for name, _ in network.get_submodule(container).named_children():
            path = f"{container}.{name}" if container else name
            if path not in containers and path not in layers:
                found.append(path)
    return sorted(found)


def _ancestors(path: str) -> list[str]:
    """Return all prefixes of a path: "a", "a.b" and "a.b.c" for "a.b.c"."""
    parts = path.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _answers(module: nn.Module, output: Any, other: Any) -> bool:
    """Return whether a unit's output depends on the inputs, so that the boundary can replace it.

    Args:
        module: the unit.
        output: its output for some inputs.
        other: its output for other inputs. A module with weights whose output is the same for all
            inputs, but of shape (1, length, width), counts too.
    """
    one, two = _first_tensor(output), _first_tensor(other)
    if one is None or two is None:
        return False
    own = any(True for _ in module.parameters())
    return not torch.equal(one, two) or (own and one.ndim == 3 and one.shape[0] == 1)


def _first_tensor(output: Any) -> Tensor | None:
    first = output[0] if isinstance(output, (tuple, list)) and output else output
    return first if isinstance(first, Tensor) else None


def _skeleton(output: Any) -> Any:
    """Return an output with None in place of its tensors."""
    if isinstance(output, (tuple, list)):
        return tuple(_skeleton(part) for part in output)
    return None if isinstance(output, Tensor) else output


def blocks(backbone: nn.Module, layout: Layout) -> list[Block]:
    """Return the stem and one block for each layer, with the backbone's names of tensors."""
    titles = ["stem", *layout.layers]
    owner = {path: unit.block for path, unit in layout.units.items()}
    parameters: list[list[str]] = [[] for _ in titles]
    buffers: list[list[str]] = [[] for _ in titles]
    for kind, named in (
        (parameters, backbone.named_parameters()),
        (buffers, backbone.named_buffers()),
    ):
        for name, _ in named:
            above = reversed(_ancestors(name.removeprefix("network.")))
            kind[next((owner[path] for path in above if path in owner), 0)].append(name)
    return [
        Block(title, tuple(own), tuple(kept))
        for title, own, kept in zip(titles, parameters, buffers, strict=True)
    ]


class Slot:
    """Holds the hidden state that stand-ins return."""

    hidden: Tensor | None = None


class StandIn(nn.Module):
    """Stands for another module, with its attributes but without its parameters."""

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self._original = (original,)  # in a tuple: not registered as a submodule

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            original = self.__dict__.get("_original")
            if original is None:
                raise
            return getattr(original[0], name)


class Reached(Exception):  # noqa: N818
    """Ends a forward pass, and carries the hidden state that reached the cut."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class Stop(StandIn):
    """Stand-in that ends the forward pass where it is called."""

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """Raise `Reached` with the first argument."""
        raise Reached(_hidden(args, kwargs))


@contextmanager
def noted(network: nn.Module, layout: Layout) -> Iterator[list[Tensor]]:
    """Collect, inside the context, the hidden state of each layer's first call, in layer order."""
    found: list[Tensor] = []
    hooks = [
        network.get_submodule(path).register_forward_pre_hook(
            partial(_note, found, number), with_kwargs=True
        )
        for number, path in enumerate(layout.layers)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _note(
    found: list[Tensor], number: int, layer: nn.Module, args: tuple[Any, ...], kwargs: Any
) -> None:
    if number == len(found):
        found.append(_hidden(args, kwargs))


@contextmanager
def steered(network: nn.Module, layout: Layout, change: Change) -> Iterator[None]:
    """Change, inside the context, the hidden state before each layer, by its number from 1.

    The hook changes the output of the last unit before the layer: the same output that the
    boundary replaces after a cut. So every other reader of that output, such as a convolution
    beside the layer, reads the changed one too.
    """
    reached: set[int] = set()
    last = {u.block + 1: path for path, u in layout.units.items() if u.replaced}
    hooks = [
        network.get_submodule(path).register_forward_hook(partial(_steer, reached, number, change))
        for number, path in last.items()
        if number < layout.n_blocks
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _steer(
    reached: set[int], number: int, change: Change, unit: nn.Module, arguments: Any, output: Any
) -> Any:
    if number in reached:
        return output
    reached.add(number)
    if isinstance(output, (tuple, list)):
        return (change(number, output[0]), *output[1:])
    return change(number, output)


def _hidden(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    hidden: Tensor = args[0] if args else kwargs["hidden_states"]
    return hidden


class Answer(StandIn):
    """Stand-in that returns the boundary's hidden state in the form of the original's output."""

    def __init__(self, original: nn.Module, skeleton: Any, slot: Slot) -> None:
        super().__init__(original)
        self.skeleton, self.slot = skeleton, slot

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the hidden state, alone or as the first item of a tuple as the original's."""
        if isinstance(self.skeleton, tuple):
            return (self.slot.hidden, *self.skeleton[1:])
        return self.slot.hidden


def head_of(network: nn.Module, layout: Layout, k: int) -> nn.Module:
    """Return the network before block `k` >= 1; its call raises `Reached`."""
    replaced: dict[str, nn.Module] = {}
    for path, unit in layout.units.items():
        if unit.block >= k:
            replaced[path] = Stop(network.get_submodule(path))
    return _rebuilt(network, "", replaced)


def tail_of(network: nn.Module, layout: Layout, k: int) -> tuple[nn.Module, Slot]:
    """Return the network from block `k` >= 1 on, and the slot for its hidden state."""
    slot = Slot()
    replaced: dict[str, nn.Module] = {}
    for path, unit in layout.units.items():
        if unit.block < k and unit.replaced:
            replaced[path] = Answer(network.get_submodule(path), unit.output, slot)
    return _rebuilt(network, "", replaced), slot


def _rebuilt(module: nn.Module, path: str, replaced: Mapping[str, nn.Module]) -> nn.Module:
    """Return a module with some submodules replaced; all other submodules stay the same objects."""
    inner = [name for name in replaced if not path or name.startswith(f"{path}.")]
    if not inner:
        return module
    own = copy.copy(module)
    own._modules = {}
    for name, child in module._modules.items():
        place = f"{path}.{name}" if path else name
        if child is None or place in replaced:
            own._modules[name] = replaced.get(place)
        else:
            own._modules[name] = _rebuilt(child, place, replaced)
    return own
