"""The scorecard: how well scores predicted gains, before anything was trained on the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transfergrid.evidence.chosen.scorecard import ScorecardRow
from transfergrid.report.tables.columns import HTML, Align, Column
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.views.verdict_views import LEAST, NARROW, Columns, sheet
from transfergrid.report.wording.words import Symbols, bracketed, ends

_SCORES = (
    "Would a score have told, before anything was trained on the target? Mean over comparisons of "
    "sources within one target, label budget and strategy. τ: weighted Kendall correlation with "
    "the gains [95 % over sources], 1 if it orders them alike, 0 if it tells nothing. regret: "
    "points lost by taking its first source. AUROC: chance that it puts a source that ends below "
    "its baseline under one that does not, .5 if it tells nothing (pairs of such). placebos: "
    "the same with placebos as sources too, for they are most of what hurts. "
)
SCORES = (
    _SCORES + "sources: how many, in how many comparisons; !: some values of the score cannot be."
)
SCORES_ON_PAGE = (
    _SCORES + "sources: how many, and in how many comparisons; impossible: how many values of the "
    "score cannot be."
)
BY_MEAN = (
    "In {of} of the comparisons sources have baselines of their own, as with several "
    "architectures: there τ and regret go by the scores reached, not by the gains."
)


def scores(found: Sequence[ScorecardRow], with_placebos: Sequence[ScorecardRow]) -> Sheet:
    """Return a sheet of how well each score predicted the gains of sources, one line each.

    Args:
        found: the rows without the placebos.
        with_placebos: the rows with the placebos, used only for the detection of harm.
    """
    flagged = {row.score: row for row in with_placebos}
    rows = [
        {
            **row.as_dict(),
            "auroc_with_placebos": flagged[row.score].auroc,
            "pairs_with_placebos": flagged[row.score].auroc_pairs,
        }
        for row in found
    ]

    return sheet(found, rows, score_columns(flagged), lambda _: scores_legend(found))


def score_columns(with_placebos: Mapping[str, ScorecardRow]) -> Columns[ScorecardRow]:
    """Return the function that returns the columns, given each score's row with placebos."""

    def columns(symbols: Symbols) -> list[Column[ScorecardRow]]:
        nothing = symbols.nothing

        def tau(row: ScorecardRow) -> str:
            shown = bracketed(ends(row.low, row.high, ""), two_digits)
            return " ".join(filter(None, (two_digits(row.tau) or nothing, shown)))

        def regret(row: ScorecardRow) -> str:
            return nothing if row.regret is None else f"{row.regret:.1f}"

        def auroc(row: ScorecardRow) -> str:
            pairs = f" ({row.auroc_pairs})" if row.auroc_pairs else ""
            return (two_digits(row.auroc) or nothing) + pairs

        def sources(row: ScorecardRow) -> str:
            return f"{row.sources} in {row.groups}" + "!" * bool(row.out_of_bounds)

        def impossible(row: ScorecardRow) -> str:
            return str(row.out_of_bounds or "")

        return [
            Column("score", lambda row: row.score, least=LEAST),
            Column("τ", tau, Align.NUMBER),
            Column("regret", regret, Align.NUMBER),
            Column("AUROC", auroc, Align.NUMBER),
            Column("placebos", lambda row: auroc(with_placebos[row.score]), Align.NUMBER),
            Column("sources", sources, formats=NARROW),
            Column("sources", lambda row: str(row.sources), Align.RIGHT, formats=(HTML,)),
            Column("comparisons", lambda row: str(row.groups), Align.RIGHT, formats=(HTML,)),
            Column("impossible", impossible, Align.RIGHT, formats=(HTML,)),
        ]

    return columns


def scores_legend(found: Sequence[ScorecardRow], told: str = SCORES) -> str:
    """Return the legend of the scorecard, and reasons why rows say little."""
    by_mean = max((row.by_mean for row in found), default=0)
    apart = " " + BY_MEAN.format(of=by_mean) if by_mean else ""
    notes: dict[str, list[str]] = {}
    for row in found:
        notes.setdefault(row.note or "", []).append(row.score)
    notes.pop("", None)
    said = [f" {_all_or(names, found)}: {note}." for note, names in notes.items()]
    return told + apart + "".join(said)


def _all_or(names: Sequence[str], found: Sequence[ScorecardRow]) -> str:
    return "All scores" if len(names) == len(found) else ", ".join(names)


def two_digits(value: float | None) -> str:
    """Return a correlation or probability as text; empty if there is none."""
    return "" if value is None else f"{value:.2f}"
