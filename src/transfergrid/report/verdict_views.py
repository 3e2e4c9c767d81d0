"""Verdicts seen from the side: what flips them, what hides in their parts, what came with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from transfergrid.evidence.decisions import Kind
from transfergrid.evidence.parts import PartGain
from transfergrid.evidence.robustness import Flip
from transfergrid.evidence.scorecard import ScorecardRow
from transfergrid.evidence.side_effects import Change, SideEffects
from transfergrid.evidence.verdicts import Verdict
from transfergrid.report.columns import render
from transfergrid.report.verdict_words import sign
from transfergrid.report.words import UNICODE, Symbols, ends, number

FLIPS = (
    "Verdicts that depend on how one looks: over another baseline, without collapsed and underfit "
    "(flagged) runs, for this test set only, or for a source made anew in each block; the gain is "
    "that of the other look. The first mark is the verdict: {kinds}."
)
PARTS = (
    "Gains in accuracy within each part of the test items, in points, with uncorrected 95 % "
    "intervals; verdicts are corrected over the parts of one comparison."
)
BESIDE = (
    "Beside the gains, in points, mean and half its 95 % interval over seeds, on this test set: "
    "calibration is the change of the expected calibration error (less is better); overfitting "
    "that of train less test score; forgetting what a linear probe of the source's own classes "
    "lost (below zero) against the source as it came, where an arm did not learn it itself."
)
SCORES = (
    "Would a score have told, before anything was trained on the target? Mean over comparisons of "
    "sources within one target, label budget and strategy. τ: weighted Kendall correlation with "
    "the gains [95 % over sources], 1 if it orders them alike, 0 if it tells nothing. regret: "
    "points lost by taking its first source. AUROC: chance that it puts a source that ends below "
    "its baseline under one that does not, .5 if it tells nothing (pairs of such). placebos: "
    "the same with placebos as sources too, for they are most of what hurts. sources: how many, in "
    "how many comparisons; !: some values of the score cannot be."
)


NAMES = 3
"""Columns that name a comparison."""
BY_MEAN = (
    "In {of} of the comparisons sources have baselines of their own, as with several "
    "architectures: there τ and regret go by the scores reached, not by the gains."
)


def flips(
    found: Sequence[Flip], format: str = "table", width: int = 80, symbols: Symbols = UNICODE
) -> str:
    """Return the comparisons whose verdict flips, a line for each way in which it does."""
    pairs = [(flip.verdict, way, other) for flip in found for way, other in flip.others.items()]
    rows = [
        {
            **_arm(verdict),
            "verdict": verdict.verdict.value,
            "looked_at": way,
            "other_verdict": other.verdict.value,
            "other_gain": other.gain,
            "other_low": other.low,
            "other_high": other.high,
        }
        for verdict, way, other in pairs
    ]
    shown = [
        {
            **_named(verdict, symbols),
            "flip": f"{sign(verdict.verdict, symbols)} to {sign(other.verdict, symbols)}",
            "when": way,
            "gain": _signed(other.gain, verdict.unit, symbols),
        }
        for verdict, way, other in pairs
    ]
    return render(rows, shown, format, width, NAMES)


def flips_legend(symbols: Symbols = UNICODE) -> str:
    """Return what a reader must know to read the flips."""
    return FLIPS.format(kinds=", ".join(_kind(kind, symbols) for kind in Kind))


def parts(
    found: Sequence[tuple[Verdict, PartGain]],
    format: str = "table",
    width: int = 80,
    symbols: Symbols = UNICODE,
) -> str:
    """Return gains within classes or groups, a line each."""
    rows = [
        {
            **_arm(verdict),
            "part": part.part,
            "items": part.items,
            "arm": part.arm,
            "baseline_score": part.baseline,
            "gain": part.gain,
            "low": part.low,
            "high": part.high,
            "p": part.decision.p,
            "p_corrected": part.decision.p_corrected,
            "verdict": part.decision.kind.value,
        }
        for verdict, part in found
    ]
    shown = [
        {
            **_named(verdict, symbols),
            "part": part.part,
            "items": str(part.items),
            "gain": _interval(part.gain, part.low, part.high, symbols),
            "verdict": _kind(part.decision.kind, symbols),
        }
        for verdict, part in found
    ]
    return render(rows, shown, format, width, NAMES)


def beside(
    found: Iterable[SideEffects],
    format: str = "table",
    width: int = 80,
    symbols: Symbols = UNICODE,
) -> str:
    """Return what came with each gain, a line for each comparison."""
    listed = [effects for effects in found if effects.verdict.n]
    rows = [
        {
            **_arm(effects.verdict),
            **_flat("calibration", effects.calibration),
            **_flat("overfitting", effects.overfitting),
            **_flat("forgetting", effects.forgetting),
        }
        for effects in listed
    ]
    shown = [
        {
            **_named(effects.verdict, symbols),
            "gain": _signed(effects.verdict.gain, effects.verdict.unit, symbols),
            "calibration": _change(effects.calibration, symbols),
            "overfitting": _change(effects.overfitting, symbols),
            "forgetting": _change(effects.forgetting, symbols),
        }
        for effects in listed
    ]
    return render(rows, shown, format, width, NAMES)


def scores(
    found: Sequence[ScorecardRow],
    with_placebos: Sequence[ScorecardRow],
    format: str = "table",
    width: int = 80,
    symbols: Symbols = UNICODE,
) -> str:
    """Return how well each score foretold the gains of sources, a line each.

    Args:
        found: without the placebos.
        with_placebos: the same scores with them, for the flagging of harm alone.
        format: as for the others.
        width: columns of the terminal.
        symbols: the characters beyond letters and digits.
    """
    known = {row.score: row for row in found}
    flagged = {row.score: row for row in with_placebos}
    rows = [
        {
            **row.as_dict(),
            "auroc_with_placebos": flagged[row.score].auroc,
            "pairs_with_placebos": flagged[row.score].auroc_pairs,
        }
        for row in found
    ]
    shown = [
        {
            "score": name,
            "τ": _two_digits(row.tau, symbols) + _ends(row.low, row.high, symbols),
            "regret": symbols.nothing if row.regret is None else f"{row.regret:.1f}",
            "AUROC": _auroc(row, symbols),
            "placebos": _auroc(flagged[name], symbols),
            "sources": f"{row.sources} in {row.groups}" + "!" * bool(row.out_of_bounds),
        }
        for name, row in known.items()
    ]
    return render(rows, shown, format, width)


def scores_legend(found: Sequence[ScorecardRow]) -> str:
    """Return what a reader must know to read the scorecard, and what keeps it from saying much."""
    by_mean = max((row.by_mean for row in found), default=0)
    apart = " " + BY_MEAN.format(of=by_mean) if by_mean else ""
    notes: dict[str, list[str]] = {}
    for row in found:
        notes.setdefault(row.note or "", []).append(row.score)
    notes.pop("", None)
    told = [f" {_all_or(names, found)}: {note}." for note, names in notes.items()]
    return SCORES + apart + "".join(told)


def _all_or(names: Sequence[str], found: Sequence[ScorecardRow]) -> str:
    return "All scores" if len(names) == len(found) else ", ".join(names)


def _two_digits(value: float | None, symbols: Symbols) -> str:
    return symbols.nothing if value is None else f"{value:.2f}"


def _auroc(row: ScorecardRow, symbols: Symbols) -> str:
    return _two_digits(row.auroc, symbols) + (f" ({row.auroc_pairs})" if row.auroc_pairs else "")


def _ends(low: float | None, high: float | None, symbols: Symbols) -> str:
    return "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"


def _arm(verdict: Verdict) -> dict[str, Any]:
    keys = ("source", "architecture", "strategy", "target", "labels", "baseline", "n")
    return {key: getattr(verdict, key) for key in keys}


def _named(verdict: Verdict, symbols: Symbols) -> dict[str, str]:
    where = f"{verdict.target}, {verdict.labels}"
    source = verdict.source or symbols.nothing
    return {"target, labels": where, "source": source, "strategy": verdict.strategy}


def _kind(kind: Kind, symbols: Symbols) -> str:
    return f"{sign(kind, symbols)} {kind.value}"


def _signed(value: float | None, unit: str, symbols: Symbols) -> str:
    return symbols.nothing if value is None else number(value, unit, signed=True)


def _interval(value: float, low: float | None, high: float | None, symbols: Symbols) -> str:
    shown = ends(low, high, "%")
    told = ", ".join(_signed(end, "%", symbols) for end in shown or (None, None))
    return f"{number(value, '%', signed=True)} [{told}]"


def _change(change: Change | None, symbols: Symbols) -> str:
    if change is None or change.change is None:
        return symbols.nothing
    told = number(change.change, "%", signed=True)
    if change.high is None:
        return told
    return f"{told} {symbols.plus_minus}{number(change.high - change.change, '%')}"


def _flat(name: str, change: Change | None) -> dict[str, float | None]:
    keys = ("arm", "baseline", "change", "low", "high")
    return {f"{name}_{key}": getattr(change, key) if change else None for key in keys}
