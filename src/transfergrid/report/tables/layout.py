"""Layout of pages in a terminal: columns fit the cells and the terminal; long names are cut."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from transfergrid.records.printing import shown
from transfergrid.report.tables.columns import TERMINAL, Align, Column, Medium, Page, Table, alike
from transfergrid.report.wording.names import shortened

ENOUGH = 13
"""Number of characters that usually distinguish a name from others."""
NARROWEST = 20
"""The smallest width of a column of wrapped text."""
INDENT = 2
"""Number of spaces before rows whose names are in a line above them."""
_NUMBERED = re.compile(
    r"(?P<mark>(?:[^\d+-] )?)(?P<number>[+-]?\d[\d.,]*(?:e[+-]\d+)?)(?P<rest>.*)", re.DOTALL
)


def laid_out(page: Page, medium: Medium, width: int | None = 80, color: bool = False) -> str:
    """Return a page as text for a terminal.

    Args:
        page: what is shown.
        medium: the format and the available characters.
        width: columns of the terminal; None for unlimited.
        color: whether the terminal supports colour codes.
    """
    paint = _Paint(color)
    lines = [part for line in page.above for part in wrapped(line, width, "   ")]
    lines += [""] if lines else []
    grids = {id(t): grid for t, grid in _grids(page, medium, width)}
    for table in page.tables:
        lines += _titled(table, width, medium, paint)
        lines += grids[id(table)].lines(table, paint)
        lines += [""]
    lines += [] if page.tables else [page.empty]
    for line in page.lines():
        lines += [paint(part, line.style) for part in wrapped(line.text, width)]
    if page.tables and not page.below:
        lines.pop()
    return "".join(f"{line}\n" for line in lines)


def wrapped(
    line: str, width: int | None, indent: str = "    ", whole_words: bool = False
) -> list[str]:
    """Return a sentence wrapped into lines, with no break between a number and its per cent sign.

    Args:
        line: the sentence.
        width: columns; None for unlimited.
        indent: the prefix of all lines but the first.
        whole_words: whether words are never broken, even if too long, such as a path to be copied.
    """
    if width is None:
        return [line]
    kept = line.replace(" %", "\0%")
    wrapper = textwrap.TextWrapper(
        width,
        subsequent_indent=indent,
        break_long_words=not whole_words,
        break_on_hyphens=not whole_words,
    )
    return [part.replace("\0", " ") for part in wrapper.wrap(kept)]


def _titled(table: Table[Any], width: int | None, medium: Medium, paint: _Paint) -> list[str]:
    rule = f"{medium.symbols.line * 2} " if table.inner else ""
    style = "" if table.inner else "bold"
    lines = [paint(p, style) for p in wrapped(rule + table.title, width, "   ")]
    for line in table.above:
        lines += [paint(part, line.style) for part in wrapped(line.text, width, "   ")]
    return lines if table.title or table.above else []


class _Paint:
    """Writes text without control characters, in a style if colours are supported."""

    def __init__(self, color: bool) -> None:
        self._color = color

    def __call__(self, text: str, style: str = "") -> str:
        if not (self._color and style and text):
            return shown(text)
        from rich.color import ColorSystem
        from rich.style import Style

        return Style.parse(style).render(shown(text), color_system=ColorSystem.STANDARD)


def _grids(page: Page, medium: Medium, width: int | None) -> Iterator[tuple[Table[Any], _Grid]]:
    for tables in alike(page.tables):
        grid = _Grid(tables, medium, width, page)
        yield from ((table, grid) for table in tables)


def length(text: str) -> int:
    """Return the number of terminal columns that a text occupies; wide characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


@dataclass
class _Fitted:
    """A column with its cells and its width."""

    column: Column[Any]
    head: str
    cells: list[str]
    """One cell for each row of all tables that share this layout."""
    width: int = 0

    def __post_init__(self) -> None:
        self.cells = _on_numbers(self.cells) if self.column.align is Align.NUMBER else self.cells
        self.width = max(map(length, [self.head, *self.parts()]))

    def parts(self) -> Iterator[str]:
        return (part for cell in self.cells for part in cell.split("\n"))

    def fit(self, cut: str) -> None:
        """Cut or wrap cells that are wider than the column."""
        if self.column.wraps:
            self.cells = ["\n".join(_folded_text(cell, self.width)) for cell in self.cells]
        elif self.column.least is not None:
            short = shortened([self.head, *self.cells], self.width, cut)
            self.head, self.cells = short[self.head], [short[cell] for cell in self.cells]

    @property
    def to_the_right(self) -> bool:
        return self.column.align is Align.RIGHT


