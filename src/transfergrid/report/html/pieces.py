"""Pieces of HTML; every text that a user may have named something by is escaped here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any

from transfergrid.evidence.arms import labels_order
from transfergrid.evidence.decisions import Kind
from transfergrid.evidence.verdicts import Verdict
from transfergrid.report.html.answer import SAID, interval
from transfergrid.report.html.data import Section, Table
from transfergrid.report.html.rows import MARKS, source_names
from transfergrid.report.words import Told, grouped_reasons, number

MOST_OPEN = 12
"""Lines from which on a table beside the verdicts is folded."""


def badge(kind: Kind) -> str:
    """Return a verdict as mark and word."""
    return f'<span class="badge {kind.key}">{MARKS[kind]} {SAID[kind]}</span>'


def legend(hatched: bool = False) -> str:
    """Return what the marks mean."""
    notes = {Kind.UNDECIDED: " (hatched)"} if hatched else {}
    items = "".join(f"<li>{badge(kind)}{notes.get(kind, '')}</li>" for kind in Kind)
    return f'<ul class="legend" aria-label="Marks of verdicts">{items}</ul>'


def select(name: str, label: str, options: Mapping[str, str]) -> str:
    """Return a labelled choice whose first option is all of them."""
    listed = "".join(
        f'<option value="{escape(value)}">{escape(text)}</option>'
        for value, text in options.items()
    )
    return (
        f'<label>{escape(label)}<select name="{escape(name)}"><option value="">all</option>'
        f"{listed}</select></label>"
    )


def by_budget(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts in order of their label budget."""
    return sorted(verdicts, key=lambda verdict: labels_order(verdict.labels))


def charted(
    name: str, title: str, reading: str, chart: str, before: str = "", width: str = ""
) -> str:
    """Return a section whose panels the script fills."""
    none = (
        '<noscript><p class="how">Charts need JavaScript; their numbers stand below.</p></noscript>'
    )
    return (
        f'<section id="{name}"><h2>{escape(title)}</h2><p class="how">{escape(reading)}</p>{before}'
        f'<div class="panels {width}" data-chart="{chart}"></div>{none}</section>'
    )


def section(found: Section) -> str:
    """Return a section of sentences and tables."""
    lines = "".join(f"<li>{escape(line)}</li>" for line in found.lines)
    listed = f'<ul class="lines">{lines}</ul>' if lines else ""
    tables = "".join(table(each, each.folded) for each in found.tables)
    notes = "<br>".join(escape(note) for note in found.notes)
    below = f'<p class="how notes">{notes}</p>' if notes else ""
    return (
        f'<section id="{escape(found.name)}"><h2>{escape(found.title)}</h2>'
        f'<p class="how">{escape(found.reading)}</p>{listed}{tables}{below}</section>'
    )


def table(found: Table, folded: bool = True) -> str:
    """Return a table; columns that hold numbers alone stand to the right, a long one is folded.

    A column in which nothing stands is left out.
    """
    found = _without_empty(found)
    columns = list(zip(*found.rows, strict=True)) or [() for _ in found.columns]
    right = [all(isinstance(cell, (int, float, type(None))) for cell in c) for c in columns]
    style = ['class="number"' if is_right else "" for is_right in right]
    head = "".join(
        f'<th scope="col" {of}>{escape(name)}</th>'
        for name, of in zip(found.columns, style, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-label="{escape(name)}" {of}>{_cell(cell)}</td>'
            for name, cell, of in zip(found.columns, row, style, strict=True)
        )
        + "</tr>"
        for row in found.rows
    )
    caption = f"<caption>{escape(found.caption)}</caption>" if found.caption else ""
    whole = (
        f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    if len(found.rows) <= MOST_OPEN or not folded:
        return whole
    return f"<details><summary>show all {len(found.rows)} lines</summary>{whole}</details>"


def _without_empty(found: Table) -> Table:
    kept = [i for i in range(len(found.columns)) if any(row[i] is not None for row in found.rows)]
    if not found.rows:
        return found
    return replace(
        found,
        columns=tuple(found.columns[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in found.rows),
    )


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    text = f"{value:.1f}" if isinstance(value, float) else escape(str(value))
    return re.sub(r"(\[[^\[\]]*\])", r'<span class="keep">\1</span>', text)  # not broken in two


def plain(verdicts: Sequence[Verdict]) -> str:
    """Return the comparisons as a table that needs no script."""
    names = source_names(verdicts)
    columns = (
        *("verdict", "source", "strategy", "target", "labels", "over", "n", "gain", "95 %"),
        *("p corrected", "notes"),
    )
    lines = [
        (
            f"{MARKS[verdict.verdict]} {SAID[verdict.verdict]}",
            *(name, verdict.strategy, verdict.target, str(verdict.labels), verdict.baseline),
            verdict.n,
            None if verdict.gain is None else number(verdict.gain, verdict.unit, signed=True),
            interval(verdict),
            None if verdict.p_corrected is None else f"{verdict.p_corrected:.3f}",
            "; ".join(verdict.notes),
        )
        for name, verdict in zip(names, verdicts, strict=True)
    ]
    return table(Table(columns=columns, rows=tuple(lines)), folded=False)


def reasons(title: str, told: Sequence[Told]) -> str:
    """Return cells without a result, counted by reason."""
    items = "".join(f"<li>{escape(line.strip())}</li>" for line in grouped_reasons(told, most=20))
    return f'<h3>{escape(title)}</h3><ul class="lines">{items}</ul>'
