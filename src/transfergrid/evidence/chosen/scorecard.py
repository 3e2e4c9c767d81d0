"""Scorecard: how well transferability scores predicted the gains that were measured later.

Sources are compared within a group: one target, label budget and strategy. A row is the mean over
its groups. Tau and regret ask which source to take. If all sources of a group share their baseline,
they are compared by their gains. If not, as with several architectures, they are compared by their
mean final scores, because the largest gain may be over the weakest baseline. Whether a source ends
below scratch is always asked with its own baseline.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transfergrid.evidence.measured.scoring import BY_ITEM
from transfergrid.evidence.statistics.rank_statistics import (
    Forecast,
    groups,
    jackknife,
    mean_regret,
    mean_tau,
    pairs,
    pooled,
    shares_baseline,
)
from transfergrid.evidence.verdicts.verdict import CONTROL, PLACEBO, Verdict
from transfergrid.records.cell import Labels
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.ledgers.scores import Kept, read_all

FEWEST = 5
"""The fewest sources with which an interval over them is valid; see `rank_statistics.jackknife`."""


def is_foretold(verdict: Verdict) -> bool:
    """Return whether a verdict contains a source's gain, which a score may have predicted."""
    return verdict.kind != CONTROL and verdict.gain is not None and bool(verdict.source_part)


@dataclass(frozen=True, kw_only=True)
class ScorecardRow:
    """How well one score predicted gains."""

    score: str
    strategy: str | None
    """The strategy that the row is about; None for all together."""
    tau: float | None
    """Weighted Kendall tau of score and gain (or mean score; see the module), mean over groups."""
    low: float | None
    """Lower end of its 95 % interval over sources (jackknife, t), clipped at -1 and 1; None with
    fewer than `FEWEST` sources, and if there is no spread, as when all sources are ranked right."""
    high: float | None
    regret: float | None
    """regret@1 in points: the best gain (or mean score) minus that of the source ranked first, mean
    over groups."""
    auroc: float | None
    """Probability that, of two sources of a group of which one ends below scratch, this one has the
    lower score."""
    auroc_pairs: int
    """The number of such pairs."""
    auroc_pooled: float | None
    """The same over all cells, across targets, where scores may have different scales."""
    sources: int
    groups: int
    """Number of groups with two or more sources."""
    by_mean: int
    """Number of groups whose sources have different baselines and are compared by mean score."""
    cells: int
    negatives: int
    """Number of cells that end below scratch."""
    undefined: int
    """Number of cells without a value of this score; their source cannot be ranked first."""
    out_of_bounds: int
    """Number of impossible values."""
    note: str | None
    """A reason why the row says little."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row by field name."""
        return asdict(self)


def scorecard_of(
    scores: str | Path | Iterable[Kept],
    verdicts: Iterable[Verdict],
    *,
    placebos: bool = False,
) -> list[ScorecardRow]:
    """Return the scorecard of stored scores and measured gains.

    Args:
        scores: the ledger's folder, or the result of `records.ledgers.scores.read_all`.
        verdicts: one for each source, target, label budget and strategy.
        placebos: whether to count them as sources. Any score that sees structure ranks them last,
            which flatters tau and regret; but they are most of the harmed cells that can be
            detected.
    """
    chosen = [one for one in verdicts if placebos or one.kind != PLACEBO]
    return scorecard(forecasts_of(scores, chosen))


def forecasts_of(
    scores: str | Path | Iterable[Kept], verdicts: Iterable[Verdict]
) -> list[Forecast]:
    """Return scores joined with gains by source, target and labels; a score is the mean over seeds.

    Gains without a stored score are left out, and so are verdicts that are not about a source.
    """
    blocks = _by_parts(_read(scores))
    found = []
    for one in filter(is_foretold, verdicts):
        kept = blocks.get((one.source_part or "", one.target_part or "", one.labels), [])
        for name in dict.fromkeys(name for block in kept for name in block.names.values()):
            found.append(_forecast(name, kept, one))
    return found


def _read(scores: str | Path | Iterable[Kept]) -> Iterable[Kept]:
    if not isinstance(scores, (str, Path)):
        return scores
    return read_all(Ledger(scores))


def _by_parts(scores: Iterable[Kept]) -> dict[tuple[str, str, Labels], list[Kept]]:
    found: dict[tuple[str, str, Labels], list[Kept]] = {}
    for kept in scores:
        for part in kept.source_parts:
            found.setdefault((part, kept.target_part, kept.labels), []).append(kept)
    return found


def _forecast(name: str, kept: Sequence[Kept], verdict: Verdict) -> Forecast:
    values = [value for one in kept if (value := one.value(name)) is not None]
    oriented = [v.value if v.higher_is_better else -v.value for v in values if v.value is not None]
    gain = (verdict.gain or 0.0) / verdict.point
    return Forecast(
        score=name,
        source=verdict.source or "",
        target=verdict.target,
        labels=verdict.labels,
        strategy=verdict.strategy,
        value=statistics.fmean(oriented) if oriented else None,
        gain=gain,
        negative=gain < 0,
        out_of_bounds=sum(value.out_of_bounds for value in values),
        mean=_oriented(verdict),
        baselines=frozenset(verdict.baseline_cells),
    )


def _oriented(verdict: Verdict) -> float | None:
    """Return the mean score oriented by the sign of its gain, so that more is better."""
    if verdict.mean is None or verdict.baseline_mean is None or not verdict.gain:
        return verdict.mean if verdict.metric == BY_ITEM else None
    upwards = (verdict.mean > verdict.baseline_mean) == (verdict.gain > 0)
    return (verdict.mean if upwards else -verdict.mean) / verdict.point


def scorecard(forecasts: Iterable[Forecast], *, by_strategy: bool = False) -> list[ScorecardRow]:
    """Return a row for each score, highest tau first; optionally for each strategy separately."""
    listed = list(forecasts)
    rows = []
    strategies = dict.fromkeys(f.strategy for f in listed) if by_strategy else {None: None}
    for strategy in strategies:
        of = [f for f in listed if strategy in (None, f.strategy)]
        names = dict.fromkeys(f.score for f in of)
        part = [_row(name, strategy, [f for f in of if f.score == name]) for name in names]
        rows += sorted(part, key=lambda row: math.inf if row.tau is None else -row.tau)
    return rows


def _row(score: str, strategy: str | None, all_cells: Sequence[Forecast]) -> ScorecardRow:
    cells = [cell for cell in all_cells if cell.value is not None]
    sources = len({cell.source for cell in cells})
    tau, told = mean_tau(cells), pairs(cells)
    low, high = jackknife(cells, mean_tau) if sources >= FEWEST else (None, None)
    return ScorecardRow(
        score=score,
        strategy=strategy,
        tau=tau,
        low=low,
        high=high,
        regret=mean_regret(all_cells),
        auroc=statistics.fmean(told) if told else None,
        auroc_pairs=len(told),
        auroc_pooled=pooled(cells),
        sources=sources,
        groups=sum(len(group) > 1 for group in groups(cells)),
        by_mean=sum(not shares_baseline(group) for group in groups(cells)),
        cells=len(cells),
        negatives=sum(bool(cell.negative) for cell in cells),
        undefined=len(all_cells) - len(cells),
        out_of_bounds=sum(cell.out_of_bounds for cell in all_cells),
        note=_note(sources, tau, low),
    )


def _note(sources: int, tau: float | None, low: float | None) -> str | None:
    if sources < FEWEST:
        return f"too few sources to say: {sources}"
    if tau is None:
        return "gains or groups too few to order"
    return "no interval: leaving out one source at a time shows no spread" if low is None else None
