"""The contributions of several sources, one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from transfergrid.evidence.several.source_shares import SourceShare
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.report.tables.columns import HTML, Align, Column
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.views.verdict_views import LEAST, NARROW, names, outcome, sheet
from transfergrid.report.wording import verdict_words as said
from transfergrid.report.wording.verdict_words import sign
from transfergrid.report.wording.words import UNICODE, Symbols, gains_in

EMPTY = (
    "No source of several was run beside all but one of its parts: "
    "source='leave_one_out([A,B,C])' asks for them."
)
LEGEND = (
    "Which of several sources hurts? alone and all: the gains over the arm's own primary baseline "
    "of that source by itself and of all together, {units}. it adds: the score of all less the "
    "score of all but it, paired by seed, with its uncorrected 95 % interval; verdicts ({kinds}) "
    "are corrected over all such differences on one target and label budget. Where it is negative, "
    "the others do better without it."
)


def shares(found: Sequence[SourceShare]) -> Sheet:
    """Return a sheet with the contribution of each source, one line each."""
    rows = [as_row(share) for share in found]
    return sheet(found, rows, share_columns, lambda symbols: legend(found, symbols), EMPTY)


def as_row(share: SourceShare) -> dict[str, Any]:
    """Return a line as plain values."""
    less = share.less
    same = ("architecture", "strategy", "target", "labels", "training", "tuning")
    return {
        "sources": less.source,
        "source": share.source,
        **{key: getattr(less, key) for key in same},
        **_gain("alone", share.alone),
        **_gain("all", share.all),
        "all_score": less.mean,
        "all_but_it_score": less.baseline_mean,
        "adds": less.gain,
        **{key: getattr(less, key) for key in ("low", "high", "n", "p", "p_corrected")},
        "family_size": less.family_size,
        "verdict": less.verdict.value,
    }


def _gain(name: str, verdict: Verdict | None) -> dict[str, Any]:
    told = ("baseline", "gain", "low", "high", "n")
    found = {f"{name}_{key}": getattr(verdict, key, None) for key in told}
    return {**found, f"{name}_verdict": None if verdict is None else verdict.verdict.value}


def share_columns(symbols: Symbols) -> list[Column[SourceShare]]:
    """Return the columns of contributions."""

    def gain(verdict: Verdict | None) -> str:
        return symbols.nothing if verdict is None else said.gain(verdict, symbols)

    def adds(share: SourceShare) -> str:
        return f"{gain(share.less)} {said.interval(share.less, symbols)}".rstrip()

    def mark(share: SourceShare) -> str:
        return said.outcome(share.less, symbols)

    heads = {HTML: "one of them"}
    return [
        *names(lambda share: share.less, symbols),
        Column("of them", lambda share: share.source, least=LEAST, heads=heads),
        Column("alone", lambda share: gain(share.alone), Align.NUMBER),
        Column("all", lambda share: gain(share.all), Align.NUMBER),
        Column("it adds", adds, Align.NUMBER),
        Column("n", lambda share: str(share.less.n), Align.RIGHT, heads={HTML: "seeds"}),
        Column("verdict", mark, formats=NARROW),
        outcome(lambda share: share.less),
    ]


def legend(found: Sequence[SourceShare], symbols: Symbols = UNICODE) -> str:
    """Return the legend of contributions."""
    if not found:
        return ""
    kinds = ", ".join(f"{sign(kind, symbols)} {kind.value}" for kind in Kind)
    return LEGEND.format(units=gains_in(share.less for share in found), kinds=kinds)


def counted(found: Sequence[SourceShare]) -> str:
    """Return a sentence with how many sources help or hurt the others."""
    kinds = Counter(share.less.verdict for share in found)
    told = [f"{kinds[kind]} {said.SAID[kind]}" for kind in Kind if kinds[kind]]
    return f"Of {len(found)} times that a source was left out, it {', '.join(told)}."
