"""Sections of scores: the leaderboard, and what strategies are worth over plain fine-tuning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from transfergrid.evidence.comparisons import PLAIN
from transfergrid.evidence.decisions import Kind
from transfergrid.evidence.leaderboard import Board, Entry
from transfergrid.evidence.verdicts import PLACEBO, Verdict
from transfergrid.report import leaderboard as said
from transfergrid.report import verdict_words
from transfergrid.report.columns import Column, Group, Table
from transfergrid.report.html import columns
from transfergrid.report.html.answer import SAID
from transfergrid.report.html.data import Section
from transfergrid.report.html.rows import MARKS
from transfergrid.report.words import UNICODE, Symbols, number

MOST_OPEN = 40
"""Lines from which on a leaderboard is folded."""


def leaders(boards: Sequence[Board]) -> Section | None:
    """Return the leaderboard, where there is more than one arm to rank."""
    tables = tuple(_table(board) for board in boards if len(board.lines) > 1)
    if not tables:
        return None
    placebos = max(board.placebos for board in boards)
    notes = [said.ranked(board) for board in boards if len(board.lines) > 1][:1]
    notes += said.best_told(boards)
    notes += [f"{placebos} placebos are no candidates and left out."] if placebos else []
    return Section(
        "leaderboard",
        tables=tables,
        notes=tuple(notes),
        most_open=MOST_OPEN,
    )


def _table(board: Board) -> Table[said.Row]:
    return Table(said.columns(board, UNICODE, _cell), [Group(said.rows(board))], said.title(board))


def _cell(entry: Entry | None, usual: int, symbols: Symbols) -> str:
    if entry is None:
        return symbols.nothing
    score = number(entry.mean, entry.unit) + said.BEST * bool(entry.may_be_best)
    seeds = f" (n\u00a0=\u00a0{entry.n})" if entry.n < usual else ""
    verdict = entry.verdict
    if verdict is None or verdict.gain is None:
        return score + seeds
    return f"{score} ({MARKS[verdict.verdict]}\u00a0{verdict_words.gain(verdict)}){seeds}"


def over_plain(verdicts: Sequence[Verdict]) -> Section | None:
    """Return what strategies gain over full_finetuning of the same source, given the verdicts."""
    shown = [v for v in verdicts if v.kind != PLACEBO and v.n and v.baseline.startswith(PLAIN)]
    if not shown:
        return None
    table = columns.limited(
        [
            *columns.arm(_itself),
            columns.verdict(_itself),
            Column("score", lambda v: columns.value(v.mean, v)),
            Column(f"of {PLAIN}", lambda v: columns.value(v.baseline_mean, v)),
            *columns.gain(_itself),
        ],
        shown,
    )
    return Section(
        "over_plain",
        lines=(_counted(shown),),
        tables=(table,),
    )


def _counted(shown: Sequence[Verdict]) -> str:
    kinds = Counter(verdict.verdict for verdict in shown)
    words = {Kind.POSITIVE: "better", Kind.NEGATIVE: "worse"}
    counted = [f"{kinds[kind]} {words.get(kind, SAID[kind])}" for kind in Kind if kinds[kind]]
    size = f"{len(shown)} comparison{'s' if len(shown) > 1 else ''}"
    return f"Of {size} with {PLAIN}: {', '.join(counted)}."


def _itself(verdict: Verdict) -> Verdict:
    return verdict
