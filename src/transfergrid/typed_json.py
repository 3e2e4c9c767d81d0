"""Frozen dataclasses to JSON and back, checked against their annotations.

A record is read far more often than written, by the ten thousand, so each type's decoder is built
once and then only runs.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable
from functools import cache
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from transfergrid.errors import BadInputError

T = TypeVar("T")
Decoder = Callable[[Any], Any]


class _MismatchError(Exception):
    """A value that its annotation does not allow, and the keys that lead to it."""

    def __init__(self, expected: str, value: Any, keys: tuple[str, ...] = ()) -> None:
        super().__init__(expected)
        self.expected, self.value, self.keys = expected, value, keys

    def under(self, key: str) -> _MismatchError:
        return _MismatchError(self.expected, self.value, (key, *self.keys))


def encode(value: Any) -> Any:
    """Return JSON values; NumPy scalars become Python's, numbers that are not finite become null.

    JSON has no NaN, and a reader other than Python's stops at one.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def decode(cls: type[T], value: Any) -> T:
    """Build `cls` from JSON values; keys it does not know are left aside.

    Raises:
        BadInputError: a key is missing, or a value is of another kind than the annotation says.
    """
    try:
        decoded: T = _decoder(cast(Any, cls))(value)
    except _MismatchError as wrong:
        where = ".".join(wrong.keys) or "the whole"
        raise BadInputError(f"{where} should be {wrong.expected}, not {wrong.value!r}") from None
    return decoded


@cache
def hints(cls: type) -> dict[str, Any]:
    """Return the annotations of a dataclass's fields, with their `Annotated` extras."""
    return get_type_hints(cls, include_extras=True)


@cache
def _decoder(kind: Any) -> Decoder:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value: value
    if origin is Annotated:
        return _decoder(arguments[0])
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin is Literal:
        return _literal(arguments)
    if origin is dict:
        return _mapping(_decoder(arguments[1]))
    if origin is tuple:
        return _pair(arguments) if arguments[-1] is not ... else _sequence(arguments[0])
    return _scalar(kind)


def _dataclass(cls: type) -> Decoder:
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(cls)
    parts = [(f.name, _decoder(hints(cls)[f.name])) for f in fields]
    absent = dataclasses.MISSING
    needed = [f.name for f in fields if f.default is absent and f.default_factory is absent]

    def decode_object(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _MismatchError("an object", value)
        for name in needed:
            if name not in value:
                raise _MismatchError("there", "missing", (name,))
        found = {}
        for name, part in parts:
            if name in value:
                try:
                    found[name] = part(value[name])
                except _MismatchError as wrong:
                    raise wrong.under(name) from None
        return cls(**found)

    return decode_object


def _union(kinds: tuple[Any, ...]) -> Decoder:
    decoders = [_decoder(kind) for kind in kinds if kind is not type(None)]
    optional = type(None) in kinds

    def decode_union(value: Any) -> Any:
        if value is None and optional:
            return None
        wrongs = []
        for part in decoders:
            try:
                return part(value)
            except _MismatchError as wrong:
                wrongs.append(wrong)
        if len(wrongs) == 1:
            raise wrongs[0]
        raise _MismatchError(" or ".join(wrong.expected for wrong in wrongs), value)

    return decode_union


def _literal(allowed: tuple[Any, ...]) -> Decoder:
    expected = " or ".join(repr(choice) for choice in allowed)

    def decode_literal(value: Any) -> Any:
        if value in allowed:
            return value
        raise _MismatchError(expected, value)

    return decode_literal


def _mapping(item: Decoder) -> Decoder:
    def decode_mapping(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _MismatchError("an object", value)
        return {key: item(part) for key, part in value.items()}

    return decode_mapping


def _sequence(kind: Any) -> Decoder:
    item = _decoder(kind)

    def decode_sequence(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise _MismatchError("a list", value)
        return tuple(item(part) for part in value)

    return decode_sequence


def _pair(kinds: tuple[Any, ...]) -> Decoder:
    items = [_decoder(kind) for kind in kinds]

    def decode_pair(value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(items):
            raise _MismatchError(f"a list of {len(items)}", value)
        return tuple(item(part) for item, part in zip(items, value, strict=True))

    return decode_pair


def _scalar(kind: Any) -> Decoder:
    expected = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}

    def decode_scalar(value: Any) -> Any:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        if issubclass(kind, str) and kind is not str:
            try:
                return kind(value)
            except ValueError:
                choices = " or ".join(repr(choice.value) for choice in kind)
                raise _MismatchError(choices, value) from None
        raise _MismatchError(expected.get(kind, kind.__name__), value)

    return decode_scalar
