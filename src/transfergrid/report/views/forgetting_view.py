"""The forgetting of chains: a line for each task after each stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transfergrid.evidence.several.forgetting import Forgotten
from transfergrid.report.tables.columns import HTML, Align, Column
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.views.verdict_views import LEAST, names, sheet
from transfergrid.report.wording.words import UNICODE, Symbols, bracketed, ends, number

EMPTY = "No arm here learned a chain of tasks: strategy=sequential and progressive_columns do."
LEGEND = (
    "What a chain forgets: mean test score of each task after each stage, on its own test part, "
    "and the points lost since it was learned itself, paired by seed, with the uncorrected 95 % "
    "interval over seeds; below zero they were gained. All of it was scored once, by networks kept "
    "of each stage, after every choice: no choice depends on it, and it is no verdict."
)


def forgetting(found: Sequence[Forgotten]) -> Sheet:
    """Return a sheet with a line for each task and stage."""
    rows = [as_row(line) for line in found]
    return sheet(found, rows, forgetting_columns, lambda _: LEGEND if found else "", EMPTY)


def as_row(line: Forgotten) -> dict[str, Any]:
    """Return a line as plain values."""
    arm = ("source", "architecture", "strategy", "target", "labels", "training")
    told = ("task", "after", "score", "forgotten", "low", "high", "n")
    return {key: getattr(line.arm, key) for key in arm} | {key: getattr(line, key) for key in told}


def forgetting_columns(symbols: Symbols) -> list[Column[Forgotten]]:
    """Return the columns of the forgetting view."""
    return [
        *names(lambda line: line.arm, symbols),
        *stage_columns(symbols),
    ]


def stage_columns(symbols: Symbols = UNICODE) -> list[Column[Forgotten]]:
    """Return the columns of a stage, without those that name the arm."""
    return [
        Column("task", lambda line: line.task, least=LEAST),
        Column("after", lambda line: line.after, least=LEAST),
        Column("score", lambda line: number(line.score, "%"), Align.NUMBER),
        Column("forgotten", lambda line: lost(line) or symbols.nothing, Align.NUMBER),
        Column("n", lambda line: str(line.n), Align.RIGHT, heads={HTML: "seeds"}),
    ]


def lost(line: Forgotten) -> str:
    """Return the forgotten points with their interval as text; without interval if seeds agree."""
    if line.forgotten is None:
        return ""
    told = number(line.forgotten, "%")
    if line.low is None and line.n > 1:
        return f"{told} in each seed"
    shown = ends(line.low, line.high, "%")
    return f"{told} {bracketed(shown, lambda end: number(end, '%'))}".rstrip()
