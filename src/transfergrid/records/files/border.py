"""What a file says is checked here before anything computes with it, and never guessed at.

Results come from other people, other programs and disks that fill up. So every JSON text passes a
`Reader` of its type, and what does not fit is set aside by whoever reads it: left out, and named.
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
"""No number that is meant is larger: no float32 is, and squares and cubes of it are finite."""
_LIMITS: dict[str, dict[str, Any]] = {
    "float": {"ge": -float(LARGEST), "le": float(LARGEST), "allow_inf_nan": False},
    "int": {"ge": -LARGEST, "le": LARGEST},
}


class Reader(Generic[T]):
    """Reads JSON of one type, strictly; numbers must be finite and no larger than `LARGEST`.

    Args:
        kind: a dataclass, a `TypedDict` or any other annotation that pydantic knows.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __call__(self, text: str | bytes) -> T:
        """Return what the text holds; keys that the type does not know are left aside.

        Raises:
            BadInputError: it holds something else; the first wrong key is named.
        """
        return self._found(lambda: self._validator.validate_json(text, strict=True))

    def of(self, value: Any) -> T:
        """Return plain values that are of the type.

        Raises:
            BadInputError: they are not.
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
        from pydantic import TypeAdapter  # 70 ms, which help and refusals do not pay
        from pydantic_core import SchemaValidator

        return SchemaValidator(_limited(TypeAdapter(self._kind).core_schema))


@dataclass(frozen=True)
class Checked:
    """Says in an annotation that a value passes a function, which raises ValueError or returns it.

    It is `pydantic.AfterValidator`, less the import of pydantic where nothing is read yet.
    """

    check: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, kind: Any, schema_of: Callable[[Any], Any]) -> Any:
        """Return pydantic's schema of the annotation."""
        from pydantic_core.core_schema import no_info_after_validator_function

        return no_info_after_validator_function(self.check, schema_of(kind))


def like(kind: Any) -> Checked:
    """Say in an annotation that a value which is not empty can be read as another type, too."""
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
    """Return a schema of pydantic with the limits of numbers in it, wherever they stand."""
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
    """Return an ISO 8601 time; one without a zone is UTC.

    Raises:
        ValueError: it is none.
    """
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def is_time(text: str | None) -> str | None:
    """Return an ISO 8601 time, or None; raises `ValueError` for any other text."""
    if text is not None:
        try:
            time_of(text)
        except ValueError:
            raise ValueError(f"{text[:40]!r} is no ISO 8601 time") from None
    return text
