"""The closing table for papers and for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from transfergrid.evidence.verdicts import Verdict
from transfergrid.report import words
from transfergrid.report.escaping import CsvWriter, in_markdown, markdown_row

_NONE = Verdict(source=None, architecture=None, strategy="", target="", labels=0, baseline="", n=0,
                gain=None, low=None, high=None)  # fmt: skip
_NAMES = ("source", "architecture", "strategy", "target", "labels")
_GAIN = ("gain", "low", "high", "seconds", "metric", "unit", "scope")
_COUNTS = ("unpaired", "failed", "collapsed", "underfit", "stale")
_MARKS = ("is_baseline", "weak_baseline", "one_checkpoint")


def as_rows(rows: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return plain rows by column, ready for JSON; None is what the data cannot tell."""
    return [_row(row) for row in rows]


def _row(row: Verdict) -> dict[str, Any]:
    def told(*names: str) -> dict[str, Any]:
        return {name: getattr(row, name) for name in names}

    scores = {"n": row.arm_n, "mean": row.arm_mean, "sd": row.arm_sd}
    remarks = {"short": row.remarks.short, **told("labels_got", "contaminated_by")}
    return {
        **told(*_NAMES),
        "baseline": row.baseline or None,
        **scores,
        **told(*_GAIN),
        "paired": row.n,
        **told(*_COUNTS, *_MARKS),
        **remarks,
        **{name: value for name, value in vars(row.remarks).items() if name != "short"},
        "group": row.group,
    }


def as_json(rows: Sequence[Verdict]) -> str:
    """Write a list of rows; null is what the data cannot tell."""
    return json.dumps(as_rows(rows), indent=1, allow_nan=False) + "\n"


def as_csv(rows: Sequence[Verdict]) -> str:
    """Write one line per row; an empty field is what the data cannot tell.

    Where JSON has an object or a list, as in `short`, the field holds its JSON text.
    """
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.row(_row(_NONE))
    writer.rows([_flat(value) for value in row.values()] for row in as_rows(rows))
    return text.getvalue()


def _flat(value: object) -> object:
    return json.dumps(value) if isinstance(value, (dict, tuple)) else value


def as_markdown(rows: Sequence[Verdict], footer: Sequence[str]) -> str:
    """Write one table per target and label budget, each with its baselines named."""
    parts = [_markdown_section(section, words.Notes(rows)) for section in words.sections(rows)]
    told = "".join(f"{_bullet(line)}{in_markdown(line.strip())}\n" for line in footer)
    return "\n".join([*(parts or ["No results yet.\n"]), told])


def _markdown_section(section: Sequence[Verdict], notes: words.Notes) -> str:
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


def _markdown_row(row: Verdict, notes: words.Notes) -> str:
    gain = "–"
    if row.gain is not None:
        shown = words.number(row.gain, row.unit, signed=True)
        gain = f"{words.mark(row)} {shown} {words.interval(row)}".strip()
    cells = (
        *(
            row.source or "–",
            row.architecture or "–",
            row.strategy,
            words.score(row),
            str(row.arm_n),
        ),
        *(words.over(row) or "–", gain, notes.letters(row), words.seconds(row.seconds or 0.0)),
    )
    return markdown_row(cells)


def _bullet(line: str) -> str:
    return "  - " if line.startswith(" ") else "- "
