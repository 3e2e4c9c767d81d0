"""Additional keys and values for the attention of a layer, whatever its implementation.

Libraries compute attention by `scaled_dot_product_attention`, by torch's multi-head attention, or
by two matrix products; each is intercepted where it calls torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from transfergrid.strategies.few_parameters.token_layers import (
    hidden_of,
    widened,
    with_masks,
)

_PRODUCTS = (torch.matmul, Tensor.matmul, Tensor.__matmul__)
_PLACE_OF_BIASES = 7
"""Position of `bias_k`, then `bias_v`, among the arguments of torch's multi-head attention."""


class Attending(TorchFunctionMode):
    """Adds keys and values to attention while this mode is active.

    Args:
        prefix: additional keys and values, (2, number, width); None only records the width.

    Attributes:
        width: width of the keys, all heads together; None until attention is computed.
    """

    def __init__(self, prefix: Tensor | None = None) -> None:
        super().__init__()
        self.prefix, self.width = prefix, None if prefix is None else prefix.shape[-1]
        self.keys = 0
        """Number of keys of the scores just computed, without the additional ones; else 0."""

    @override
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return self._fused(*args, **kwargs)
        if func is functional.multi_head_attention_forward:
            self.width = args[3]
            if self.prefix is not None:
                first, last = args[:_PLACE_OF_BIASES], args[_PLACE_OF_BIASES + 2 :]
                args = (*first, *self.prefix.unsqueeze(2).unbind(), *last)
            return func(*args, **kwargs)
        if func in _PRODUCTS and all(part.ndim == 4 for part in args):
            return func(*self._factors(*args), **kwargs)
        return func(*args, **kwargs)

    def _fused(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        self.width = key.shape[1] * key.shape[3]
        if self.prefix is not None:
            if is_causal:
                attn_mask, is_causal = _causal(query, key), False
            more, keys = self.prefix.shape[1], key.shape[2]
            key, value = self._joined(0, key), self._joined(1, value)
            if attn_mask is not None and attn_mask.shape[-1] == keys:
                attn_mask = widened(attn_mask, more, rows=False)
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, **kwargs
        )

    def _factors(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factors of a matrix product: queries and keys, then scores and values."""
        if not self.keys and one.shape[:2] == other.shape[:2] and one.shape[3] == other.shape[2]:
            self.keys, self.width = other.shape[3], other.shape[1] * other.shape[2]
            if self.prefix is not None:
                other = self._joined(0, other.transpose(2, 3)).transpose(2, 3)
        elif self.keys and other.shape[2] == self.keys:
            self.keys = 0
            if self.prefix is not None:
                other = self._joined(1, other)
        return one, other

    def _joined(self, which: int, own: Tensor) -> Tensor:
        """Return keys or values (batch, heads, tokens, head width), additional ones in front."""
        assert self.prefix is not None
        heads, size = own.shape[1], own.shape[3]
        more = self.prefix[which].view(-1, heads, size).transpose(0, 1)
        return torch.cat([more.to(own.dtype).expand(len(own), -1, -1, -1), own], dim=2)


def _causal(query: Tensor, key: Tensor) -> Tensor:
    shape = (query.shape[2], key.shape[2])
    return torch.ones(shape, dtype=torch.bool, device=query.device).tril()


class Entering:
    """Hooks that let a layer attend to its own prefix during its forward pass.

    Args:
        name: name of the layer's parameter, (2, number, width); None only records widths.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.entered: list[Attending] = []
        self.widths: list[int | None] = []

    def on(self, layer: nn.Module) -> list[Any]:
        """Register the hooks on a layer; return their handles."""
        return [
            layer.register_forward_pre_hook(self.enter, with_kwargs=True),
            layer.register_forward_hook(self.leave, always_call=True),
        ]

    def enter(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See torch's `register_forward_pre_hook`."""
        prefix = None if self.name is None else layer.get_parameter(self.name)
        hidden, more = hidden_of(args, kwargs), 0 if prefix is None else prefix.shape[1]
        assert hidden is not None
        told = [with_masks(part, hidden.shape[1], more, False) for part in (args, kwargs)]
        self.entered.append(Attending(prefix))
        self.entered[-1].__enter__()  # type: ignore[no-untyped-call]
        return tuple(told)

    def leave(self, layer: nn.Module, inputs: Any, output: Any) -> None:
        """See torch's `register_forward_hook`."""
        mode = self.entered.pop()
        mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        if self.name is None:
            self.widths.append(mode.width)
