"""Where a network has tokens: layers one behind another that take and give them in one shape.

A forward pass tells; which library the network is of plays no part.
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
"""Share of the largest value that may be another one where nothing has changed."""


def token_layers(backbone: Backbone, method: str) -> list[tuple[str, Tensor]]:
    """Return the paths of layers between which tokens stay tokens, and what each was given.

    Of several stretches of such layers it is the longest, the first of equals. What was given is
    (2, tokens, width), of two examples.

    Args:
        backbone: as its source made it.
        method: for messages.

    Raises:
        ImpossibleError: no layer takes and gives tokens.
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
    """Return what blocks were given, where that is tokens and they give as many of one width."""
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
    """Return the tokens that a layer is called with."""
    first = args[0] if args else kwargs.get("hidden_states")
    return first if isinstance(first, Tensor) else None


def first_of(output: Any) -> Tensor | None:
    """Return what a layer gives, without what may come with it."""
    first = output[0] if isinstance(output, tuple) and output else output
    return first if isinstance(first, Tensor) else None


def replaced(whole: Any, first: Tensor) -> Any:
    """Return an output, or arguments, with another first tensor."""
    return (first, *whole[1:]) if isinstance(whole, tuple) else first


@contextmanager
def tried_out(backbone: Backbone, method: str) -> Iterator[None]:
    """Add tokens inside; afterwards the network must run, and say something else than before.

    Raises:
        ImpossibleError: its layers take no tokens beyond their own, as those with positions that
            are relative, or turned into the tokens; or no token sees another one.
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
    """Return a mask (..., queries, keys) with further keys in front, which all queries see.

    Args:
        mask: true or 0 where a key is seen.
        more: keys.
        rows: whether there are as many further queries too; these see what all others see.
    """
    seen = mask.new_ones(()) if mask.dtype == torch.bool else mask.new_zeros(())
    wide = torch.cat([seen.expand(*mask.shape[:-1], more), mask], dim=-1)
    if not rows or wide.shape[-2] == 1:
        return wide
    own = wide.all(-2, keepdim=True) if mask.dtype == torch.bool else wide.amin(-2, keepdim=True)
    return torch.cat([own.expand(*wide.shape[:-2], more, wide.shape[-1]), wide], dim=-2)


def with_masks(values: Any, tokens: int, more: int, rows: bool) -> Any:
    """Return a layer's arguments with all masks over its tokens widened."""

    def wide(value: Any) -> Any:
        is_mask = isinstance(value, Tensor) and value.ndim == 4 and value.shape[-1] == tokens
        return widened(value, more, rows and value.shape[-2] == tokens) if is_mask else value

    if isinstance(values, dict):
        return {name: wide(value) for name, value in values.items()}
    return tuple(wide(value) for value in values)


def parameter_of(module: nn.Module, name: str, like: Tensor, *shape: int) -> nn.Parameter:
    """Give a module a parameter that begins as noise of the size of other values."""
    size = like.float().std().item()
    made = nn.Parameter(size * torch.randn(shape, device=like.device, dtype=like.dtype))
    module.register_parameter(name, made)
    return made
