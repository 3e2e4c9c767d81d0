"""Verdicts seen from the side: what flips them, what hides in their parts, what came with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from transfergrid.evidence.decisions import Kind
from transfergrid.evidence.parts import PartGain
from transfergrid.evidence.robustness import Flip
from transfergrid.evidence.scorecard import ScorecardRow
from transfergrid.evidence.side_effects import Change, SideEffects
from transfergrid.evidence.verdicts import Verdict
from transfergrid.records.metrics import is_of_numbers
from transfergrid.report import verdict_words
from transfergrid.report.columns import Align, Column, Group, Medium, Page, Table
from transfergrid.report.sheet import Sheet
from transfergrid.report.verdict_words import sign
from transfergrid.report.words import UNICODE, Symbols, bracketed, ends, gains_in, number

FLIPS = (
    "Verdicts that depend on how one looks: over another baseline, without collapsed and underfit "
    "(flagged) runs, for this test set only, or for a source made anew in each block; the gain is "
    "that of the other look. The first mark is the verdict: {kinds}."
)
PARTS = (
    "Gains in {what} within each part of the test items, {units}, with uncorrected 95 % "
    "intervals; verdicts are corrected over the parts of one comparison."
)
BESIDE = (
    "Beside the gains, {units}, mean and half its 95 % interval over seeds, on this test set: "
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
BY_MEAN = (
    "In {of} of the comparisons sources have baselines of their own, as with several "
    "architectures: there τ and regret go by the scores reached, not by the gains."
)
_LEAST = 9

Item = TypeVar("Item")


def flips(found: Sequence[Flip]) -> Sheet:
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

    def columns(symbols: Symbols) -> list[Column[tuple[Verdict, str, Verdict]]]:
        def flip(pair: tuple[Verdict, str, Verdict]) -> str:
            return " to ".join(sign(verdict.verdict, symbols) for verdict in pair[::2])

        return [
            *_names(lambda pair: pair[0], symbols),
            Column("flip", flip),
            Column("when", lambda pair: pair[1], least=_LEAST),
            Column("gain", lambda pair: verdict_words.gain(pair[2], symbols), Align.NUMBER),
        ]

    return _sheet(pairs, rows, columns, flips_legend, "No verdict flips.")


def flips_legend(symbols: Symbols = UNICODE) -> str:
    """Return what a reader must know to read the flips."""
    return FLIPS.format(kinds=", ".join(_kind(kind, symbols) for kind in Kind))


def parts(found: Sequence[tuple[Verdict, PartGain]]) -> Sheet:
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

    def columns(symbols: Symbols) -> list[Column[tuple[Verdict, PartGain]]]:
        none = f"[{symbols.nothing}, {symbols.nothing}]"

        def gain(pair: tuple[Verdict, PartGain]) -> str:
            return with_interval(pair[1].gain, pair[1].low, pair[1].high, pair[0], none)

        return [
            *_names(lambda pair: pair[0], symbols),
            Column("part", lambda pair: pair[1].part, least=_LEAST),
            Column("items", lambda pair: str(pair[1].items), Align.RIGHT),
            Column("gain", gain, Align.NUMBER),
            Column("verdict", lambda pair: _kind(pair[1].decision.kind, symbols)),
        ]

    return _sheet(found, rows, columns, lambda _: parts_legend([verdict for verdict, _ in found]))


def parts_legend(verdicts: Sequence[Verdict]) -> str:
    """Return what a reader must know of gains within parts: of accuracy, or of an error."""
    of = {v.metric if is_of_numbers(v.metric) else "accuracy": None for v in verdicts}
    return PARTS.format(what=" or ".join(of), units=gains_in(verdicts))


def beside(found: Iterable[SideEffects]) -> Sheet:
    """Return what came with each gain, a line for each comparison."""
    listed = [effects for effects in found if effects.verdict.n]
    kinds = ("calibration", "overfitting", "forgetting")
    rows = [
        {
            **_arm(effects.verdict),
            **{k: v for kind in kinds for k, v in _flat(kind, getattr(effects, kind)).items()},
        }
        for effects in listed
    ]

    def columns(symbols: Symbols) -> list[Column[SideEffects]]:
        def gain(effects: SideEffects) -> str:
            return verdict_words.gain(effects.verdict, symbols)

        def change(kind: str) -> Callable[[SideEffects], str]:
            return lambda effects: change_told(effects, kind, symbols)

        numbers = all(is_of_numbers(effects.verdict.metric) for effects in listed)
        told = kinds[1:] if numbers else kinds  # only what has probabilities is calibrated

        return [
            *_names(lambda effects: effects.verdict, symbols),
            Column("gain", gain, Align.NUMBER),
            *(Column[SideEffects](kind, change(kind), Align.NUMBER) for kind in told),
        ]

    units = gains_in(one.verdict for one in listed)
    return _sheet(listed, rows, columns, lambda _: BESIDE.format(units=units))


def scores(found: Sequence[ScorecardRow], with_placebos: Sequence[ScorecardRow]) -> Sheet:
    """Return how well each score foretold the gains of sources, a line each.

    Args:
        found: without the placebos.
        with_placebos: the same scores with them, for the flagging of harm alone.
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

    def columns(symbols: Symbols) -> list[Column[ScorecardRow]]:
        nothing = symbols.nothing

        def tau(row: ScorecardRow) -> str:
            return " ".join(filter(None, (two_digits(row.tau) or nothing, tau_interval(row))))

        def regret(row: ScorecardRow) -> str:
            return nothing if row.regret is None else f"{row.regret:.1f}"

        def sources(row: ScorecardRow) -> str:
            return f"{row.sources} in {row.groups}" + "!" * bool(row.out_of_bounds)

        return [
            Column("score", lambda row: row.score, least=_LEAST),
            Column("τ", tau, Align.NUMBER),
            Column("regret", regret, Align.NUMBER),
            Column("AUROC", lambda row: _auroc(row, symbols), Align.NUMBER),
            Column("placebos", lambda row: _auroc(flagged[row.score], symbols), Align.NUMBER),
            Column("sources", sources),
        ]

    return _sheet(found, rows, columns, lambda _: scores_legend(found))


