"""Constructors that keep their arguments, from which an equal object can be made."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from transfergrid.records.arguments import check_arguments


def noting(init: Callable[..., None], base: Callable[..., None] | None = None) -> Any:
    """Let a constructor keep its arguments: `hparams`, and the names of those `given`.

    Args:
        init: the constructor.
        base: of the class above, whose arguments stand in the place of a `**shared`.
    """
    known = inspect.signature(init)
    if base is not None:
        known = _joined(known, inspect.signature(base))

    @wraps(init)
    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        if "hparams" not in self.__dict__:  # not by way of a subclass, which has noted its own
            told = known.bind(self, *args, **kwargs)
            object.__setattr__(self, "given", frozenset(told.arguments) - {"self"})
            told.apply_defaults()
            check_arguments(type(self), told.arguments)
            object.__setattr__(self, "hparams", dict(list(told.arguments.items())[1:]))
        init(self, *args, **kwargs)

    noted.__signature__ = known  # type: ignore[attr-defined]
    return noted


def _joined(own: inspect.Signature, base: inspect.Signature) -> inspect.Signature:
    """Return a signature with another one's arguments in the place of its `**shared`."""
    kinds = [p.kind for p in own.parameters.values()]
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        return own
    named = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    more = [p for name, p in base.parameters.items() if name not in own.parameters]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return own.replace(parameters=[*named, *(p.replace(kind=keyword) for p in more)])
