"""Every table in every format: for people as a page, for programs as records."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from transfergrid.records.errors import check_known
from transfergrid.report import markup
from transfergrid.report.columns import LATEX, MARKDOWN, TERMINAL, Medium, Page
from transfergrid.report.escaping import CsvWriter
from transfergrid.report.layout import laid_out
from transfergrid.report.terminal import Terminal
from transfergrid.report.words import ASCII, UNICODE

JSON, CSV = "json", "csv"
FORMATS = (TERMINAL, JSON, CSV, MARKDOWN, LATEX)
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Sheet:
    """What a verb shows.

    Args:
        page: returns it as people read it.
        rows: returns it as programs read it.
        json: returns what JSON has instead, where there is more to it than rows.
        keys: of the rows; by default those of the first.
    """

    page: Callable[[Medium], Page]
    rows: Callable[[], Rows]
    json: Callable[[], Any] | None = None
    keys: Sequence[str] = ()


def render(
    sheet: Sheet,
    format: str = TERMINAL,
    *,
    width: int | None = 80,
    color: bool = False,
    ascii_only: bool = False,
) -> str:
    """Return a sheet as text.

    Args:
        sheet: what is shown.
        format: one of `FORMATS`.
        width: columns of the terminal; None for as many as it takes.
        color: whether to write colour codes.
        ascii_only: whether to keep to ASCII characters of our own.

    Raises:
        BadInputError: there is no such format.
    """
    check_known("format", format, FORMATS)
    if format == JSON:
        return _as_json((sheet.json or sheet.rows)())
    if format == CSV:
        return _as_csv(sheet)
    if format == TERMINAL:
        medium = Medium(format, ASCII if ascii_only else UNICODE)
        return laid_out(sheet.page(medium), medium, width, color)
    page = sheet.page(Medium(format))
    return markup.in_markdown_page(page) if format == MARKDOWN else markup.in_latex_page(page)


def show(
    sheet: Sheet, format: str = TERMINAL, *, file: TextIO | None = None, unbroken: bool = False
) -> None:
    """Print a sheet as wide, as colourful and in such characters as the terminal takes.

    Args:
        sheet: what is shown.
        format: one of `FORMATS`.
        file: by default standard output.
        unbroken: whether rows stay in one line, for other programs, where there is no terminal.
    """
    terminal = Terminal.of(file)
    text = render(
        sheet,
        format,
        width=None if unbroken and not terminal.file.isatty() else terminal.width,
        color=terminal.color,
        ascii_only=terminal.symbols is ASCII,
    )
    terminal.write(text)


def _as_json(value: Any) -> str:
    """Write a list of rows, one a line: laid out further, ten thousand would take seconds."""
    if not isinstance(value, list):
        return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    rows = (json.dumps(row, allow_nan=False, ensure_ascii=False) for row in value)
    return "[\n" + ",\n".join(rows) + "\n]\n"


def _as_csv(sheet: Sheet) -> str:
    """Write a line for each row; an empty field is what the data cannot tell.

    Where JSON has a list or an object, the field holds its JSON text.
    """
    rows, text = sheet.rows(), io.StringIO()
    writer = CsvWriter(text)
    writer.row(sheet.keys or (rows[0] if rows else ()))
    writer.rows(map(_flat, row.values()) for row in rows)
    return text.getvalue()


def _flat(value: Any) -> Any:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False)
    return value
