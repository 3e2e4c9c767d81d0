"""Helpers for tables that only the HTML page has.

An empty cell is drawn as a dash, and a column of empty cells is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter

from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.report.tables.columns import Align, Column, Group, Item, Table
from transfergrid.report.wording.verdict_words import number

MOST_LINES = 150
"""The largest number of lines of a table."""


def value(found: float | None, of: Verdict, signed: bool = False) -> str:
    """Return a score or gain of a verdict as text; empty if None."""
    return "" if found is None else number(found, of, signed)


def count(head: str, of: Callable[[Item], int | None]) -> Column[Item]:
    """Return a right-aligned column of counts."""
    return Column(head, lambda row: "" if (n := of(row)) is None else str(n), Align.RIGHT)


def written(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table[Sequence[str]]:
    """Return a table from rows of text."""
    columns = [Column[Sequence[str]](head, itemgetter(i)) for i, head in enumerate(heads)]
    return limited(columns, rows)


def limited(columns: Sequence[Column[Item]], rows: Sequence[Item]) -> Table[Item]:
    """Return a table of at most `MOST_LINES` rows, with a note on the rest."""
    more = len(rows) - MOST_LINES
    title = f"The first {MOST_LINES} lines; {more} more are left out." if more > 0 else ""
    return Table(columns, [Group(rows[:MOST_LINES])], title=title)
