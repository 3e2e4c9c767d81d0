"""Check constructor arguments against their annotations: types, ranges and names.

pydantic checks the values; this module writes the error messages, one line each, in the same form
for every part. An annotation gives a range by `annotated_types`, like the types below, or lists
names as a `Literal`. The contents of lists and dicts are checked only if a `doc` describes them;
other objects are accepted unchecked.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, wraps
from pathlib import PurePath
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import DocInfo, Ge, Gt, Interval, MinLen, Unit, doc

from transfergrid.records.errors import BadInputError, did_you_mean

P = ParamSpec("P")
T = TypeVar("T")

Whole = Annotated[int, Ge(0)]
Count = Annotated[int, Ge(1)]
Pixels = Annotated[int, Ge(1), Unit("pixels")]
Column = Annotated[str, doc("a column")]
Columns = Column | Annotated[Sequence[str], MinLen(1), doc("a list of columns")]
Tokens = Annotated[int, Ge(1), Unit("tokens")]
NotNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
"""A share from 0 to 1, both included."""
Part = Annotated[float, Interval(gt=0, lt=1), doc("a share between 0 and 1")]
Positives = Annotated[Sequence[Positive], MinLen(1), doc("a list of numbers above 0")]
Shares = Annotated[Sequence[Share], MinLen(1), doc("a list of shares of 1")]
Options = Annotated[Mapping[str, Any], doc("keys and values")]
Name = Annotated[str, MinLen(1), doc("a name")]
SplitOrPart = Part | Annotated[str, MinLen(1), doc("the name of a split")]

PLAIN: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "null",
}
_BOUNDS = {"gt": "above", "ge": "from", "lt": "to below", "le": "to"}


def check_arguments(cls: Any, values: Mapping[str, Any]) -> None:
    """Raise unless each value fits the annotation of its parameter.

    A parameter accepts every value if its annotation is not made of plain types, or cannot be
    resolved.

    Raises:
        BadInputError: a value does not fit.
    """
    check_values(cls.__qualname__, getattr(cls, "group", ""), taken_by(cls), values)


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Wrap a function so that it checks its arguments as constructors do.

    Raises:
        BadInputError: from the wrapped function, if it is called with a value that does not fit.
    """
    taken = inspect.signature(function)

    @wraps(function)
    def checking(*args: P.args, **kwargs: P.kwargs) -> T:
        check_arguments(function, taken.bind(*args, **kwargs).arguments)
        return function(*args, **kwargs)

    return checking


def check_values(
    called: str, group: str, taken: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    """Raise unless each value that has an annotation fits it.

    Args:
        called: the name of the class.
        group: the config group that a user types before the argument's name; "" if it varies.
        taken: annotations by name; one that is not plain accepts every value.
        values: values by name.

    Raises:
        BadInputError: a value does not fit.
    """
    for name in (name for name in taken if name in values):
        value, annotation = values[name], taken[name]
        part = next((kind.group for kind in kinds(annotation) if hasattr(kind, "group")), None)
        place = f"{group or called}.{name}"
        if part and isinstance(value, str):
            raise BadInputError(f"{place} is no name alone: type {part}@{place}={value}")
        if part and isinstance(value, (int, float)):
            raise BadInputError(f"{place}={value} is no {part}")
        if is_plain(annotation) and not _fits(value, annotation):
            raise _refusal(called, group, name, value, list(kinds(annotation)))


def _fits(value: Any, annotation: Any) -> bool:
    from pydantic import ValidationError  # here, because it takes 70 ms that `--help` can save

    try:
        _adapter(annotation).validate_python(
            str(value) if isinstance(value, PurePath) else value, strict=True
        )
    except ValidationError:
        return False
    return True


@cache
def _adapter(annotation: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))


