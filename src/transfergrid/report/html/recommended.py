"""The recommended arm for a target and label budget, and the value of that choice.

An arm is recommended only by its validation score. If several are equal, a baseline has precedence,
and then the name decides: never the test score.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transfergrid.evidence.chosen.choosing import Candidate, LeftOut, leave_one_out, simultaneous
from transfergrid.evidence.verdicts.verdict import PLACEBO, Verdict
from transfergrid.records.points import in_points
from transfergrid.report.html.data import Place, ReportData
from transfergrid.report.wording import verdict_words as said
from transfergrid.report.wording.words import bracketed, ends

_Arm = tuple[str | None, str | None, str]  # source, architecture, strategy
MOST_PICKS = 3
"""The largest number of chosen arms that are named; further ones are counted."""


@dataclass(frozen=True)
class Choice:
    """The arm with the best validation score; `row` is None for a baseline."""

    name: str
    validation: float
    row: int | None
    arm: _Arm
    among: int = 1
    """The number of arms with a gain among which it was chosen."""
    tied: int = 1
    """The number of arms with an equally good score, including itself."""


def chosen(data: ReportData, place: Place) -> Choice | None:
    """Return the recommended arm; None without validation scores."""
    found = dict(_choices(data, place))
    if not found:
        return None
    better = _better(data, place)
    best = max(better * choice.validation for choice in found.values())
    ties = [c for c in found.values() if better * c.validation == best]
    first = min(ties, key=lambda c: (c.row is not None, c.name))
    among = sum(choice.row is not None for choice in found.values())
    return Choice(first.name, first.validation, first.row, first.arm, max(among, 1), len(ties))


def _choices(data: ReportData, place: Place) -> list[tuple[_Arm, Choice]]:
    """Return the arms and baselines with validation scores; placebos are never recommended."""
    found = []
    for row, verdict in _rows(data, place):
        arm = _arm(verdict)
        if verdict.validation is not None:
            found.append((arm, Choice(arm_name(verdict), verdict.validation, row, arm)))
        scores = _validation(data, verdict.seeds, verdict.baseline_cells)
        if scores:
            mean = statistics.fmean(scores.values())
            base = (None, verdict.architecture, verdict.baseline)
            found.append((base, Choice(verdict.baseline, mean, None, base)))
    rows = {arm for arm, choice in found if choice.row is not None}
    return [(arm, choice) for arm, choice in found if choice.row is not None or arm not in rows]


def _rows(data: ReportData, place: Place) -> list[tuple[int, Verdict]]:
    return [(row, verdict) for row, verdict in data.at(place) if verdict.kind != PLACEBO]


def _better(data: ReportData, place: Place) -> float:
    return -1.0 if data.at(place)[0][1].metric in data.lower_is_better else 1.0


def _validation(
    data: ReportData, seeds: Sequence[int], cells: Sequence[str]
) -> Mapping[int, float]:
    known = [(seed, data.cells[cell]) for seed, cell in zip(seeds, cells, strict=False)
             if cell in data.cells]  # fmt: skip
    scores = {seed: in_points(cell.validation_score, cell.metric) for seed, cell in known}
    return {seed: score for seed, score in scores.items() if score is not None}


def arm_name(verdict: Verdict) -> str:
    """Return an arm's name, as in "full_finetuning of glyph_digits"."""
    if verdict.source is None:
        return verdict.strategy
    return f"{verdict.strategy} of {verdict.source}"


def _arm(verdict: Verdict) -> _Arm:
    return verdict.source, verdict.architecture, verdict.strategy


def row_of(data: ReportData, arm: _Arm, place: Place) -> int | None:
    """Return the row number of an arm at a target and label budget."""
    return next((row for row, verdict in _rows(data, place) if _arm(verdict) == arm), None)


def _left_out(data: ReportData, place: Place, validated: Place) -> LeftOut | None:
    """Return the gain of leaving one block out, with choices made at another label budget."""
    better = _better(data, place)
    here = {_arm(verdict): verdict for _, verdict in _rows(data, place)}
    candidates: dict[_Arm, Candidate] = {}
    for _, verdict in _rows(data, validated):
        own = here.get(_arm(verdict))
        scores = _validation(data, verdict.seeds, verdict.cells)
        if own is not None and scores:
            candidates[_arm(verdict)] = _candidate(arm_name(verdict), scores, own, better)
        base = (None, verdict.architecture, verdict.baseline)
        scores = _validation(data, verdict.seeds, verdict.baseline_cells)
        if own is not None and scores and base not in here:
            nothing = dict.fromkeys(scores, 0.0)
            oriented = {seed: better * score for seed, score in scores.items()}
            candidates.setdefault(base, Candidate(verdict.baseline, oriented, nothing))
    ordered = sorted(candidates.items(), key=lambda pair: (pair[0] in here, pair[1].name))
    return leave_one_out([candidate for _, candidate in ordered])


def _candidate(name: str, scores: Mapping[int, float], here: Verdict, better: float) -> Candidate:
    oriented = {seed: better * score for seed, score in scores.items()}
    return Candidate(name, oriented, dict(zip(here.seeds, here.gains, strict=False)))


def interval_told(verdict: Verdict, among: int) -> str:
    """Return the gain's interval, simultaneous over the arms among which it was chosen."""
    found = ends(*simultaneous(verdict, among), verdict.unit, verdict.se)
    told = bracketed(found, lambda end: said.number(end, verdict, signed=True))
    return told and f" {told}" + (f" for the best of {among}" if among > 1 else "")


def worth_told(data: ReportData, choice: Choice, place: Place, validated: Place) -> str:
    """Return the words for the value of the choice: the gain in blocks that did not choose."""
    if choice.among < 2:
        return ""
    row = row_of(data, choice.arm, place)
    verdict = data.verdicts[row] if row is not None else None
    if verdict is not None and verdict.n == 1:
        return "; the same run chose and scored it, so its gain is too good"
    found = _left_out(data, place, validated)
    if found is None:
        return "; the same runs chose and scored it, so its gain is too good"
    gain = said.number(found.gain, data.at(place)[0][1], signed=True)
    return f"; each seed left to an arm chosen by the others: {gain} ({_picks(found)})"


def _picks(found: LeftOut) -> str:
    """Return how often each arm was chosen."""
    if len(found.chosen) == 1:
        return f"always {found.chosen[0][0]}"
    told = [f"{name} {count}" for name, count in found.chosen[:MOST_PICKS]]
    more = len(found.chosen) - MOST_PICKS
    others = [f"{more} others"] if more > 0 else []
    return f"of {found.blocks}: {', '.join([*told, *others])}"
