"""Every table in every format: as a page for people, as records for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from transfergrid.records.errors import check_known
from transfergrid.report.tables import markup
from transfergrid.report.tables.columns import LATEX, MARKDOWN, TERMINAL, Medium, Page
from transfergrid.report.tables.escaping import CsvWriter
from transfergrid.report.tables.layout import laid_out
from transfergrid.report.tables.terminal import Terminal
from transfergrid.report.wording.words import ASCII, UNICODE

JSON, CSV = "json", "csv"
FORMATS = (TERMINAL, JSON, CSV, MARKDOWN, LATEX)
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Sheet:
    """The output of a verb.

    Args:
        page: returns the output for people.
        rows: returns the output for programs.
        json: returns the JSON value, if that is more than the rows.
        keys: the keys of the rows; by default those of the first row.
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
        width: columns of the terminal; None for unlimited.
        color: whether to write colour codes.
        ascii_only: whether our own symbols are limited to ASCII.

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
    """Print a sheet with the width, colours and characters that the terminal supports.

    Args:
        sheet: what is shown.
        format: one of `FORMATS`.
        file: by default standard output.
        unbroken: whether rows stay on one line if the output is not a terminal, for other programs.
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
    """Return JSON with one row per line: indenting ten thousand rows would take seconds."""
    if not isinstance(value, list):
        return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    rows = (json.dumps(row, allow_nan=False, ensure_ascii=False) for row in value)
    return "[\n" + ",\n".join(rows) + "\n]\n"


def _as_csv(sheet: Sheet) -> str:
    """Return CSV with one line per row; an empty field means that the data cannot tell.

    Lists and objects are written as JSON text in the field.
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
