"""Constructors that record their arguments, so that an equal object can be made from them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from transfergrid.records.arguments import check_arguments


def noting(init: Callable[..., None], base: Callable[..., None] | None = None) -> Any:
    """Return a constructor that checks and records its arguments before it runs.

    The object gets `hparams`, all arguments by name, and `given`, the names of those passed.

    Args:
        init: the constructor.
        base: the base class's constructor, whose arguments replace a `**shared`.
    """
    known = inspect.signature(init)
    if base is not None:
        known = _joined(known, inspect.signature(base))

    @wraps(init)
    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        if "hparams" not in self.__dict__:  # else a subclass called this, and has noted its own
            told = known.bind(self, *args, **kwargs)
            object.__setattr__(self, "given", frozenset(told.arguments) - {"self"})
            told.apply_defaults()
            check_arguments(type(self), told.arguments)
            object.__setattr__(self, "hparams", dict(list(told.arguments.items())[1:]))
        init(self, *args, **kwargs)

    noted.__signature__ = known  # type: ignore[attr-defined]
    return noted


def _joined(own: inspect.Signature, base: inspect.Signature) -> inspect.Signature:
    """Return a signature whose `**shared` is replaced by another signature's arguments."""
    kinds = [p.kind for p in own.parameters.values()]
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        return own
    named = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    more = [p for name, p in base.parameters.items() if name not in own.parameters]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return own.replace(parameters=[*named, *(p.replace(kind=keyword) for p in more)])
