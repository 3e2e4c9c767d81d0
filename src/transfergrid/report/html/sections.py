"""Sections beside the verdicts: each from evidence of its own, and empty where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from transfergrid.evidence.curves.measures import Axis
from transfergrid.evidence.curves.results import Curve
from transfergrid.evidence.decisions import Kind
from transfergrid.evidence.parts import PartGain
from transfergrid.evidence.robustness import Flip
from transfergrid.evidence.side_effects import Change, SideEffects
from transfergrid.evidence.verdicts import Verdict
from transfergrid.report.curves_words import Legend, Writer
from transfergrid.report.html.answer import SAID, interval
from transfergrid.report.html.data import Section, Table
from transfergrid.report.html.rows import MARKS, NO_SOURCE
from transfergrid.report.words import UNICODE, number

ARM = ("target", "labels", "source", "strategy")
MOST_LINES = 150


@dataclass
class Beside:
    """What the side views add to a report."""

    sections: list[Section] = field(default_factory=list)
    remarks: dict[int, list[str]] = field(default_factory=dict)
    """By number of the row."""

    def add(self, section: Section | None) -> None:
        """Add a section, if there is one."""
        if section is not None:
            self.sections.append(section)

    def remark(self, row: int, text: str) -> None:
        """Say something of a row."""
        self.remarks.setdefault(row, []).append(text)


def arm(verdict: Verdict) -> tuple[str, str, str, str]:
    """Return the columns that name an arm."""
    source = verdict.source or NO_SOURCE
    return verdict.target, str(verdict.labels), source, verdict.strategy


def told(verdict: Verdict) -> str:
    """Return a verdict as mark and word."""
    return f"{MARKS[verdict.verdict]} {SAID[verdict.verdict]}"


def flipping(flips: Sequence[Flip]) -> Section | None:
    """Return the verdicts that depend on how one looks."""
    rows = [
        (*arm(flip.verdict), told(flip.verdict), way, told(other), _gain(other), interval(other))
        for flip in flips
        for way, other in flip.others.items()
    ]
    if not rows:
        return None
    return Section(
        name="flips",
        title="Verdicts that do not stand firm",
        reading="Each line is a verdict that is another one when looked at otherwise: over another "
        "baseline, without collapsed and underfit runs, or on this test set only. The primary one "
        "counts; trust those that are not listed here the most.",
        tables=(_limited((*ARM, "verdict", "but", "is then", "gain then", "95 %"), rows),),
    )


def _gain(verdict: Verdict) -> str | None:
    return None if verdict.gain is None else number(verdict.gain, verdict.unit, signed=True)


def harmed(arms: Sequence[tuple[Verdict, Sequence[PartGain]]]) -> Section | None:
    """Return the classes that are shown to lose, given the gains in all classes of each arm."""
    rows, hidden = [], 0
    for verdict, inside in arms:
        hurt = [part for part in inside if part.decision.kind is Kind.NEGATIVE]
        hidden += bool(hurt) and verdict.verdict is not Kind.NEGATIVE
        rows += [
            (*arm(verdict), told(verdict), part.part, part.items, _part(part)) for part in hurt
        ]
    if not arms:
        return None
    found = "comparison hides" if hidden == 1 else "comparisons hide"
    return Section(
        name="classes",
        title="Inside the classes",
        reading="A mean can look fine while a class is harmed: each line is a class whose gain is "
        "shown to be below zero, corrected over the classes of its comparison.",
        lines=(f"{hidden} {found} a harmed class behind a mean that is not shown to be harmed.",),
        tables=(_limited((*ARM, "verdict", "class", "test items", "gain in the class"), rows),)
        if rows
        else (),
    )


def extremes(inside: Sequence[PartGain]) -> str:
    """Say which class gains least and which most."""
    worst, best = min(inside, key=lambda p: p.gain), max(inside, key=lambda p: p.gain)
    return (
        f"Class that gains least: {worst.part}, {_part(worst)}; most: {best.part}, {_part(best)}."
    )


def _part(part: PartGain) -> str:
    ends = [number(end, "%", signed=True) for end in (part.low, part.high) if end is not None]
    between = f" [{', '.join(ends)}]" if ends else ""
    return f"{number(part.gain, '%', signed=True)}{between}"


def came_with(effects: Sequence[SideEffects]) -> Section | None:
    """Return what came with each gain, where anything is known of it."""
    known = [e for e in effects if e.calibration or e.overfitting or e.forgetting]
    rows = [
        (*arm(e.verdict), _change(e.calibration), _change(e.overfitting), _change(e.forgetting))
        for e in known
    ]
    if not rows:
        return None
    columns = (*ARM, "calibration error", "overfitting gap", "source task")
    return Section(
        name="beside",
        title="What came with the gains",
        reading="Changes against the baseline in points, with 95 % over seeds on this test set: of "
        "the calibration error (less is better), of train less test score (less is better), and "
        "of the score on the source's own task (below zero is forgotten).",
        tables=(_limited(columns, rows),),
    )


def _change(change: Change | None) -> str | None:
    if change is None or change.change is None:
        return None
    ends = [number(end, "%", signed=True) for end in (change.low, change.high) if end is not None]
    return number(change.change, "%", signed=True) + (f" [{', '.join(ends)}]" if ends else "")


def crossing(curves: Sequence[Curve]) -> Section | None:
    """Return what curves over labels say: where they begin, end and cross."""
    legend = Legend()
    write = Writer(UNICODE, legend)
    rows = [
        (
            *(curve.target, curve.source or NO_SOURCE, curve.strategy, curve.baseline),
            write.crossover(curve.measures.crossover, Axis.LABELS),
            write.measure(curve.measures.jumpstart, signed=True),
            write.measure(curve.measures.asymptotic.gain, signed=True),
            write.measure(curve.measures.area.gain, signed=True),
            write.measure(curve.measures.efficiency),
            _charged(curve, write),
        )
        for curve in curves
        if not curve.placebo
    ]
    if not rows:
        return None
    columns = (
        *("target", "source", "strategy", "over", "crossover", "first budget", "last budget"),
        *("mean over log labels", "label efficiency", "source's labels charged"),
    )
    return Section(
        name="crossover",
        title="From how many labels on a source no longer helps",
        reading="The crossover is the bracket of budgets in which the gain ceases to be shown. "
        "Gains are in points with 95 % intervals, not corrected; label efficiency is how many "
        "times the labels the baseline needs for the same score.",
        tables=(_limited(columns, rows),),
        lines=tuple(legend.lines()),
    )


def _charged(curve: Curve, write: Writer) -> str | None:
    return None if curve.charged is None else write.measure(curve.charged.efficiency)


def _limited(columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> Table:
    more = len(rows) - MOST_LINES
    caption = f"The first {MOST_LINES} lines; {more} more are left out." if more > 0 else ""
    return Table(columns=columns, rows=tuple(rows[:MOST_LINES]), caption=caption)
