"""The table of forecasts: sources under transferability scores, before anything is trained."""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from itertools import groupby

from transfergrid.evidence.ranking import Ranked
from transfergrid.records.errors import check_known
from transfergrid.records.printing import in_one_line
from transfergrid.report import names as naming
from transfergrid.report import words
from transfergrid.report.escaping import CsvWriter, markdown_row
from transfergrid.report.words import UNICODE, Symbols

FORMATS = ("table", "json", "csv", "markdown")
KNN = "knn"
_SPACE, _NARROWEST = 2, 12


def render(
    rows: Sequence[Ranked],
    by: str = KNN,
    format: str = "table",
    width: int = 80,
    symbols: Symbols = UNICODE,
) -> str:
    """Return ranked sources as text.

    Args:
        rows: as `evidence.ranking.ranked` orders them.
        by: the score that the sources are ordered by.
        format: "table", "json", "csv" or "markdown".
        width: columns of the terminal.
        symbols: the characters beyond letters and digits.

    Raises:
        BadInputError: there is no such format.
    """
    check_known("format", format, FORMATS)
    if format == "json":
        return json.dumps([asdict(row) for row in rows], indent=1, allow_nan=False) + "\n"
    if format == "csv":
        return _csv(rows)
    if not rows:
        return "No scores.\n"
    rows = [in_one_line(row) for row in rows]
    sections = [list(g) for _, g in groupby(rows, key=lambda row: (row.target, row.labels))]
    parts = [_section(s, by, format, width, symbols) for s in sections]
    bullet = "- " if format == "markdown" else ""
    footer = [line for text in _footer(rows, symbols) for line in _wrapped(bullet + text, width)]
    return "\n".join([*parts, *footer]) + "\n"


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent="    ", break_long_words=False)


def _csv(rows: Sequence[Ranked]) -> str:
    text = io.StringIO()
    names = [field.name for field in fields(Ranked)]
    writer = CsvWriter(text)
    writer.row(names)
    told = ({**asdict(row), "remarks": "; ".join(row.remarks)} for row in rows)
    writer.rows([row[name] for name in names] for row in told)
    return text.getvalue()


def _section(rows: Sequence[Ranked], by: str, format: str, width: int, symbols: Symbols) -> str:
    seeds = max(row.seeds for row in rows)
    told = [
        rows[0].target,
        words.budget(rows[0].labels),
        f"{seeds} seed{'' if seeds == 1 else 's'}",
        f"forecasts, best first by {by}",
    ]
    title = f" {symbols.dot} ".join(told)
    if format == "markdown":
        return "\n".join([f"### {title}", "", *_markdown(rows, symbols), ""])
    return "\n".join([*_wrapped(title, width), *_columns(rows, width, symbols)])


def _grid(rows: Sequence[Ranked], symbols: Symbols) -> tuple[list[str], dict[str, list[str]]]:
    """Return the sources and, by score that any of them has, each one's cell as text."""
    sources = list(dict.fromkeys(row.source for row in rows))
    scores = list(dict.fromkeys(row.score for row in rows if row.of)) or [rows[0].score]
    cells = {(row.source, row.score): _cell(row, symbols) for row in rows}
    return sources, {score: [cells[source, score] for source in sources] for score in scores}


def _cell(row: Ranked, symbols: Symbols) -> str:
    if row.value is None or row.rank is None:
        return symbols.nothing
    place = f"{int(row.rank)}" + ("" if row.rank == int(row.rank) else "=")
    wrong = "!" if row.out_of_bounds else ""
    return f"{number(row.value)}{wrong} {place:>2}"


def number(value: float) -> str:
    """Write a score with three decimals, fewer where it is large, a power where it is tiny."""
    if 0 < abs(value) < 0.0005:
        return f"{value:.0e}"
    return f"{round(value, 3) + 0.0:.3f}" if abs(value) < 100 else f"{value:.1f}"


def _columns(rows: Sequence[Ranked], width: int, symbols: Symbols) -> Iterator[str]:
    """Yield lines: as many scores side by side as fit, then the next ones below."""
    sources, cells = _grid(rows, symbols)
    heads = {row.score: row.score + ("" if row.higher_is_better else " (low)") for row in rows}
    widths = {s: max(len(heads[s]), *map(len, column)) for s, column in cells.items()}
    first = min(max(map(len, [*sources, "source"])), max(_NARROWEST, width // 3))
    short = naming.shortened(sources, first, symbols.cut)
    for scores in _packed(widths, width - first):
        yield _line("source", [heads[s] for s in scores], first, [widths[s] for s in scores])
        for i, source in enumerate(sources):
            texts = [cells[score][i] for score in scores]
            yield _line(short[source], texts, first, [widths[s] for s in scores])
        yield ""


def _packed(widths: dict[str, int], room: int) -> Iterator[list[str]]:
    """Yield scores in runs that fit side by side."""
    run: list[str] = []
    for score, width in widths.items():
        if run and sum(widths[s] + _SPACE for s in run) + width + _SPACE > room:
            yield run
            run = []
        run.append(score)
    yield run


def _line(source: str, texts: Sequence[str], first: int, widths: Sequence[int]) -> str:
    columns = [text.rjust(width) for text, width in zip(texts, widths, strict=True)]
    return (" " * _SPACE).join([source.ljust(first), *columns]).rstrip()


def _markdown(rows: Sequence[Ranked], symbols: Symbols) -> Iterator[str]:
    sources, cells = _grid(rows, symbols)
    yield markdown_row(["source", *cells])
    yield "| --- |" + " ---: |" * len(cells)
    for i, source in enumerate(sources):
        yield markdown_row([source, *(column[i] for column in cells.values())])


def _footer(rows: Sequence[Ranked], symbols: Symbols) -> Iterator[str]:
    """Yield what a reader must know to read the numbers, one line of any length each."""
    yield (
        "Score and rank among the sources, from frozen features of the training labels; means over "
        "seeds."
    )
    yield "These are forecasts: nothing was trained on the target, and no score promises a gain."
    if any(row.of and not row.higher_is_better for row in rows):
        yield "(low): lower is better."
    if any(row.out_of_bounds for row in rows):
        yield "!: outside what its definition allows, a numerical failure: do not use it."
    yield from _reasons(rows, symbols)
    for remark in dict.fromkeys(remark for row in rows for remark in row.remarks):
        yield f"{', '.join(_names(rows, remark))}: {remark}."


def _names(rows: Sequence[Ranked], remark: str) -> list[str]:
    return list(dict.fromkeys(row.score for row in rows if remark in row.remarks))


def _reasons(rows: Sequence[Ranked], symbols: Symbols) -> Iterator[str]:
    """Yield why scores are missing, each reason once."""
    everyone = {row.source for row in rows}
    for reason in dict.fromkeys(row.reason for row in rows if row.reason):
        those = [row for row in rows if row.reason == reason]
        scores = ", ".join(dict.fromkeys(row.score for row in those))
        sources = dict.fromkeys(row.source for row in those)
        of = "" if set(sources) == everyone else f" of {', '.join(sources)}"
        yield f"{symbols.nothing} {scores}{of}: {reason}."
