"""The gain of each task from joint learning: a line for the target's and one for the source's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.report.tables.columns import HTML, Align, Column
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.views.verdict_views import LEAST, NARROW, names, outcome, sheet
from transfergrid.report.wording import verdict_words as said
from transfergrid.report.wording.verdict_words import sign
from transfergrid.report.wording.words import UNICODE, Symbols, gains_in

EMPTY = (
    "No arm here kept a head of its source's task: strategy=multitask, pcgrad, cagrad, gradnorm "
    "and uncertainty_weighting learn both tasks."
)
LEGEND = (
    "What learning together gives each task, {units}: the target's over the arm's own baseline, "
    "the source's over `scratch` on that domain with all labels, by the same architecture, "
    "training and seed, with uncorrected 95 % intervals; verdicts ({kinds}) are corrected over all "
    "on one task. Of the source's task they speak of its test part as it is."
)
CHAINED = " What chains forgot of them, link by link: --show forgetting."
LONELY = "Where nothing stands beside alone, run it: strategy=scratch target={names} labels=all."


def tasks(found: Sequence[Verdict], chained: bool = False) -> Sheet:
    """Return a sheet with a line for each task.

    Args:
        found: the verdict on each task.
        chained: whether some tasks were learned in chains, for which another view exists.
    """
    rows = [as_row(verdict) for verdict in found]
    more = CHAINED if chained else ""
    return sheet(found, rows, task_columns, lambda symbols: legend(found, symbols) + more, EMPTY)


def as_row(verdict: Verdict) -> dict[str, Any]:
    """Return a line as plain values."""
    same = ("target", "labels", "source", "architecture", "strategy", "training", "baseline")
    told = ("mean", "baseline_mean", "gain", "low", "high", "n", "p", "p_corrected", "family_size")
    return {key: getattr(verdict, key) for key in same + told} | {"verdict": verdict.verdict.value}


def task_columns(symbols: Symbols) -> list[Column[Verdict]]:
    """Return the columns of gains of tasks."""

    def gain(verdict: Verdict) -> str:
        if verdict.gain is None:
            return symbols.nothing
        return f"{said.gain(verdict, symbols)} {said.interval(verdict, symbols)}".rstrip()

    return [
        *names(lambda verdict: verdict, symbols),
        Column("over", lambda verdict: verdict.reference, least=LEAST),
        Column("gain", gain, Align.NUMBER),
        Column("n", lambda verdict: str(verdict.n), Align.RIGHT, heads={HTML: "seeds"}),
        Column("verdict", lambda verdict: said.outcome(verdict, symbols), formats=NARROW),
        outcome(lambda verdict: verdict),
    ]


def legend(found: Sequence[Verdict], symbols: Symbols = UNICODE) -> str:
    """Return the legend of the gains of tasks."""
    if not found:
        return ""
    kinds = ", ".join(f"{sign(kind, symbols)} {kind.value}" for kind in Kind)
    told = LEGEND.format(units=gains_in(found), kinds=kinds)
    return " ".join(filter(None, (told, lonely(found))))


def lonely(found: Sequence[Verdict]) -> str:
    """Return the command for tasks that were not trained alone; empty if all were."""
    names = sorted({verdict.target for verdict in found if not verdict.n})
    return LONELY.format(names=",".join(names)) if names else ""
