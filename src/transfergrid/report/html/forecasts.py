"""Sections on why: what scores foretold, and what went wrong where transfer hurt."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from transfergrid.evidence.autopsy.case import Cause
from transfergrid.evidence.autopsy.ranking import Autopsy, autopsy, case_of, shared_by
from transfergrid.evidence.decisions import Kind
from transfergrid.evidence.outcomes import Read
from transfergrid.evidence.scorecard import Forecast, MeasuredGain, ScorecardRow
from transfergrid.evidence.verdicts import CONTROL, PLACEBO, Verdict
from transfergrid.record import Labels, Record
from transfergrid.report.html.data import Section, Table
from transfergrid.report.html.sections import ARM, arm

MOST_AUTOPSIES = 30
Arm = tuple[str, str, Labels, str]
"""Source, target, labels and strategy."""


def measured(verdicts: Sequence[Verdict]) -> list[tuple[int, MeasuredGain]]:
    """Return the gains that scores are set beside, each with the number of its row."""
    return [
        (
            row,
            MeasuredGain(
                source_part=verdict.source_part,
                target_part=verdict.target_part or "",
                source=verdict.source or "",
                target=verdict.target,
                labels=verdict.labels,
                strategy=verdict.strategy,
                gain=verdict.gain,
                low=verdict.low,
                high=verdict.high,
                negative=verdict.gain < 0,
                placebo=verdict.kind == PLACEBO,
            ),
        )
        for row, verdict in enumerate(verdicts)
        if verdict.kind != CONTROL and verdict.gain is not None and verdict.source_part
    ]


def scored(rows: Sequence[ScorecardRow]) -> Section | None:
    """Return how well each score foretold the gains."""
    if not rows:
        return None
    lines = tuple(dict.fromkeys(row.note for row in rows if row.note))
    listed = [
        (
            *(row.score, row.tau, _interval(row.low, row.high), row.regret, row.auroc),
            *(row.sources, row.groups, row.out_of_bounds or ""),
        )
        for row in rows
    ]
    columns = (
        "score",
        "weighted τ",
        "95 %",
        "regret@1",
        "AUROC",
        "sources",
        "groups",
        "impossible",
    )
    return Section(
        name="scorecard",
        title="Could it have been known beforehand?",
        reading="Scores are computed before any training on the target. τ is 1 where a score "
        "orders sources as their gains do, 0 where it tells nothing; regret is what taking its "
        "first source costs, in points; AUROC tells how well it flags what ends below baseline.",
        tables=(Table(columns=columns, rows=tuple(_two_digits(line) for line in listed)),),
        lines=lines,
    )


def _two_digits(line: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(f"{value:.2f}" if isinstance(value, float) else value for value in line)


def _interval(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"[{low:.2f}, {high:.2f}]"


def score_points(
    forecasts: Iterable[Forecast], rows: Mapping[Arm, int]
) -> list[tuple[int, str, float]]:
    """Return each score of an arm with the number of its row, given the rows by arm."""
    return [
        (rows[key], forecast.score, forecast.value)
        for forecast in forecasts
        if forecast.value is not None and (key := _key(forecast)) in rows
    ]


def _key(forecast: Forecast) -> Arm:
    return forecast.source, forecast.target, forecast.labels, forecast.strategy


def causes(
    verdicts: Sequence[Verdict], records: Sequence[Record], read: Read | None
) -> list[tuple[int, str, Cause]]:
    """Return the likeliest cause of each proven loss, with its row and in how many seeds it shows.

    At most `MOST_AUTOPSIES`, the largest losses first; placebos are left out, they are meant to
    lose.
    """
    hurt = [
        (verdict.gain or 0.0, row)
        for row, verdict in enumerate(verdicts)
        if verdict.verdict is Kind.NEGATIVE and verdict.kind != PLACEBO and verdict.cells
    ]
    by_id = {record.id: record for record in records}
    blocks: defaultdict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        blocks[record.parts.target, record.labels, record.seed].append(record)
    found = []
    for _, row in sorted(hurt)[:MOST_AUTOPSIES]:
        cells = [by_id[name] for name in verdicts[row].cells if name in by_id]
        near = [
            autopsy(case_of(cell, blocks[cell.parts.target, cell.labels, cell.seed], read))
            for cell in cells
        ]
        if (shared := _most_shared(near)) is not None:
            found.append((row, f"in {shared_by(shared.name, near)} of {len(near)} seeds", shared))
    return found


def _most_shared(found: Sequence[Autopsy]) -> Cause | None:
    """Return the cause that most seeds have first, as its strongest case tells it."""
    first = [one.named[0] for one in found if one.named]
    if not first:
        return None
    name, _ = Counter(cause.name for cause in first).most_common(1)[0]
    return max((c for c in first if c.name == name), key=lambda cause: cause.strength)


def explained(
    verdicts: Sequence[Verdict], found: Sequence[tuple[int, str, Cause]]
) -> Section | None:
    """Return what most likely brought about each proven loss."""
    rows = [
        (*arm(verdicts[row]), cause.name, seeds, cause.evidence, cause.remedy.strategy)
        for row, seeds, cause in found
    ]
    if not rows:
        return None
    return Section(
        name="why",
        title="Why it hurt",
        reading="The likeliest cause of each proven loss, read from what the cells noted of "
        "themselves; a reading of signs, not a proof. transfergrid explain CELL tells more.",
        tables=(Table(columns=(*ARM, "likely cause", "seen", "signs", "try"), rows=tuple(rows)),),
    )