def _sheet(
    found: Sequence[Item],
    rows: Sequence[dict[str, Any]],
    columns: Callable[[Symbols], Sequence[Column[Item]]],
    legend: Callable[[Symbols], str],
    empty: str = "",
) -> Sheet:
    """Return a view of one table, whose names stand above their rows where there is little room."""

    def page(medium: Medium) -> Page:
        tables = [Table(columns(medium.symbols), [Group(found)])] if found else []
        return Page(tables, below=[legend(medium.symbols)], empty=empty, names_above=True)

    return Sheet(page, lambda: rows)


def _names(verdict: Callable[[Item], Verdict], symbols: Symbols) -> list[Column[Item]]:
    """Return the columns that name a comparison."""

    def where(row: Item) -> str:
        return f"{verdict(row).target}, {verdict(row).labels}"

    return [
        Column("target, labels", where, least=_LEAST, key=True),
        Column(
            "source", lambda row: verdict(row).source or symbols.nothing, least=_LEAST, key=True
        ),
        Column("strategy", lambda row: verdict(row).strategy, least=_LEAST, key=True),
    ]


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


def two_digits(value: float | None) -> str:
    """Write a correlation or a chance; empty where there is none."""
    return "" if value is None else f"{value:.2f}"


def _auroc(row: ScorecardRow, symbols: Symbols) -> str:
    pairs = f" ({row.auroc_pairs})" if row.auroc_pairs else ""
    return (two_digits(row.auroc) or symbols.nothing) + pairs


def tau_interval(row: ScorecardRow) -> str:
    """Write the interval of τ, if there is one."""
    return bracketed(ends(row.low, row.high, ""), two_digits)


def _arm(verdict: Verdict) -> dict[str, Any]:
    keys = ("source", "architecture", "strategy", "target", "labels", "baseline", "n")
    return {key: getattr(verdict, key) for key in keys}


def _kind(kind: Kind, symbols: Symbols) -> str:
    return f"{sign(kind, symbols)} {kind.value}"


def with_interval(
    value: float,
    low: float | None,
    high: float | None,
    of: Verdict | None = None,
    otherwise: str = "",
) -> str:
    """Write points, or a gain of a verdict, with its interval, as in "+2.1 [+0.3, +3.9]"."""

    def signed(end: float) -> str:
        return _written(end, of, signed=True)

    shown = bracketed(ends(low, high, of.unit if of else "%"), signed)
    return f"{signed(value)} {shown or otherwise}".rstrip()


def change_told(effects: SideEffects, kind: str, symbols: Symbols = UNICODE) -> str:
    """Write a change: overfitting in the unit of the scores, what is of shares in points."""
    change: Change | None = getattr(effects, kind)
    if change is None or change.change is None:
        return symbols.nothing
    of = effects.verdict if kind == "overfitting" else None
    told = _written(change.change, of, signed=True)
    if change.high is None:
        return told
    return f"{told} {symbols.plus_minus}{_written(change.high - change.change, of)}"


def _written(value: float, of: Verdict | None, *, signed: bool = False) -> str:
    return verdict_words.number(value, of, signed) if of else number(value, "%", signed)


def _flat(name: str, change: Change | None) -> dict[str, float | None]:
    keys = ("arm", "baseline", "change", "low", "high")
    return {f"{name}_{key}": getattr(change, key) if change else None for key in keys}
