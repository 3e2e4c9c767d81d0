"""Validation of external data: the contents of a file are checked before code uses them.

Results come from other people, from other programs and from disks that were full. So every JSON
text is read by a `Reader` of its type. Callers leave out what does not fit, and name it in a
warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from transfergrid.records.errors import BadInputError

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator, ValidationError

T = TypeVar("T")

LARGEST = 2**128
"""Largest number that is accepted: no float32 is larger, and its square and cube are finite."""
_LIMITS: dict[str, dict[str, Any]] = {
    "float": {"ge": -float(LARGEST), "le": float(LARGEST), "allow_inf_nan": False},
    "int": {"ge": -LARGEST, "le": LARGEST},
}


class Reader(Generic[T]):
    """Reads JSON of one type, strictly; numbers must be finite and at most `LARGEST` in size.

    Args:
        kind: a dataclass, a `TypedDict` or any other annotation that pydantic knows.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __call__(self, text: str | bytes) -> T:
        """Return the value that JSON text holds; unknown keys are ignored.

        Raises:
            BadInputError: the text does not fit the type; the message names the first wrong key.
        """
        return self._found(lambda: self._validator.validate_json(text, strict=True))

    def of(self, value: Any) -> T:
        """Return a value of the type, made from plain values.

        Raises:
            BadInputError: the plain values do not fit the type.
        """
        return self._found(lambda: self._validator.validate_python(value))

    def _found(self, read: Callable[[], T]) -> T:
        from pydantic_core import ValidationError

        try:
            return read()
        except ValidationError as error:
            raise BadInputError(_told(error)) from None

    @cached_property
    def _validator(self) -> SchemaValidator:
        from pydantic import TypeAdapter  # here, because it takes 70 ms that help can save
        from pydantic_core import SchemaValidator

        return SchemaValidator(_limited(TypeAdapter(self._kind).core_schema))


@dataclass(frozen=True)
class Checked:
    """Annotation metadata: a value must pass a function, which returns it or raises `ValueError`.

    It works like `pydantic.AfterValidator`, but does not import pydantic before something is read.
    """

    check: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, kind: Any, schema_of: Callable[[Any], Any]) -> Any:
        """Return pydantic's schema for the annotation."""
        from pydantic_core.core_schema import no_info_after_validator_function

        return no_info_after_validator_function(self.check, schema_of(kind))


def like(kind: Any) -> Checked:
    """Return annotation metadata: a value that is not empty must also be readable as this type."""
    reader: Reader[Any] = Reader(kind)

    def check(value: Any) -> Any:
        try:
            if value:
                reader.of(value)
        except BadInputError as error:
            raise ValueError(str(error)) from None
        return value

    return Checked(check)


def _limited(schema: Any) -> Any:
    """Return a pydantic schema with limits added to all numbers in it, at any depth."""
    if isinstance(schema, Mapping):
        kind = schema.get("type")
        limits = _LIMITS.get(kind, {}) if isinstance(kind, str) else {}
        return {**limits, **{key: _limited(value) for key, value in schema.items()}}
    return [_limited(part) for part in schema] if isinstance(schema, list) else schema


def _told(error: ValidationError) -> str:
    first, *_ = error.errors(include_url=False, include_context=False, include_input=False)
    where = ".".join(str(key) for key in first["loc"])
    message = " ".join(first["msg"].removeprefix("Value error, ").split())
    return f"{where}: {message}" if where else message


def time_of(text: str) -> datetime:
    """Return the time in ISO 8601 text; without a time zone it is UTC.

    Raises:
        ValueError: the text is not such a time.
    """
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def is_time(text: str | None) -> str | None:
    """Return an ISO 8601 time, or None, unchanged; raise `ValueError` for any other text."""
    if text is not None:
        try:
            time_of(text)
        except ValueError:
            raise ValueError(f"{text[:40]!r} is no ISO 8601 time") from None
    return text
