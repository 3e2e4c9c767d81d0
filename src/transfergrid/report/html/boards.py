"""Sections on scores: the leaderboard, and the gains of strategies over plain fine-tuning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from transfergrid.evidence.leaderboard import Board
from transfergrid.evidence.measured.comparisons import PLAIN
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import PLACEBO, Verdict
from transfergrid.report.html import columns
from transfergrid.report.html.data import Section
from transfergrid.report.tables.columns import Column
from transfergrid.report.views import leaderboard as said
from transfergrid.report.views.verdict_views import gain_on_page, names, outcome
from transfergrid.report.wording.verdict_legend import marks
from transfergrid.report.wording.verdict_words import SAID
from transfergrid.report.wording.words import UNICODE, plural

MOST_OPEN = 40
"""The largest number of lines of a leaderboard that is not folded."""
LEADERS = 10
"""The number of lines shown of a folded leaderboard."""


def itself(verdict: Verdict) -> Verdict:
    """Return the verdict itself, for columns whose rows are verdicts."""
    return verdict


def leaders(boards: Sequence[Board]) -> Section | None:
    """Return the leaderboard section; None without a board of several arms."""
    tables = tuple(said.table(board) for board in boards if len(board.lines) > 1)
    if not tables:
        return None
    ranked = [said.ranked(board) for board in boards if len(board.lines) > 1][:1]
    notes = (
        *ranked,
        *marks(said.verdicts_of(boards), UNICODE),
        *said.best_told(boards),
        *said.use_told(boards),
        *said.left_out(boards),
    )
    return Section("leaderboard", tables, notes=notes, most_open=MOST_OPEN, first=LEADERS)


def over_plain(verdicts: Sequence[Verdict]) -> Section | None:
    """Return the section on gains over full_finetuning of the same source, given its verdicts."""
    shown = [v for v in verdicts if v.kind != PLACEBO and v.n and v.baseline.startswith(PLAIN)]
    if not shown:
        return None
    told: list[Column[Verdict]] = [
        *names(itself),
        outcome(itself),
        Column("score", lambda v: columns.value(v.mean, v)),
        Column(f"of {PLAIN}", lambda v: columns.value(v.baseline_mean, v)),
        gain_on_page(itself),
    ]
    table = columns.limited(told, shown)
    return Section("over_plain", (table,), (_counted(shown),))


def _counted(shown: Sequence[Verdict]) -> str:
    kinds = Counter(verdict.verdict for verdict in shown)
    words = {Kind.POSITIVE: "better", Kind.NEGATIVE: "worse"}
    counted = [f"{kinds[kind]} {words.get(kind, SAID[kind])}" for kind in Kind if kinds[kind]]
    return f"Of {plural(len(shown), 'comparison')} with {PLAIN}: {', '.join(counted)}."