def _refusal(called: str, group: str, name: str, value: Any, allowed: list[Any]) -> BadInputError:
    known = [get_args(kind)[0] for kind in allowed if get_origin(kind) is Literal]
    if isinstance(value, str) and len(known) == len({*allowed} - {type(None)}):
        kind = f"{group}.{name}" if group else name
        return BadInputError(f"unknown {kind} {value!r}{did_you_mean(value, known)}")
    place = f"{group or called}.{name}"
    if isinstance(value, (int, float)) and any(map(_range, allowed)):
        words = [
            (PLAIN[float] in _words(kind) and _range(kind)) or _words(kind) for kind in allowed
        ]
        return BadInputError(f"{place} must be {', or '.join(words)}: {value}")
    told = dict.fromkeys(map(_words, allowed))
    return BadInputError(f"{place} must be {', or '.join(told)}, not {value!r}")


@cache
def taken_by(cls: Any) -> dict[str, Any]:
    """Return the parameters of a constructor or function: annotations as types, by name.

    If a constructor has `**shared`, the parameters of the next base's constructor are added. An
    annotation that cannot be resolved becomes Any.
    """
    if is_dataclass(cls):
        bases = [(b, inspect.get_annotations(b)) for b in reversed(cls.__mro__)]  # type: ignore[union-attr]
        known = {name: resolved(b, told) for b, own in bases for name, told in own.items()}
        return {f.name: known.get(f.name, Any) for f in fields(cls) if f.init}
    if not isinstance(cls, type):
        return {name: resolved(cls, told) for name, told in inspect.get_annotations(cls).items()}
    found: dict[str, Any] = {}
    written = (b for b in cls.__mro__ if isinstance(vars(b).get("__init__"), types.FunctionType))
    for base in written:
        taken = inspect.signature(inspect.unwrap(vars(base)["__init__"])).parameters
        for name, told in list(taken.items())[1:]:
            if told.kind not in (told.VAR_POSITIONAL, told.VAR_KEYWORD):
                found.setdefault(name, resolved(base, told.annotation))
        if not any(told.kind is told.VAR_KEYWORD for told in taken.values()):
            break
    return found


def resolved(holder: Any, annotation: Any) -> Any:
    """Return an annotation of a class or function as a type; Any if it cannot be resolved."""
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    module = sys.modules.get(holder.__module__)
    told = types.SimpleNamespace(__annotations__={"value": annotation})
    try:
        found = get_type_hints(told, vars(module) if module else {}, include_extras=True)
    except (NameError, TypeError, SyntaxError):  # for type checkers only, or not a type
        return Any
    return found["value"]


def kinds(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, with each value of a `Literal` as a `Literal` of its own."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from kinds(part)
    elif origin is Literal:
        for value in get_args(annotation):
            yield Literal[value]
    else:
        yield annotation


def is_plain(annotation: Any) -> bool:
    """Return whether an annotation has only plain types, names, and lists or dicts with a `doc`."""
    return all(
        get_origin(kind) is Literal
        or (isinstance(base_of(kind), type) and base_of(kind) in PLAIN)
        or (get_origin(base_of(kind)) in (Sequence, Mapping) and _doc(kind) is not None)
        for kind in kinds(annotation)
    )


def base_of(kind: Any) -> Any:
    """Return the type inside an `Annotated`; any other annotation is returned as it is."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _words(kind: Any) -> str:
    """Return in words which values one kind accepts: its `doc`, or else type, unit and range."""
    if get_origin(kind) is Literal:
        (value,) = get_args(kind)
        return str(value).lower() if isinstance(value, bool) else str(value)
    if (documentation := _doc(kind)) is not None:
        return documentation
    units = [told.unit for told in _metadata(kind) if isinstance(told, Unit)]
    return " ".join(filter(None, [" of ".join([PLAIN[base_of(kind)], *units]), _range(kind)]))


def _doc(kind: Any) -> str | None:
    told = (told.documentation for told in _metadata(kind) if isinstance(told, DocInfo))
    return next(told, None)


def _range(kind: Any) -> str:
    """Return the range of an annotation in words; empty if it has none."""
    return " ".join(
        f"{word} {getattr(limit, end):g}"
        for limit in _metadata(kind)
        for end, word in _BOUNDS.items()
        if getattr(limit, end, None) is not None
    )


def _metadata(kind: Any) -> list[Any]:
    """Return the metadata of an annotation, including what a `pydantic.Field` contains."""
    told = getattr(kind, "__metadata__", ())
    return [each for one in told for each in getattr(one, "metadata", (one,))]
