"""Do plain values fit a constructor's annotations? Lists, dicts and objects are not looked into."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping
from inspect import Parameter
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from transfergrid.records.errors import BadInputError

PLAIN: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "null",
}


def check_arguments(cls: Any, parameters: Mapping[str, Parameter], values: dict[str, Any]) -> None:
    """Raise unless each value is of the plain type, or among the literals, that was declared.

    Parameters whose annotation says anything else, or cannot be resolved, take every value.

    Raises:
        BadInputError: a value does not fit.
    """
    named = {name: parameters[name] for name in values if name in parameters}  # else **kwargs
    annotations = {name: resolved(cls, known.annotation) for name, known in named.items()}
    check_plain(cls.__qualname__, annotations, values)


def check_plain(called: str, annotations: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Raise unless each value fits its annotation, where that is made of plain types.

    Raises:
        BadInputError: a value does not fit what the class that is so `called` takes.
    """
    for name, annotation in annotations.items():
        allowed, value = list(allowed_kinds(annotation)), values[name]
        if allowed and None not in allowed and not any(_fits(value, kind) for kind in allowed):
            words = " or ".join(dict.fromkeys(_word(kind) for kind in allowed))
            raise BadInputError(f"{called} takes {name}={words}, not {value!r}")


def resolved(cls: Any, annotation: Any) -> Any:
    """Return an annotation of a class's constructor as a type; Any if it cannot be resolved."""
    if annotation is Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    module = sys.modules.get(cls.__module__)
    holder = types.SimpleNamespace(__annotations__={"value": annotation})
    try:
        return get_type_hints(holder, vars(module) if module else {})["value"]
    except (NameError, TypeError, SyntaxError):  # imported for type checkers only, or no type
        return Any


def allowed_kinds(annotation: Any) -> Iterator[Any]:
    """Yield the plain types and the one-value literals of an annotation; None for another kind."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from allowed_kinds(part)
    elif origin is Literal:
        for value in get_args(annotation):
            yield Literal[value]
    else:
        yield annotation if annotation in PLAIN else None


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return bool(value in get_args(kind))
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float)) if kind is float else isinstance(value, kind)


def _word(kind: Any) -> str:
    return PLAIN[kind] if kind in PLAIN else str(get_args(kind)[0])
