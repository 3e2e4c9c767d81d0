"""The table of forecasts: sources by transferability scores, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from itertools import groupby
from typing import Any

from transfergrid.evidence.chosen.ranking import Ranked
from transfergrid.records.printing import in_one_line
from transfergrid.report.tables.columns import Align, Column, Group, Medium, Page, Table
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.wording import words
from transfergrid.report.wording.words import Symbols

KNN = "knn"


def sheet(rows: Sequence[Ranked], by: str = KNN) -> Sheet:
    """Return ranked sources as a sheet.

    Args:
        rows: in the order of `evidence.chosen.ranking.ranked`.
        by: the score by which the sources are sorted.
    """
    keys = [field.name for field in fields(Ranked)]

    def flat() -> list[dict[str, Any]]:
        return [{**asdict(row), "remarks": "; ".join(row.remarks)} for row in rows]

    return Sheet(
        lambda medium: _page([in_one_line(row) for row in rows], by, medium),
        flat,
        lambda: [asdict(row) for row in rows],
        keys,
    )


def _page(rows: Sequence[Ranked], by: str, medium: Medium) -> Page:
    sections = [list(g) for _, g in groupby(rows, key=lambda row: (row.target, row.labels))]
    return Page(
        [_table(section, by, medium) for section in sections],
        below=list(_footer(rows, medium.symbols)) if rows else [],
        empty="No scores.",
    )


def _table(rows: Sequence[Ranked], by: str, medium: Medium) -> Table[str]:
    seeds = max(row.seeds for row in rows)
    led = any(row.score == by and row.of for row in rows)
    title = medium.joined(
        rows[0].target,
        words.budget(rows[0].labels, rows[0].labels_are),
        words.plural(seeds, "seed"),
        f"forecasts, best first by {by}" if led else "forecasts",
    )
    sources = list(dict.fromkeys(row.source for row in rows))
    scores = list(dict.fromkeys(row.score for row in rows if row.of)) or [rows[0].score]
    cells = {(row.source, row.score): _cell(row, medium.symbols) for row in rows}
    low = {row.score for row in rows if not row.higher_is_better}

    def under(score: str) -> Column[str]:
        head = score + (" (low)" if score in low else "")
        return Column(head, lambda source: cells[source, score], Align.RIGHT)

    named = Column[str]("source", str, least=12, key=True)
    return Table([named, *map(under, scores)], [Group(sources)], title=title)


def _cell(row: Ranked, symbols: Symbols) -> str:
    if row.value is None or row.rank is None:
        return symbols.nothing
    place = f"{int(row.rank)}" + ("" if row.rank == int(row.rank) else "=")
    wrong = "!" if row.out_of_bounds else ""
    return f"{number(row.value)}{wrong} {place:>2}"


def number(value: float) -> str:
    """Return a score as text: three decimals, fewer if it is large, a power of ten if tiny."""
    if 0 < abs(value) < 0.0005:
        return f"{value:.0e}"
    return f"{round(value, 3) + 0.0:.3f}" if abs(value) < 100 else f"{value:.1f}"


def _footer(rows: Sequence[Ranked], symbols: Symbols) -> Iterator[str]:
    """Yield the legend of the numbers, lines of any length."""
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
        names = dict.fromkeys(row.score for row in rows if remark in row.remarks)
        yield f"{', '.join(names)}: {remark}."


def _reasons(rows: Sequence[Ranked], symbols: Symbols) -> Iterator[str]:
    """Yield the reasons for missing scores, each once."""
    everyone = {row.source for row in rows}
    for reason in dict.fromkeys(row.reason for row in rows if row.reason):
        those = [row for row in rows if row.reason == reason]
        scores = ", ".join(dict.fromkeys(row.score for row in those))
        sources = dict.fromkeys(row.source for row in those)
        of = "" if set(sources) == everyone else f" of {', '.join(sources)}"
        yield f"{symbols.nothing} {scores}{of}: {reason}."
