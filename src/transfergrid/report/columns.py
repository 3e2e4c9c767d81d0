"""What a table is, whatever it is written as: its columns, each said once, and its rows.

A verb says what it shows as a `Page` of `Table`s. How a cell is padded, cut or escaped, and what
finds room beside what, is no table's business: `layout` knows it for terminals, `markup` for
markdown and LaTeX, `html.drawing` for the report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

from transfergrid.report.words import UNICODE, Symbols

Item = TypeVar("Item")
"""What a row is made from: a verdict, a curve, a cell."""
TERMINAL, MARKDOWN, LATEX, HTML = "table", "markdown", "latex", "html"
FOR_PEOPLE = (TERMINAL, MARKDOWN, LATEX, HTML)


class Align(Enum):
    """How the cells of a column stand below each other."""

    LEFT = "left"
    RIGHT = "right"
    NUMBER = "number"
    """Numbers end below each other; what follows, such as an interval, begins so."""


def _plain(_: Any) -> str:
    return ""


@dataclass(frozen=True)
class Column(Generic[Item]):
    """What people read of each row under one header.

    Args:
        head: the header.
        text: writes the cell of a row; a line break in it begins another line of the cell.
        align: see `Align`.
        least: how much is left of a long name in a narrow place, in characters; None for what is
            never cut: a number that is cut is another number.
        key: whether it names the row, and so stands beside every part of a table that is folded.
        over: a header above all columns beside each other that bear it.
        gap: spaces before it.
        below: the header of the column below which it stands, in a line of its own, where there is
            no room beside; in several, indented, if it wraps.
        wraps: whether long texts take several lines.
        heads: headers by format where they differ from `head`, as they are written there.
        formats: those which it is shown in.
        style: says which style a row's cell has in a terminal of colours.
        latex: writes the cell's text in LaTeX; by default as words, with signs of numbers.
    """

    head: str
    text: Callable[[Item], str]
    align: Align = Align.LEFT
    least: int | None = None
    key: bool = False
    over: str = ""
    gap: int = 2
    below: str = ""
    wraps: bool = False
    heads: Mapping[str, str] = field(default_factory=dict)
    formats: tuple[str, ...] = FOR_PEOPLE
    style: Callable[[Item], str] = _plain
    latex: Callable[[str], str] | None = None

    def head_in(self, format: str) -> str:
        """Return the header in a format."""
        return self.heads.get(format, self.head)


@dataclass(frozen=True)
class Group(Generic[Item]):
    """Rows that stand together.

    Args:
        rows: the rows.
        heading: what they have in common.
        inner: whether they are a part of the group before.
    """

    rows: Sequence[Item]
    heading: str = ""
    inner: bool = False


@dataclass(frozen=True)
class Line:
    """A sentence above or below a table, in a style of a terminal of colours."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Table(Generic[Item]):
    """Rows under one title. Tables with the very same `columns` are laid out alike.

    Args:
        columns: from left to right.
        groups: from top to bottom.
        title: what all rows are about.
        above: what is to be known before they are read.
        inner: whether it is a part of what the table before is titled.
    """

    columns: Sequence[Column[Item]] = ()
    groups: Sequence[Group[Item]] = ()
    title: str = ""
    above: Sequence[Line] = ()
    inner: bool = False

    @property
    def rows(self) -> list[Item]:
        """All rows."""
        return [row for group in self.groups for row in group.rows]


@dataclass(frozen=True)
class Page:
    """All that people read.

    Args:
        tables: from top to bottom.
        above: what all names have in common, and the like.
        below: what a reader must know; a line that begins with spaces belongs to the one before.
        empty: what stands there without any table.
        names_above: where there is little room, names stand in a line above the rows that share
            them, instead of being cut.
        headed: whether a terminal shows the headers.
    """

    tables: Sequence[Table[Any]]
    above: Sequence[str] = ()
    below: Sequence[Line | str] = ()
    empty: str = "Nothing to show."
    names_above: bool = False
    headed: bool = True

    def lines(self) -> list[Line]:
        """Return what stands below."""
        return [line if isinstance(line, Line) else Line(line) for line in self.below]


@dataclass(frozen=True)
class Medium:
    """What a page is written for.

    Args:
        format: one of `FOR_PEOPLE`.
        symbols: the characters beyond letters and digits.
    """

    format: str = TERMINAL
    symbols: Symbols = UNICODE

    def joined(self, *parts: str) -> str:
        """Return the parts of a title side by side; what is empty is left out."""
        between = ", " if self.format == MARKDOWN else f" {self.symbols.dot} "
        return between.join(part for part in parts if part)


def alike(tables: Sequence[Table[Any]]) -> list[list[Table[Any]]]:
    """Return the tables that have the very same columns together."""
    found: dict[int, list[Table[Any]]] = {}
    for table in tables:
        found.setdefault(id(table.columns), []).append(table)
    return list(found.values())
