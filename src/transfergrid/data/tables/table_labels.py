"""Labels of tables, converted to class names that do not depend on the file's format."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from transfergrid.data.class_names import check_different
from transfergrid.data.content_splits import named
from transfergrid.records.errors import BadInputError

_NUMBER = re.compile(r"[+-]?(0|[1-9]\d{0,300})(\.\d*)?([eE][+-]?\d{1,3})?")
_TRUTH = frozenset({"true", "false"})
ONE_SPELLING = "write each in one way (if they are two, a table's target.class_names can list them)"


def as_text(value: Any) -> str | None:
    """Return a cell of a table as text without surrounding spaces; None if it is empty.

    Raises:
        BadInputError: it holds a list, an object or bytes instead of a single value.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, dict, bytes)):
        raise BadInputError(f"holds a {type(value).__name__}, not one value")
    text = sound_text(str(value)).strip()
    return None if text in ("", "nan", "NaN") else text


def sound_text(text: str) -> str:
    """Return a text with unpaired surrogates replaced, which no tokenizer accepts."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def class_order(
    labels: Iterable[str], given: Sequence[str] | None
) -> tuple[list[str], dict[str, str]]:
    """Return the classes' names in order, and the class name of every label.

    Whole numbers are sorted as numbers; 1, 1.0 and "1" are one label, and so are true and True.
    If names are `given`, labels are these names, or their indices from 0 on.

    Raises:
        BadInputError: the labels are no classes, or do not match the given names.
    """
    found = sorted(set(labels))
    if given is not None:
        names = _names(given)
        return names, _given(found, names)
    if {label.lower() for label in found} <= _TRUTH:
        return sorted({label.lower() for label in found}), {n: n.lower() for n in found}
    if not all(_NUMBER.fullmatch(label) for label in found):
        check_different(found, ONE_SPELLING)
        return found, {label: label for label in found}
    broken = [label for label in found if not _is_whole(label)]
    if broken:
        raise BadInputError(
            f"its labels look like a regression target, as {named(broken)}: give a metric of "
            "numbers, target.metric=mae, mse or r2; or bring them into classes, or list them in "
            "target.class_names if they are names"
        )
    whole = {label: str(int(Decimal(label))) for label in found}
    return sorted(set(whole.values()), key=int), whole


def _is_whole(label: str) -> bool:
    return Decimal(label) == Decimal(label).to_integral_value()


def _names(given: Sequence[str]) -> list[str]:
    names = [] if isinstance(given, str) else [as_text(name) for name in given]
    if None in names or len(set(names)) < max(2, len(names)):
        raise BadInputError(f"class_names must be a list of different names, not {given!r}")
    return [str(name) for name in names]


def _given(found: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return the class of each label: all labels are names of classes, or all are indices."""
    strange = [label for label in found if label not in names]
    numbers = {label: _index(label) for label in found}
    if strange and not all(number in range(len(names)) for number in numbers.values()):
        strange = [label for label in strange if numbers[label] not in range(len(names))] or strange
        raise BadInputError(f"its labels {named(strange)} are none of the classes {named(names)}")
    if strange:
        check_no_numbers(names)
    return {label: names[numbers[label] or 0] if strange else label for label in found}


def check_no_numbers(names: Sequence[str]) -> None:
    """Raise `BadInputError` if names of classes are numbers that differ from their indices.

    With names 1, 2, 3 and labels 0, 1, 2 the user may mean indices, or be off by one.
    """
    if any(_NUMBER.fullmatch(name) and name != str(i) for i, name in enumerate(names)):
        raise BadInputError(
            f"class_names {named(names)} are numbers, but not those that its labels are: name the "
            "classes in words, or list the labels as they are"
        )


def _index(label: str) -> int | None:
    return int(Decimal(label)) if _NUMBER.fullmatch(label) and _is_whole(label) else None
