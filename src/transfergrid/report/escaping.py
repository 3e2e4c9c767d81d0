"""How text that others chose is written into files that other programs open and run.

A spreadsheet takes a field that begins with `=` for a program, markdown takes `<script>` for one,
and both take a stray separator for another cell.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import IO, Any

from transfergrid.records.printing import one_line, shown

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FORMULA = re.compile("\\s*[=+\\-@＝＋－＠][^\\s]|[\t\n]")


class CsvWriter:
    """Writes rows as CSV, whose texts a spreadsheet shows and never computes.

    A text that would be a formula, and is no number, gets an apostrophe before it, which
    spreadsheets take for a sign of text.

    Args:
        stream: where they go.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")

    def row(self, fields: Iterable[Any]) -> None:
        """Write one row."""
        self._writer.writerow([_field(field) for field in fields])

    def rows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write rows."""
        for fields in rows:
            self.row(fields)


def _field(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = shown(value)  # a bare return, too, would begin another row
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


_IN_MARKDOWN = (
    (re.compile(r"\\(?=[|\\])|\\$"), r"\\\\"),
    (re.compile(r"\|"), r"\\|"),
    (re.compile(r"<(?=[A-Za-z/!?])"), "&lt;"),
    (re.compile(r"\](?=[(\[])"), r"\\]"),
)


def in_markdown(text: str) -> str:
    """Return text as markdown shows it in a cell of a table or an item of a list: no markup."""
    text = one_line(text.replace("\n", " "))
    for pattern, written in _IN_MARKDOWN:
        text = pattern.sub(written, text)
    return text


def markdown_row(cells: Sequence[str]) -> str:
    """Return a row of a table in markdown."""
    return f"| {' | '.join(map(in_markdown, cells))} |"
