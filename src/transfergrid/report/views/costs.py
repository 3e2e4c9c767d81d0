"""The cost of predictions as text: 2.2M parameters, 0.6G operations, 8.3 milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from transfergrid.evidence.measured.uses import Use
from transfergrid.report.tables.columns import Align, Column
from transfergrid.report.wording.words import UNICODE, Symbols

Row = TypeVar("Row")
LEGEND = (
    "trained: parameters that learned; FLOPs, ms: operations and milliseconds of one prediction, "
    "by all networks that take part; the most of a row's places."
)
_SIZES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def use_columns(use: Callable[[Row], Use], symbols: Symbols = UNICODE) -> list[Column[Row]]:
    """Return the columns of costs.

    Args:
        use: returns the costs of a row.
        symbols: the available characters.
    """

    def written(value: float | None, write: Callable[[float], str]) -> str:
        return symbols.nothing if value is None else write(value)

    return [
        Column("trained", lambda row: written(use(row).trained, amount), Align.RIGHT),
        Column("FLOPs", lambda row: written(use(row).flops, amount), Align.RIGHT),
        Column("ms", lambda row: written(use(row).seconds, milliseconds), Align.RIGHT),
    ]


def amount(value: float) -> str:
    """Return a large number as text with two or more digits and a letter for its size."""
    for size, letter in _SIZES:
        if value >= 0.9995 * size:
            return f"{_two_digits(value / size)}{letter}"
    return f"{value:.0f}"


def milliseconds(value: float) -> str:
    """Return seconds as text in milliseconds with two or more digits."""
    return _two_digits(1000 * value)


def _two_digits(value: float) -> str:
    if value >= 9.95 or value == 0:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 0.95 else f"{value:.2g}"
