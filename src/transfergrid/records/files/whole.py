"""Read whole numbers as people and files write them, without going through a float."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from numbers import Integral
from typing import Any

EXACT = 2**53
"""From this value on a float may represent several whole numbers."""
LONGEST = 60
"""Largest decimal exponent of a number; larger numbers are taken for mistakes."""


def whole_number(value: Any) -> int | None:
    """Return a value as an int if it is a whole number, also one written as 20.0 or 2e1.

    None for anything else, including truth values and floats of `EXACT` or more in size, which may
    have been rounded.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, float) and not abs(value) < EXACT:
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number.adjusted()) > LONGEST:
        return None
    return int(number) if number == number.to_integral_value() else None
