"""What a constructor takes stands in its annotations, and is checked there: types, ranges, names.

pydantic checks a value; what is wrong with it is told here, in one line, for every part alike. An
annotation says a range by `annotated_types`, as those below do, or lists names as a `Literal`.
Into lists and dicts it looks where a `doc` says what they hold; objects are taken as they are.
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
"""With both of its ends."""
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
    """Raise unless each value is what the annotation of its parameter says.

    Parameters whose annotation is not made of plain types, or cannot be resolved, take every value.

    Raises:
        BadInputError: a value does not fit.
    """
    check_values(cls.__qualname__, getattr(cls, "group", ""), taken_by(cls), values)


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function check its arguments as constructors do.

    Raises:
        BadInputError: when it is called with a value that does not fit.
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
        group: what a person types before the names of its arguments; "" if that depends.
        taken: annotations by name; what is not plain takes every value.
        values: by name.

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
    from pydantic import ValidationError  # 70 ms, which `--help` does not pay

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
    """Return what a class's constructor takes, or a function: annotations as types, by name.

    A constructor's `**shared` stands for what that of the next base takes. An annotation that
    cannot be resolved is Any.
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
    """Return an annotation that stands in a class or function as a type; Any if it is none."""
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    module = sys.modules.get(holder.__module__)
    told = types.SimpleNamespace(__annotations__={"value": annotation})
    try:
        found = get_type_hints(told, vars(module) if module else {}, include_extras=True)
    except (NameError, TypeError, SyntaxError):  # imported for type checkers only, or no type
        return Any
    return found["value"]


def kinds(annotation: Any) -> Iterator[Any]:
    """Yield what a union is made of; each name of a `Literal` by itself."""
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
    """Return whether an annotation is made of plain types, names and told lists and dicts alone."""
    return all(
        get_origin(kind) is Literal
        or (isinstance(base_of(kind), type) and base_of(kind) in PLAIN)
        or (get_origin(base_of(kind)) in (Sequence, Mapping) and _doc(kind) is not None)
        for kind in kinds(annotation)
    )


def base_of(kind: Any) -> Any:
    """Return the type that an annotation with a range is of; any other kind as it is."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _words(kind: Any) -> str:
    """Return what a value of one kind is: as its `doc` says, else with its unit and range."""
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
    """Return the range of an annotation in words; nothing if it has none."""
    return " ".join(
        f"{word} {getattr(limit, end):g}"
        for limit in _metadata(kind)
        for end, word in _BOUNDS.items()
        if getattr(limit, end, None) is not None
    )


def _metadata(kind: Any) -> list[Any]:
    """Return what an annotation says beside its type, be it in a `pydantic.Field`."""
    told = getattr(kind, "__metadata__", ())
    return [each for one in told for each in getattr(one, "metadata", (one,))]
