"""Where a network has tokens: successive layers whose inputs and outputs have one shape.

A forward pass finds them; nothing here depends on the network's library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from transfergrid.records.errors import as_line
from transfergrid.sources.backbone import Backbone, evaluating
from transfergrid.strategies import ImpossibleError

ROUNDING = 1e-6
"""Relative difference, of the largest value, that counts as no change."""


def token_layers(backbone: Backbone, method: str) -> list[tuple[str, Tensor]]:
    """Return the paths of successive layers that take and return tokens, each with its inputs.

    Of several stretches of such layers it is the longest, and the first of equally long ones. The
    inputs are those of two examples, (2, tokens, width).

    Args:
        backbone: as its source made it.
        method: the method's name, for messages.

    Raises:
        ImpossibleError: no layer takes and returns tokens.
    """
    seen = _seen(backbone)
    stretches: list[list[str]] = [[]]
    for block in backbone.blocks("fine"):
        shape = seen[block.name].shape if block.name in seen else None
        before = seen[stretches[-1][-1]].shape if stretches[-1] else shape
        if shape is None or shape != before:
            stretches.append([])
        stretches[-1] += [block.name] if shape is not None else []
    longest = max(stretches, key=len)
    if not longest:
        raise ImpossibleError(f"{backbone.title} has no layers of tokens, as {method} needs them")
    return [(path, seen[path]) for path in longest]


def _seen(backbone: Backbone) -> dict[str, Tensor]:
    """Return the inputs of the blocks whose inputs are tokens and whose outputs have that shape."""
    modules = dict(backbone.network.named_modules())
    found: dict[str, Tensor] = {}

    def note(path: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        given, told = hidden_of(args, kwargs), first_of(output)
        if given is None or told is None or given.ndim != 3 or given.shape != told.shape:
            return
        found[path] = given.detach()

    hooks = [
        modules[block.name].register_forward_hook(
            lambda _, args, kwargs, output, path=block.name: note(path, args, kwargs, output),
            with_kwargs=True,
        )
        for block in backbone.blocks("fine")
        if block.name in modules
    ]
    try:
        _said(backbone)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def hidden_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return the hidden states that a layer is called with; None if they are not a tensor."""
    first = args[0] if args else kwargs.get("hidden_states")
    return first if isinstance(first, Tensor) else None


def first_of(output: Any) -> Tensor | None:
    """Return a layer's output, or the first of several; None if it is not a tensor."""
    first = output[0] if isinstance(output, tuple) and output else output
    return first if isinstance(first, Tensor) else None


def replaced(whole: Any, first: Tensor) -> Any:
    """Return an output or arguments with the first tensor replaced."""
    return (first, *whole[1:]) if isinstance(whole, tuple) else first


@contextmanager
def tried_out(backbone: Backbone, method: str) -> Iterator[None]:
    """Check what is added inside: afterwards the network must run, with changed outputs.

    Raises:
        ImpossibleError: the layers take no additional tokens, such as layers with relative or
            rotary positions; or no token attends to another.
    """
    before = _said(backbone)
    yield
    try:
        after = _said(backbone)
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        reason = as_line(error, 120)
        raise ImpossibleError(
            f"{backbone.title}: its layers take no further tokens, as {method} adds: {reason}"
        ) from error
    if (after - before).abs().max() <= ROUNDING * before.abs().max():
        raise ImpossibleError(f"{backbone.title}: no token sees another, as {method} needs it")


def _said(backbone: Backbone) -> Tensor:
    with evaluating(backbone), torch.no_grad():
        return backbone.embed(backbone.example(2))


def widened(mask: Tensor, more: int, rows: bool) -> Tensor:
    """Return a mask (..., queries, keys) with additional keys in front, which all queries see.

    Args:
        mask: true (if bool) or 0 (if added to scores) where a query sees a key.
        more: number of additional keys.
        rows: whether as many queries are added too; these see the keys that all others see.
    """
    seen = mask.new_ones(()) if mask.dtype == torch.bool else mask.new_zeros(())
    wide = torch.cat([seen.expand(*mask.shape[:-1], more), mask], dim=-1)
    if not rows or wide.shape[-2] == 1:
        return wide
    own = wide.all(-2, keepdim=True) if mask.dtype == torch.bool else wide.amin(-2, keepdim=True)
    return torch.cat([own.expand(*wide.shape[:-2], more, wide.shape[-1]), wide], dim=-2)


def with_masks(values: Any, tokens: int, more: int, rows: bool) -> Any:
    """Return a layer's arguments with every attention mask over its tokens widened."""

    def wide(value: Any) -> Any:
        is_mask = isinstance(value, Tensor) and value.ndim == 4 and value.shape[-1] == tokens
        return widened(value, more, rows and value.shape[-2] == tokens) if is_mask else value

    if isinstance(values, dict):
        return {name: wide(value) for name, value in values.items()}
    return tuple(wide(value) for value in values)


def parameter_of(module: nn.Module, name: str, like: Tensor, *shape: int) -> nn.Parameter:
    """Add a parameter to a module, initialised as noise with the standard deviation of `like`."""
    size = like.float().std().item()
    made = nn.Parameter(size * torch.randn(shape, device=like.device, dtype=like.dtype))
    module.register_parameter(name, made)
    return made