def _folded_text(text: str, width: int) -> Iterator[str]:
    """Yield a text's wrapped lines, each continuation indented like its first line."""
    for line in text.split("\n"):
        spaces = line[: len(line) - len(line.lstrip())]
        yield from wrapped(line, width, spaces and f"{spaces}    ") or [""]


def _on_numbers(cells: Sequence[str]) -> list[str]:
    """Return the cells, padded so that their numbers are right-aligned."""
    found = [_NUMBERED.fullmatch(cell) for cell in cells]
    wide = max((len(match["number"]) for match in found if match), default=0)
    return [
        match["mark"] + match["number"].rjust(wide) + match["rest"] if match else cell
        for cell, match in zip(cells, found, strict=True)
    ]


class _Grid:
    """The shared layout of tables with the same columns."""

    def __init__(
        self, tables: Sequence[Table[Any]], medium: Medium, width: int | None, page: Page
    ) -> None:
        self.medium, self.width = medium, width
        rows = [row for table in tables for row in table.rows]
        columns = [c for c in tables[0].columns if TERMINAL in c.formats]
        self.columns = [
            _Fitted(column, _head(column, page), [column.text(row) for row in rows])
            for column in columns
        ]
        self._begins = dict(zip(map(id, tables), _begins(tables), strict=True))
        self._fit(page.names_above)
        for column in self.columns:
            column.fit(medium.symbols.cut)

    def _fit(self, names_above: bool) -> None:
        """Decide which columns are side by side, which go below or above, and their widths."""
        self.above: list[_Fitted] = []
        self.below = [c for c in self.columns if c.column.below and not self._has_room_for(c)]
        beside = [c for c in self.columns if c not in self.below]
        self.blocks = [beside]
        if self.width is None or _width(beside) <= self.width:
            return
        names = [c for c in beside if c.column.least is not None or c.column.wraps]
        keys = [c for c in beside if c.column.key]
        if keys and not names_above:
            self.blocks = _folded(beside, keys, names, self.width)
            return
        whole = [c.width for c in names]
        _give_way(beside, names, self.width, ENOUGH if keys else 0)
        if keys and _width(beside) > self.width:
            for c, width in zip(names, whole, strict=True):
                c.width = width
            self.above, rest = keys, [c for c in beside if c not in keys]
            _give_way(rest, [c for c in names if c not in keys], self.width - INDENT, 0)
            self.blocks = [rest]

    def _has_room_for(self, column: _Fitted) -> bool:
        return self.width is None or _width(self.columns) <= self.width

    def lines(self, table: Table[Any], paint: _Paint) -> Iterator[str]:
        """Yield a table's lines."""
        for position, block in enumerate(self.blocks):
            if position:
                yield ""
            yield from _Block(self, block, paint).lines(table, self._begins[id(table)])


def _head(column: Column[Any], page: Page) -> str:
    return column.head_in(TERMINAL) if page.headed else ""


def _begins(tables: Sequence[Table[Any]]) -> list[int]:
    """Return for each table the number of rows before it."""
    counts = [len(table.rows) for table in tables]
    return [sum(counts[:i]) for i in range(len(counts))]


def _width(columns: Sequence[_Fitted]) -> int:
    gaps = sum(c.column.gap for c in columns[1:])
    return sum(c.width for c in columns) + gaps + sum(extra for _, extra in _spans(columns))


def _spans(columns: Sequence[_Fitted]) -> Iterator[tuple[list[_Fitted], int]]:
    """Yield columns under a common header, with the extra spaces that this header needs."""
    for over, found in groupby(columns, key=lambda c: c.column.over):
        members = list(found)
        plain = sum(c.width + c.column.gap for c in members) - members[0].column.gap
        if over:
            yield members, max(length(over) - plain, 0)
        else:
            yield from (([member], 0) for member in members)


def _give_way(
    columns: Sequence[_Fitted], names: Sequence[_Fitted], width: int, enough: int
) -> None:
    """Narrow the widest name columns until all columns fit, down to a smallest width."""

    def room(column: _Fitted) -> int:
        least = NARROWEST if column.column.wraps else column.column.least or 0
        return column.width - max(least, enough)

    while (over := _width(columns) - width) > 0:
        wide = sorted((c for c in names if room(c) > 0), key=lambda c: c.width, reverse=True)
        if not wide:
            return
        next_wide = wide[1].width if len(wide) > 1 else 0
        wide[0].width -= max(min(over, room(wide[0]), wide[0].width - next_wide), 1)


