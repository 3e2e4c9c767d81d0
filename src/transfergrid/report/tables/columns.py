"""The format-independent description of a table: its columns, each defined once, and its rows.

A verb describes its output as a `Page` of `Table`s. How a cell is padded, cut or escaped, and which
columns fit side by side, is decided elsewhere: `layout` for terminals, `markup` for markdown and
LaTeX, `html.drawing` for the report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

from transfergrid.report.wording.words import UNICODE, Symbols

Item = TypeVar("Item")
"""The type that a row is made from: a verdict, a curve, a cell."""
TERMINAL, MARKDOWN, LATEX, HTML = "table", "markdown", "latex", "html"
FOR_PEOPLE = (TERMINAL, MARKDOWN, LATEX, HTML)


class Align(Enum):
    """How the cells of a column are aligned."""

    LEFT = "left"
    RIGHT = "right"
    NUMBER = "number"
    """Numbers are right-aligned; what follows a number, such as an interval, is left-aligned."""


def _plain(_: Any) -> str:
    return ""


@dataclass(frozen=True)
class Column(Generic[Item]):
    """One column: what people read in each row under one header.

    Args:
        head: the header.
        text: returns the cell of a row; a line break starts another line of the cell.
        align: see `Align`.
        least: the smallest number of characters to which a long name is cut in a narrow terminal;
            None for cells that must not be cut: a number that is cut is another number.
        key: whether it names the row, and is repeated in every block of a folded table.
        over: a header above all neighbouring columns with the same `over`.
        gap: number of spaces before it.
        below: the header of the column under which its text is put, on a line of its own, if the
            terminal is too narrow; on several indented lines if it wraps.
        wraps: whether long texts are wrapped to several lines.
        heads: headers by format where they differ from `head`, already in that format's markup.
        formats: the formats in which it is shown.
        style: returns the style of a row's cell in a terminal with colours.
        latex: converts the cell's text to LaTeX; by default as words, with minus signs for numbers.
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
    """Rows that belong together.

    Args:
        rows: the rows.
        heading: what they have in common.
        inner: whether they are a part of the preceding group.
    """

    rows: Sequence[Item]
    heading: str = ""
    inner: bool = False


@dataclass(frozen=True)
class Line:
    """A sentence above or below a table, with its style in a terminal with colours."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Table(Generic[Item]):
    """Rows under one title. Tables with the identical `columns` object share their layout.

    Args:
        columns: the columns from left to right.
        groups: the groups from top to bottom.
        title: what all rows are about.
        above: what a reader must know before reading the rows.
        inner: whether it belongs under the title of the preceding table.
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
    """The whole output for people.

    Args:
        tables: the tables from top to bottom.
        above: lines before the tables, such as what all names have in common.
        below: what a reader must know; a line starting with spaces belongs to the one before.
        empty: the text if there is no table.
        names_above: whether names move to a line above the rows that share them if the terminal is
            narrow, instead of being cut.
        headed: whether a terminal shows the headers.
    """

    tables: Sequence[Table[Any]]
    above: Sequence[str] = ()
    below: Sequence[Line | str] = ()
    empty: str = "Nothing to show."
    names_above: bool = False
    headed: bool = True

    def lines(self) -> list[Line]:
        """Return the lines below the tables."""
        return [line if isinstance(line, Line) else Line(line) for line in self.below]


@dataclass(frozen=True)
class Medium:
    """The output format of a page.

    Args:
        format: one of `FOR_PEOPLE`.
        symbols: the special characters to use.
    """

    format: str = TERMINAL
    symbols: Symbols = UNICODE

    def joined(self, *parts: str) -> str:
        """Return the parts of a title joined; empty parts are left out."""
        between = ", " if self.format == MARKDOWN else f" {self.symbols.dot} "
        return between.join(part for part in parts if part)


def alike(tables: Sequence[Table[Any]]) -> list[list[Table[Any]]]:
    """Return the tables grouped by identical `columns` objects."""
    found: dict[int, list[Table[Any]]] = {}
    for table in tables:
        found.setdefault(id(table.columns), []).append(table)
    return list(found.values())
