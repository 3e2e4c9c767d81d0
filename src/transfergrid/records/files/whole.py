"""Whole numbers as people and files write them, read without passing through a float."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from numbers import Integral
from typing import Any

EXACT = 2**53
"""From here on a float stands for several whole numbers."""
LONGEST = 60
"""Characters of a number; a longer one, or one with such an exponent, is none that anyone means."""


def whole_number(value: Any) -> int | None:
    """Return a whole number, also one written as 20.0 or 2e1; None for anything else.

    None also for truth values, and for floats so large that they may have been another number.
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
