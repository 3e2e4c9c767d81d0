"""Plain tables: texts in columns, for a terminal, for markdown and for programs."""

from __future__ import annotations

import io
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from transfergrid.records.errors import check_known
from transfergrid.records.printing import one_line
from transfergrid.report.escaping import CsvWriter, markdown_row
from transfergrid.report.names import shortened

FORMATS = ("table", "json", "csv", "markdown")
_SPACE = 2
_ENOUGH, _NARROWEST = 13, 9
"""Characters of a name that tell it from others, and that are left of it at any rate."""
_NUMBERS = re.compile(r"[-+–±/\de.,<\[\] ]*")
"""What no column of numbers goes beyond: a number that is cut is another number."""


def render(
    rows: Sequence[Mapping[str, Any]],
    shown: Sequence[Mapping[str, str]],
    format: str = "table",
    width: int = 80,
    heading: int = 0,
) -> str:
    """Return rows as text.

    Args:
        rows: the values, for JSON and CSV.
        shown: the same rows as a person reads them: header to text.
        format: "table", "json", "csv" or "markdown".
        width: columns of the terminal; the widest texts give way, numbers never do.
        heading: of how many columns the names stand in a line of their own, once for all rows that
            share them, in a terminal that leaves too little of them.

    Raises:
        BadInputError: there is no such format.
    """
    check_known("format", format, FORMATS)
    if format == "json":
        return json.dumps(list(rows), indent=1, allow_nan=False) + "\n"
    if format == "csv":
        return _csv(rows)
    if not shown:
        return ""
    lines = [list(shown[0]), *([row[key] for key in shown[0]] for row in shown)]
    if format == "markdown":
        return _markdown(lines)
    return _aligned([[one_line(text) for text in line] for line in lines], width, heading)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.row(rows[0] if rows else ())
    writer.rows(row.values() for row in rows)
    return text.getvalue()


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(lines[0])
    return "".join(f"{markdown_row(line)}\n" for line in [lines[0], rule, *lines[1:]])


def _aligned(lines: Sequence[Sequence[str]], width: int, heading: int = 0) -> str:
    columns = list(zip(*lines, strict=True))
    widths = [max(map(len, column)) for column in columns]
    names = [i for i, column in enumerate(columns) if not all(map(_NUMBERS.fullmatch, column[1:]))]
    while sum(widths) + _SPACE * (len(widths) - 1) > width:
        widest = max(names, key=widths.__getitem__, default=None)
        if heading and (widest is None or widths[widest] <= _ENOUGH):
            return _under_names(lines, width, heading)
        if widest is None or widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    short = [shortened(column, size) for column, size in zip(columns, widths, strict=True)]
    return "".join(
        (" " * _SPACE).join(short[i][text].ljust(widths[i]) for i, text in enumerate(line)).rstrip()
        + "\n"
        for line in lines
    )


def _under_names(lines: Sequence[Sequence[str]], width: int, heading: int) -> str:
    """Put what the first columns name above the rows that share it."""
    between = " " * _SPACE
    rest = _aligned([line[heading:] for line in lines], width - _SPACE).splitlines()
    rows = zip((between.join(line[:heading]) for line in lines), rest, strict=True)
    told = []
    for name, same in groupby(rows, key=itemgetter(0)):
        told += [*textwrap.wrap(name, width), *(between + text for _, text in same)]
    return "\n".join(told) + "\n"
