"""Checks that all tensors of a strategy are in its state dict and were created in `build`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from transfergrid.sources.backbone import Backbone
from transfergrid.strategies.base import Strategy
from transfergrid.testing.bench import Bench
from transfergrid.testing.found import expect, some

OF_MODULES = frozenset({*vars(nn.Module()), "_behind", "_noted_copies"})
"""Attributes that are not searched: those of every module, the part of the backbone after a cut,
and the list of copies. Their tensors are found where the strategy keeps them."""
DEEPEST = 5


def everything_is_in_its_state(bench: Bench) -> None:
    """Tensors and modules are registered with the strategy, none is in a plain attribute."""
    for labels in bench.budgets():
        for strategy in (bench.set_up(labels).strategy, bench.trained(labels).setup.strategy):
            aside = sorted(set(_aside(strategy)))
            expect(
                not aside,
                f"{some(aside)} holds tensors that are in no state",
                "Make it a parameter, a register_buffer or a module of self or self.scaffold, in "
                "build: what is kept aside stays on its device and is lost where a cell goes on",
            )


def made_in_build(bench: Bench) -> None:
    """Training keeps names and shapes of parameters and buffers, and the parameters themselves."""
    for labels in bench.budgets():
        run = bench.trained(labels)
        begun, ended = run.notes.begun, {k: v.shape for k, v in run.state.items()}
        odd = [name for name in {**begun, **ended} if begun.get(name) != ended.get(name)]
        where = "is not the one by name and shape that it was right after build"
        mend = (
            "Make every module, parameter and buffer in build (sizes says how many examples there "
            "are), and fill it later by copy_ or load_state_dict"
        )
        expect(not odd, f"{some(odd)} {where}", mend)
        parameters = dict(run.setup.strategy.named_parameters())
        other = [n for n, known in run.notes.made.items() if id(parameters[n]) != id(known)]
        expect(not other, f"{some(other)} was put in the place of the one that learns", mend)


def _aside(strategy: Strategy) -> Iterator[str]:
    """Yield the attribute paths of tensors that are not in the state dict."""
    known = {id(t) for t in [*strategy.parameters(), *strategy.buffers()]}
    given = {id(m) for m in _of_others(strategy)}
    for path, module in strategy.named_modules():
        if id(module) not in given:
            for name, value in vars(module).items():
                if name not in OF_MODULES:
                    yield from _strays(value, f"{path}.{name}".lstrip("."), known, DEEPEST)


def _of_others(strategy: Strategy) -> Iterator[nn.Module]:
    """Yield the modules of backbones, given or copied: their attributes are not the strategy's."""
    for module in strategy.modules():
        if isinstance(module, Backbone):
            yield from module.modules()


def _strays(value: Any, path: str, known: set[int], deep: int) -> Iterator[str]:
    if isinstance(value, Tensor):
        if id(value) not in known:
            yield path
    elif isinstance(value, nn.Module):
        inner = [*value.parameters(), *value.buffers()]
        if any(id(tensor) not in known for tensor in inner):
            yield path
    elif deep:
        for name, part in _parts(value):
            yield from _strays(part, f"{path}{name}", known, deep - 1)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"[{i}]", part) for i, part in enumerate(value))
    elif not isinstance(value, type) and (dataclasses.is_dataclass(value) or _is_plain(value)):
        yield from ((f".{name}", part) for name, part in vars(value).items())


def _is_plain(value: Any) -> bool:
    """Return whether this is an object with attributes that is not callable."""
    return hasattr(value, "__dict__") and not callable(value)
