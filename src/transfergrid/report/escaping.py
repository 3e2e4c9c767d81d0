"""How text that others chose is written into files that other programs open and run.

A spreadsheet takes a field that begins with `=` for a program, markdown takes `<script>` for one,
and both take a stray separator for another cell.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
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


def markdown_row(cells: Iterable[str]) -> str:
    """Return a row of a table in markdown."""
    return f"| {' | '.join(map(in_markdown, cells))} |"


_IN_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "≈": r"$\approx$",
    "–": "--",
    "─": "---",
    "…": r"\dots{}",
    "▲": r"$\bigtriangleup$",
    "▼": r"$\bigtriangledown$",
    "►": r"$\triangleright$",
    "◄": r"$\triangleleft$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\to$",
    "○": r"$\circ$",
    "τ": r"$\tau$",
    "\n": " ",
}


def in_latex(text: str) -> str:
    """Return text as LaTeX sets it in a line of words; letters of other scripts stay as they are.

    A brace after `[` keeps a row that starts with one from being read as an option of the line
    break before it.
    """
    line = one_line(text.replace("\n", " "))
    written = "".join(_IN_LATEX.get(character, character) for character in line)
    return re.sub(r"^\[", "{[}", written)


def signed_in_latex(text: str) -> str:
    """Return text as `in_latex`, the signs of its numbers as signs and not as hyphens."""
    return re.sub(r"(?<![\w.])([+-])(\d[\d.]*|\.\d+)", r"$\1\2$", in_latex(text))


def raised_in_latex(text: str) -> str:
    """Return text as LaTeX sets it above the line, such as the letters of notes."""
    return f"$^{{\\mathrm{{{in_latex(text)}}}}}$" if text else ""
