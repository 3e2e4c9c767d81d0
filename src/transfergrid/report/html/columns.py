"""Columns of the page's tables: what names an arm, and what is told of its verdict.

A cell in which nothing stands is drawn as a dash, and a column of such cells not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter

from transfergrid.evidence.verdicts import Verdict
from transfergrid.report.columns import Align, Column, Group, Item, Table
from transfergrid.report.html.answer import SAID, interval
from transfergrid.report.html.rows import NO_SOURCE
from transfergrid.report.verdict_words import number, sign

MOST_LINES = 150
"""Lines of a table that a reader will go through."""
Of = Callable[[Item], Verdict]
"""Returns the verdict that a row is about."""


def itself(verdict: Verdict) -> Verdict:
    """Return what a row is about where it is a verdict."""
    return verdict


def place(of: Of[Item]) -> list[Column[Item]]:
    """Return the columns that name target and labels."""
    return [
        Column("target", lambda row: of(row).target),
        Column("labels", lambda row: str(of(row).labels)),
    ]


def arm(of: Of[Item]) -> list[Column[Item]]:
    """Return the columns that name an arm."""
    return [
        *place(of),
        Column("source", lambda row: of(row).source or NO_SOURCE),
        Column("strategy", lambda row: of(row).strategy),
    ]


def verdict(of: Of[Item], head: str = "verdict") -> Column[Item]:
    """Return the column of a verdict as mark and word."""
    return Column(head, lambda row: f"{sign(of(row).verdict)} {SAID[of(row).verdict]}")


def gain(of: Of[Item], head: str = "gain") -> list[Column[Item]]:
    """Return the columns of a gain and its interval."""
    return [
        Column(head, lambda row: value(of(row).gain, of(row), signed=True)),
        Column("95 %", lambda row: interval(of(row))),
    ]


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
