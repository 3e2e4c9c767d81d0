"""The closing table for papers and for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import fields

from transfergrid.evidence.rows import Row
from transfergrid.report import words
from transfergrid.report.escaping import CsvWriter, in_markdown, markdown_row

COLUMNS = (
    *("source", "architecture", "strategy", "target", "labels", "baseline"),
    *("n", "mean", "sd", "gain", "low", "high", "seconds"),
)
EXTRAS = tuple(field.name for field in fields(Row) if field.name not in COLUMNS)


def as_json(rows: Sequence[Row]) -> str:
    """Write a list of rows; null is what the data cannot tell."""
    listed = [{key: getattr(row, key) for key in (*COLUMNS, *EXTRAS)} for row in rows]
    return json.dumps(listed, indent=1, allow_nan=False) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """Write one line per row; an empty field is what the data cannot tell.

    Where JSON has an object or a list, as in `short`, the field holds its JSON text.
    """
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.row((*COLUMNS, *EXTRAS))
    writer.rows([_flat(getattr(row, key)) for key in (*COLUMNS, *EXTRAS)] for row in rows)
    return text.getvalue()


def _flat(value: object) -> object:
    return json.dumps(value) if isinstance(value, (dict, tuple)) else value


def as_markdown(rows: Sequence[Row], footer: Sequence[str]) -> str:
    """Write one table per target and label budget, each with its baselines named."""
    parts = [_markdown_section(section, words.Notes(rows)) for section in words.sections(rows)]
    told = "".join(f"{_bullet(line)}{in_markdown(line.strip())}\n" for line in footer)
    return "\n".join([*(parts or ["No results yet.\n"]), told])


def _markdown_section(section: Sequence[Row], notes: words.Notes) -> str:
    first = section[0]
    lines = [
        f"### {in_markdown(first.target)}, {words.labels_of(section)}",
        "",
        f"| source | architecture | strategy | {in_markdown(words.metric(first))}, mean ± sd | n "
        "| over | gain [95 %, uncorrected] | notes | s |",
        "| --- | --- | --- | ---: | ---: | --- | ---: | --- | ---: |",
        *(_markdown_row(row, notes) for row in section),
    ]
    short = words.short_labels(section)
    return "\n".join([*lines, "", in_markdown(short) + "\n"] if short else [*lines, ""])


def _markdown_row(row: Row, notes: words.Notes) -> str:
    gain = "–"
    if row.gain is not None:
        shown = words.number(row.gain, row.unit, signed=True)
        gain = f"{words.mark(row)} {shown} {words.interval(row)}".strip()
    cells = (
        *(row.source or "–", row.architecture or "–", row.strategy, words.score(row), str(row.n)),
        *(words.over(row) or "–", gain, notes.letters(row), words.seconds(row.seconds)),
    )
    return markdown_row(cells)


def _bullet(line: str) -> str:
    return "  - " if line.startswith(" ") else "- "
