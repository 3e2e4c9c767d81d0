"""The templates' environment: one set of filters for everything on the page.

All input of a template is escaped, and stripped of terminal control codes and of marks that change
the writing direction. What is safe, our own files and the charting library, is marked so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from transfergrid.evidence.measured.comparisons import PLAIN
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.records import printing
from transfergrid.report.html import themes
from transfergrid.report.tables.columns import HTML, Align, Table
from transfergrid.report.wording.verdict_words import SAID, sign
from transfergrid.report.wording.words import Told, grouped_reasons

_BRACKETS = re.compile(r"(\[[^\[\]]*\])")


@cache
def templates() -> Environment:
    """Return the environment of the templates beside this file."""
    found = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_calm,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.policies["json.dumps_kwargs"] = {
        "separators": (",", ":"),
        "ensure_ascii": False,
        "allow_nan": False,
    }
    found.globals |= {"Kind": Kind, "kinds": list(Kind), "sign": sign, "said": SAID, "file": file}
    found.globals |= {"PLAIN": PLAIN, "colours": Markup(themes.variables())}
    found.filters |= {
        "drawn": drawn,
        "exact": exact,
        "parts": parts,
        "reasons": reasons,
        "short": short,
    }
    return found


def _calm(value: Any) -> Any:
    """Return a value for the page, with numbers and their per cent sign kept on one line."""
    if isinstance(value, Markup):
        return value
    return re.sub(r"(\d) %", "\\1\u00a0%", printing.shown(str(value)))


def exact(text: str) -> Markup:
    """Return a text in one line, exactly as the page's script has it."""
    return escape(printing.one_line(text))


def short(value: float) -> str:
    """Return a margin or a level as text without needless digits."""
    return f"{value:g}"


@dataclass(frozen=True)
class Drawn:
    """The contents of a table: headers, which columns are right-aligned, and lines."""

    heads: list[str]
    right: list[bool]
    lines: list[tuple[str, ...]]


def drawn(table: Table[Any]) -> Drawn:
    """Return the contents of a table, without empty columns."""
    shown = [column for column in table.columns if HTML in column.formats]
    rows = table.rows
    cells = [(column, [column.text(row) for row in rows]) for column in shown]
    kept = [(column, texts) for column, texts in cells if any(texts) or not texts]
    return Drawn(
        [column.head_in(HTML) for column, _ in kept],
        [column.align is Align.RIGHT for column, _ in kept],
        list(zip(*(texts for _, texts in kept), strict=True)),
    )


def parts(text: str) -> list[tuple[str, bool]]:
    """Return the parts of a cell, each with whether it is an interval, which must not be broken."""
    return [(part, i % 2 == 1) for i, part in enumerate(_BRACKETS.split(text)) if part]


def reasons(told: Sequence[Told]) -> list[str]:
    """Return lines that count cells without a result by reason."""
    return [line.strip() for line in grouped_reasons(told, most=20)]


def file(name: str) -> Markup:
    """Return one of the page's own files, marked as safe."""
    return Markup(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))
