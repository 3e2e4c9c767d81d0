"""Sections on reasons: what scores predicted, and what went wrong where transfer hurt."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from transfergrid.evidence.autopsy.case import Cause
from transfergrid.evidence.autopsy.ranking import Autopsy, autopsy, case_of, shared_by
from transfergrid.evidence.chosen.scorecard import ScorecardRow
from transfergrid.evidence.measured.outcomes import Read
from transfergrid.evidence.statistics.rank_statistics import Forecast
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import PLACEBO, Verdict
from transfergrid.records.cell import Labels
from transfergrid.records.record import Record
from transfergrid.report.html.data import Section
from transfergrid.report.tables.columns import Column, Group, Table
from transfergrid.report.views import scorecard_view
from transfergrid.report.views import verdict_views as views
from transfergrid.report.wording.words import UNICODE

MOST_AUTOPSIES = 30
NOISE = "noise"
"""The cause which says that the loss of a single run may be chance."""
Arm = tuple[str, str, Labels, str]
"""Source, target, labels and strategy."""


def arm_of(one: Verdict | Forecast) -> Arm:
    """Return the arm that a score predicts, or that a verdict is about."""
    return one.source or "", one.target, one.labels, one.strategy


def scored(rows: Sequence[ScorecardRow], with_placebos: Sequence[ScorecardRow]) -> Section | None:
    """Return the section on how well each score predicted gains, without and with placebos."""
    if not rows:
        return None
    told = scorecard_view.score_columns({row.score: row for row in with_placebos})(UNICODE)
    legend = scorecard_view.scores_legend(rows, scorecard_view.SCORES_ON_PAGE)
    return Section("scorecard", (Table(told, [Group(rows)]),), (legend,))


def score_points(
    forecasts: Iterable[Forecast], rows: Mapping[Arm, int]
) -> list[tuple[int, str, float]]:
    """Return each score of an arm with its row number, given the row numbers by arm."""
    return [
        (rows[key], forecast.score, forecast.value)
        for forecast in forecasts
        if forecast.value is not None and (key := arm_of(forecast)) in rows
    ]


@dataclass(frozen=True)
class Reading:
    """The summary of the autopsies of an arm's seeds."""

    row: int
    """The number of the arm's row."""
    cell: str
    """The cell in which the cause is strongest; the first cell if none stands out."""
    seeds: int
    """The number of the arm's seeds in which it stands out."""
    of: int
    cause: Cause | None
    noted: bool
    """Whether any cell recorded diagnostics."""

    @property
    def name(self) -> str:
        """The name of the cause, or the words that there is none."""
        return self.cause.name if self.cause else "nothing stands out"

    @property
    def evidence(self) -> str:
        """The evidence, or why there is none."""
        if self.cause:
            return self.cause.evidence
        return "no sign is strong" if self.noted else "its cells kept no diagnostics"


def causes(
    verdicts: Sequence[Verdict], records: Sequence[Record], read: Read | None
) -> list[Reading]:
    """Return the most likely cause of each proven loss.

    At most `MOST_AUTOPSIES` losses are examined, the largest first; placebos are left out, as they
    are meant to lose.
    """
    hurt = losses(verdicts)
    by_id = {record.id: record for record in records}
    blocks: defaultdict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        blocks[record.parts.target, record.labels, record.seed].append(record)
    found = []
    for row in hurt[:MOST_AUTOPSIES]:
        cells = [by_id[name] for name in verdicts[row].cells if name in by_id]
        near = [
            autopsy(case_of(cell, blocks[cell.parts.target, cell.labels, cell.seed], read))
            for cell in cells
        ]
        if near:
            found.append(_reading(row, cells, near))
    return found


def losses(verdicts: Sequence[Verdict]) -> list[int]:
    """Return the row numbers of proven losses, without placebos, the largest first."""
    hurt = [
        (verdict.gain or 0.0, row)
        for row, verdict in enumerate(verdicts)
        if verdict.verdict is Kind.NEGATIVE and verdict.kind != PLACEBO and verdict.cells
    ]
    return [row for _, row in sorted(hurt)]


def _reading(row: int, cells: Sequence[Record], near: Sequence[Autopsy]) -> Reading:
    """Return the summary of an arm's autopsies: the cause that most seeds have first."""
    first = [(_first(one), cell.id) for one, cell in zip(near, cells, strict=True)]
    named = [(cause, cell) for cause, cell in first if cause is not None]
    noted = any(one.has_diagnostics for one in near)
    if not named:
        return Reading(row, cells[0].id, 0, len(near), None, noted)
    name, _ = Counter(cause.name for cause, _ in named).most_common(1)[0]
    same = [(cause, cell) for cause, cell in named if cause.name == name]
    strongest, cell = max(same, key=lambda pair: pair[0].strength)
    return Reading(row, cell, shared_by(name, near), len(near), strongest, noted)


def _first(found: Autopsy) -> Cause | None:
    """Return the most likely cause other than noise, which cannot explain a proven loss."""
    return next((cause for cause in found.named if cause.name != NOISE), None)


def explained(verdicts: Sequence[Verdict], found: Sequence[Reading]) -> Section | None:
    """Return the section on the most likely cause of each proven loss."""
    if not found:
        return None
    more = len(losses(verdicts)) - len(found)
    table = Table(
        [
            *views.names(lambda one: verdicts[one.row]),
            Column("likely cause", lambda one: one.name),
            Column("seeds", lambda one: f"{one.seeds} of {one.of}"),
            Column("signs", lambda one: one.evidence),
            Column("try next", lambda one: one.cause.remedy.strategy if one.cause else ""),
            Column("cell", lambda one: one.cell[:8]),
        ],
        [Group(found)],
    )
    notes = (f"{more} smaller losses are left out.",) if more > 0 else ()
    return Section("why", (table,), notes=notes)
