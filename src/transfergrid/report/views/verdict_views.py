"""Side views of verdicts: what flips them, gains within parts, and side effects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from transfergrid.evidence.side_effects import Change, SideEffects
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.robustness import Flip
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.metrics import is_of_numbers
from transfergrid.report.tables.columns import (
    HTML,
    LATEX,
    MARKDOWN,
    TERMINAL,
    Align,
    Column,
    Group,
    Medium,
    Page,
    Table,
)
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.wording import verdict_words as said
from transfergrid.report.wording.verdict_words import sign
from transfergrid.report.wording.words import UNICODE, Symbols, bracketed, ends, gains_in, number

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
    "{calibration}overfitting is the change of train less test score (less is better); forgetting, "
    "in points, what a linear probe of the source's own classes lost (below zero) against the "
    "source as it came, where an arm did not learn it itself."
)
CALIBRATION = "calibration is the change of the expected calibration error (less is better); "
LEAST = 9

Item = TypeVar("Item")
Of = Callable[[Item], Verdict]
"""Returns the verdict that a row is about."""
Columns = Callable[[Symbols], Sequence[Column[Item]]]
Way = tuple[Verdict, str, Verdict]
"""A verdict, the changed analysis, and the verdict with it."""
NARROW = (TERMINAL, MARKDOWN, LATEX)
EFFECTS = ("calibration", "overfitting", "forgetting")
ON_PAGE = {"calibration": "calibration error", "overfitting": "overfitting gap"}


def flips(found: Sequence[Flip]) -> Sheet:
    """Return a sheet of the verdicts that flip, one line for each way."""
    pairs = ways_of(found)
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
    return sheet(pairs, rows, flip_columns, flips_legend, "No verdict flips.")


def ways_of(found: Sequence[Flip]) -> list[Way]:
    """Return each way in which a verdict flips, with the verdict and the other one."""
    return [(flip.verdict, way, other) for flip in found for way, other in flip.others.items()]


def flip_columns(symbols: Symbols) -> list[Column[Way]]:
    """Return the columns of flips: on the HTML page in words, with the other gain's interval."""

    def flip(pair: Way) -> str:
        return " to ".join(sign(verdict.verdict, symbols) for verdict in pair[::2])

    return [
        *names(lambda pair: pair[0], symbols),
        Column("flip", flip, formats=NARROW),
        outcome(lambda pair: pair[0]),
        Column("when", lambda pair: pair[1], least=LEAST),
        outcome(lambda pair: pair[2], "is then"),
        Column("gain", lambda pair: said.gain(pair[2], symbols), Align.NUMBER, formats=NARROW),
        gain_on_page(lambda pair: pair[2]),
    ]


def flips_legend(symbols: Symbols = UNICODE) -> str:
    """Return the legend of the flips."""
    return FLIPS.format(kinds=", ".join(_kind(kind, symbols) for kind in Kind))


def parts(found: Sequence[Verdict]) -> Sheet:
    """Return a sheet of gains within classes or groups, one line each."""
    told = {"part": "group", "items": "items", "arm": "mean", "baseline_score": "baseline_mean"}
    told |= {name: name for name in ("gain", "low", "high", "p", "p_corrected")}
    rows = [
        {
            **_arm(part),
            **{key: getattr(part, name) for key, name in told.items()},
            "verdict": part.verdict.value,
        }
        for part in found
    ]
    return sheet(found, rows, part_columns, lambda _: parts_legend(found))


def part_columns(symbols: Symbols) -> list[Column[Verdict]]:
    """Return the columns of gains within parts."""

    def gain(part: Verdict) -> str:
        return f"{said.gain(part, symbols)} {said.interval(part, symbols)}".rstrip()

    return [
        *names(lambda part: part, symbols),
        Column("part", lambda part: part.group or "", least=LEAST, heads={HTML: "class"}),
        Column("items", lambda part: str(part.items), Align.RIGHT, heads={HTML: "test items"}),
        Column("gain", gain, Align.NUMBER, heads={HTML: "gain in the class"}),
        Column("verdict", lambda part: said.outcome(part, symbols), formats=NARROW),
    ]


def parts_legend(parts: Sequence[Verdict]) -> str:
    """Return the legend of gains within parts: in accuracy, or in an error metric."""
    of = dict.fromkeys(part.metric for part in parts)
    return PARTS.format(what=" or ".join(of), units=gains_in(parts))