def _folded(
    beside: Sequence[_Fitted], keys: Sequence[_Fitted], names: Sequence[_Fitted], width: int
) -> list[list[_Fitted]]:
    """Return the columns split into blocks, each starting with the key columns."""
    for name in names:
        name.width = min(name.width, max(name.column.least or 0, width // 3))
    spans = [members for members, _ in _spans([c for c in beside if c not in keys])]
    widest = max(spans, key=lambda members: _width([*keys, *members]))
    _give_way([*keys, *widest], names, width, 0)
    blocks: list[list[_Fitted]] = []
    for members in spans:
        if blocks and _width([*blocks[-1], *members]) <= width:
            blocks[-1] += members
        else:
            blocks.append([*keys, *members])
    return blocks


class _Block:
    """Columns side by side, and where each begins."""

    def __init__(self, grid: _Grid, columns: Sequence[_Fitted], paint: _Paint) -> None:
        self.grid, self.columns, self.paint = grid, columns, paint
        self.starts = list(_starts(columns, INDENT if grid.above else 0))

    def lines(self, table: Table[Any], begin: int) -> Iterator[str]:
        """Yield headings, headers and rows; `begin` is the number of rows before the table's."""
        headed = not table.rows
        for group in table.groups:
            if group.heading:
                rule = self.grid.medium.symbols.line * (1 if group.inner else 2)
                for part in wrapped(f"{rule} {group.heading}", self.grid.width, "   "):
                    yield self.paint(part, "italic")
            if not headed:
                yield from self._header()
                headed = True
            places = range(begin, begin + len(group.rows))
            yield from self._rows([(i, row) for i, row in zip(places, group.rows, strict=True)])
            begin += len(group.rows)

    def _header(self) -> Iterator[str]:
        if self.grid.above:
            yield from wrapped("  ".join(c.head for c in self.grid.above), self.grid.width)
        if any(c.column.over for c in self.columns):
            yield self._spanned()
        if any(c.head for c in self.columns):
            yield self._line([c.head for c in self.columns])

    def _spanned(self) -> str:
        line = ""
        ends = {id(c): at + c.width for c, at in zip(self.columns, self.starts, strict=True)}
        for members, _ in _spans(self.columns):
            over, end = members[0].column.over, ends[id(members[-1])]
            line += over.rjust(end - len(line)) if over else ""
        return line

    def _rows(self, rows: Sequence[tuple[int, Any]]) -> Iterator[str]:
        for names, members in groupby(rows, key=lambda place: self._names(place[0])):
            if self.grid.above:
                yield from wrapped(self.paint(names), self.grid.width)
            for i, row in members:
                yield from self._row(i, row)

    def _names(self, i: int) -> str:
        return "  ".join(c.cells[i] for c in self.grid.above)

    def _row(self, i: int, row: Any) -> Iterator[str]:
        cells = [c.cells[i].split("\n") for c in self.columns]
        told = [cell for c, cell in zip(self.columns, cells, strict=True) if not c.column.key]
        if len(self.grid.blocks) > 1 and not any(cell != [""] for cell in told):
            return  # the row is empty in this part of a folded table
        styles = [c.column.style(row) for c in self.columns]
        for k in range(max(map(len, cells))):
            yield self._line([cell[k] if k < len(cell) else "" for cell in cells], styles)
        for c in self.grid.below:
            if c.cells[i] and c.column.wraps and self.grid.width is not None:
                room = self.grid.width - 2 * INDENT
                for part in _folded_text(c.cells[i], room):
                    yield " " * 2 * INDENT + self.paint(part, c.column.style(row))
            elif c.cells[i]:
                yield self._below(c, c.cells[i], c.column.style(row))

    def _below(self, column: _Fitted, text: str, style: str) -> str:
        under = next((at for c, at in zip(self.columns, self.starts, strict=True)
                      if c.head == column.column.below), 0)  # fmt: skip
        room = under if self.grid.width is None else max(self.grid.width - length(text), 0)
        return " " * min(under, room) + self.paint(text, style)

    def _line(self, texts: Sequence[str], styles: Iterable[str] = ()) -> str:
        line, written = "", 0
        listed = [*styles] or [""] * len(texts)
        for c, at, text, style in zip(self.columns, self.starts, texts, listed, strict=True):
            if not text:
                continue
            at += c.width - length(text) if c.to_the_right else 0
            line += " " * (at - written) + self.paint(text, style)
            written = at + length(text)
        return line.rstrip()


def _starts(columns: Sequence[_Fitted], indent: int) -> Iterator[int]:
    at = indent
    for members, extra in _spans(columns):
        for k, c in enumerate(members):
            at += (c.column.gap if c is not columns[0] else 0) + (extra if k == 0 else 0)
            yield at
            at += c.width
