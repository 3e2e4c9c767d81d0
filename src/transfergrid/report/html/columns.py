"""Tables of the page beside those that are shown elsewhere too.

A cell in which nothing stands is drawn as a dash, and a column of such cells not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter

from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.report.columns import Align, Column, Group, Item, Table
from transfergrid.report.verdict_words import number

MOST_LINES = 150
"""Lines of a table that a reader will go through."""


def value(found: float | None, of: Verdict, signed: bool = False) -> str:
    """Write a score or a gain of a verdict, if there is one."""
    return "" if found is None else number(found, of, signed)


def count(head: str, of: Callable[[Item], int | None]) -> Column[Item]:
    """Return a column of counts, which stand to the right."""
    return Column(head, lambda row: "" if (n := of(row)) is None else str(n), Align.RIGHT)


def written(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table[Sequence[str]]:
    """Return a table of what is written already, a line after the other."""
    columns = [Column[Sequence[str]](head, itemgetter(i)) for i, head in enumerate(heads)]
    return limited(columns, rows)


def limited(columns: Sequence[Column[Item]], rows: Sequence[Item]) -> Table[Item]:
    """Return a table of no more than `MOST_LINES`."""
    more = len(rows) - MOST_LINES
    title = f"The first {MOST_LINES} lines; {more} more are left out." if more > 0 else ""
    return Table(columns, [Group(rows[:MOST_LINES])], title=title)
