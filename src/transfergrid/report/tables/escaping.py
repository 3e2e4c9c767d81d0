"""Escaping of foreign text in files that other programs open and execute.

A spreadsheet executes a field that begins with `=`, markdown executes `<script>`, and in both a
stray separator starts another cell.
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
    """Writes rows as CSV with texts that a spreadsheet shows and never executes.

    A text that would be a formula, and is not a number, is prefixed with an apostrophe, which
    spreadsheets take as the mark of text.

    Args:
        stream: the output stream.
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
    text = shown(value)  # a bare carriage return would start another row
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


_IN_MARKDOWN = (
    (re.compile(r"\\(?=[|\\])|\\$"), r"\\\\"),
    (re.compile(r"\|"), r"\\|"),
    (re.compile(r"<(?=[A-Za-z/!?])"), "&lt;"),
    (re.compile(r"\](?=[(\[])"), r"\\]"),
)


def in_markdown(text: str) -> str:
    """Return text escaped for a markdown table cell or list item, so that it is no markup."""
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
    """Return text escaped for a line of LaTeX; letters of other scripts stay unchanged.

    Braces around a leading `[` prevent LaTeX from reading it as an option of the preceding line
    break.
    """
    line = one_line(text.replace("\n", " "))
    written = "".join(_IN_LATEX.get(character, character) for character in line)
    return re.sub(r"^\[", "{[}", written)


def signed_in_latex(text: str) -> str:
    """Return text as `in_latex`, with minus signs instead of hyphens before numbers."""
    return re.sub(r"(?<![\w.])([+-])(\d[\d.]*|\.\d+)", r"$\1\2$", in_latex(text))


def raised_in_latex(text: str) -> str:
    """Return text as a LaTeX superscript, for the letters of notes."""
    return f"$^{{\\mathrm{{{in_latex(text)}}}}}$" if text else ""