def beside(found: Iterable[SideEffects]) -> Sheet:
    """Return a sheet of side effects, one line for each comparison."""
    listed = [effects for effects in found if effects.verdict.n]
    rows = [
        {
            **_arm(effects.verdict),
            **{k: v for kind in EFFECTS for k, v in _flat(kind, getattr(effects, kind)).items()},
        }
        for effects in listed
    ]
    units = gains_in(one.verdict for one in listed)
    columns = beside_columns(listed)
    told = BESIDE.format(units=units, calibration="" if _of_numbers(listed) else CALIBRATION)
    return sheet(listed, rows, columns, lambda _: told)


def _of_numbers(found: Sequence[SideEffects]) -> bool:
    """Return whether all labels are numbers: then there are no probabilities to calibrate."""
    return bool(found) and all(is_of_numbers(effects.verdict.metric) for effects in found)


def beside_columns(found: Sequence[SideEffects]) -> Columns[SideEffects]:
    """Return the function that returns the columns of side effects."""
    told = EFFECTS[1:] if _of_numbers(found) else EFFECTS

    def columns(symbols: Symbols) -> list[Column[SideEffects]]:
        def gain(effects: SideEffects) -> str:
            return said.gain(effects.verdict, symbols)

        return [
            *names(lambda effects: effects.verdict, symbols),
            Column("gain", gain, Align.NUMBER),
            *(column for kind in told for column in _changes(kind, symbols)),
        ]

    return columns


def _changes(kind: str, symbols: Symbols) -> list[Column[SideEffects]]:
    """Return the columns of a change: on the HTML page with the ends of its interval."""

    def short(effects: SideEffects) -> str:
        return change_told(effects, kind, symbols) or symbols.nothing

    def whole(effects: SideEffects) -> str:
        return change_told(effects, kind, symbols, whole=True)

    return [
        Column(kind, short, Align.NUMBER, formats=NARROW),
        Column(ON_PAGE.get(kind, kind), whole, formats=(HTML,)),
    ]


def sheet(
    found: Sequence[Item],
    rows: Sequence[dict[str, Any]],
    columns: Columns[Item],
    legend: Callable[[Symbols], str],
    empty: str = "",
) -> Sheet:
    """Return a sheet with one table, whose names move above their rows in a narrow terminal."""

    def page(medium: Medium) -> Page:
        tables = [Table(columns(medium.symbols), [Group(found)])] if found else []
        return Page(tables, below=[legend(medium.symbols)], empty=empty, names_above=True)

    return Sheet(page, lambda: rows)


def names(of: Of[Item], symbols: Symbols = UNICODE) -> list[Column[Item]]:
    """Return the columns that name a comparison."""

    def where(row: Item) -> str:
        return f"{of(row).target}, {of(row).labels}"

    def source(row: Item) -> str:
        return of(row).source or symbols.nothing

    return [
        Column("target, labels", where, least=LEAST, key=True),
        Column("source", source, least=LEAST, key=True),
        Column("strategy", lambda row: of(row).strategy, least=LEAST, key=True),
    ]


def outcome(of: Of[Item], head: str = "verdict") -> Column[Item]:
    """Return the HTML page's column of a verdict, as mark and word."""
    return Column(head, lambda row: said.called(of(row).verdict), formats=(HTML,))


def gain_on_page(of: Of[Item], head: str = "gain") -> Column[Item]:
    """Return the HTML page's column of a gain with its interval."""

    def gain(row: Item) -> str:
        return f"{said.gain(of(row))} {said.interval(of(row))}".rstrip()

    return Column(head, gain, formats=(HTML,))


def _arm(verdict: Verdict) -> dict[str, Any]:
    keys = ("source", "architecture", "strategy", "target", "labels", "baseline", "n")
    return {key: getattr(verdict, key) for key in keys}


def _kind(kind: Kind, symbols: Symbols) -> str:
    return f"{sign(kind, symbols)} {kind.value}"


def change_told(effects: SideEffects, kind: str, symbols: Symbols, *, whole: bool = False) -> str:
    """Return a change as text, with half its interval or the `whole` of it; empty if unknown.

    Overfitting is in the unit of the scores; the other changes are in points.
    """
    change: Change | None = getattr(effects, kind)
    if change is None or change.change is None:
        return ""

    def written(value: float, signed: bool = True) -> str:
        if kind == "overfitting":
            return said.number(value, effects.verdict, signed)
        return number(value, "%", signed)

    told = written(change.change)
    if change.low is None or change.high is None:
        return told
    if whole:
        unit = effects.verdict.unit if kind == "overfitting" else "%"
        return f"{told} {bracketed(ends(change.low, change.high, unit), written)}"
    return f"{told} {symbols.plus_minus}{written(change.high - change.change, signed=False)}"


def _flat(name: str, change: Change | None) -> dict[str, float | None]:
    keys = ("arm", "baseline", "change", "low", "high")
    return {f"{name}_{key}": getattr(change, key) if change else None for key in keys}
