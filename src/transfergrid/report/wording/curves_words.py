"""The wording of measures of transfer curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transfergrid.evidence.curves.crossover import Crossover
from transfergrid.evidence.curves.measures import A_CLASS, Axis, Measure, Sides, counted_by
from transfergrid.evidence.curves.results import Curve
from transfergrid.records.metrics import labels_are
from transfergrid.report.wording.words import (
    Letters,
    Symbols,
    bracketed,
    budget,
    digits_of,
    ends,
    metric,
    plural,
    side,
)

RELATIONS = {"=": "", "<=": "≤ ", ">=": "≥ ", "<": "< ", ">": "> "}


class Writer:
    """Writes measures as cells of a table.

    Args:
        symbols: the available characters.
        legend: collects the notes that do not fit into a cell.
        unit: the unit of the scores; gains in per cent are limited to the possible range.
        digits: number of decimals of scores and gains.
        by: the unit of label budgets, in words.
    """

    def __init__(
        self, symbols: Symbols, legend: Letters, unit: str = "", digits: int = 1, by: str = A_CLASS
    ) -> None:
        self.symbols, self.legend = symbols, legend
        self.unit, self.digits, self.by = unit, digits, by

    def of(self, curves: Sequence[Curve]) -> Writer:
        """Return the writer of curves in one metric, with the same legend."""
        first = curves[0]
        by = counted_by(first.metric)
        return Writer(self.symbols, self.legend, first.unit, _digits(curves), by)

    def gain(self, found: Measure) -> str:
        """Return a gain with the mark of its interval, as in "▲ +3.1 [+0.4, +5.8]"."""
        low, high = ends(found.low, found.high, self.unit) or (found.low, found.high)
        return self.signed(replace(found, low=low, high=high))

    def signed(self, found: Measure, digits: int | None = None) -> str:
        """Return a number with the mark of its interval."""
        where = side(found.low, found.high, self.symbols)
        return f"{where} {self.measure(found, digits, signed=True)}"

    def measure(self, found: Measure, digits: int | None = None, signed: bool = False) -> str:
        """Return a number with its interval; if undefined, the letter of the reason."""
        digits = self.digits if digits is None else digits
        letter = self.legend.letter(found.note)
        if found.value is None:
            return f"{self.symbols.nothing} {letter}".rstrip()
        shown = self._related(found, number(found.value, digits, signed))
        interval = self.interval(found.low, found.high, digits, signed)
        return " ".join(part for part in (shown, interval, letter) if part)

    def sides(self, found: Sides) -> str:
        """Return both arms and their difference's interval, as in "3.4 vs 8.2 [-6.2, -3.4]"."""
        digits = self.digits
        shown = [self.bare(side, digits) for side in (found.arm, found.baseline)]
        interval = self.interval(found.gain.low, found.gain.high, digits, True)
        return f"{shown[0]} vs {shown[1]} {interval}".rstrip()

    def bare(self, found: Measure, digits: int = 1) -> str:
        """Return a number without its interval."""
        letter = self.legend.letter(found.note)
        if found.value is None:
            return f"{self.symbols.nothing} {letter}".rstrip()
        return f"{self._related(found, number(found.value, digits))} {letter}".rstrip()

    def interval(
        self, low: float | None, high: float | None, digits: int, signed: bool = False
    ) -> str:
        """Return an interval; an end that the points do not reach is a dash."""
        if low is None and high is None:
            return ""
        return bracketed((low, high), lambda end: self._end(end, digits, signed))

    def _end(self, end: float | None, digits: int, signed: bool) -> str:
        return self.symbols.nothing if end is None else number(end, digits, signed)

    def crossover(self, found: Crossover, axis: Axis) -> str:
        """Return where the interval is last above zero and where the mean gain reaches zero.

        As in "between 20 and 144 a class, mean 0 at 61.0 [31.2, –]".
        """
        letter = self.legend.letter(found.note)
        after, before = found.after, found.before
        if found.kind == "between" and after is not None and before is not None:
            digits = 1 if axis is Axis.LABELS else 0
            interval = self.interval(found.low, found.high, digits)
            mean = "above 0" if found.value is None else f"0 at {number(found.value, digits)}"
            span = f"{after:.4g} and {before:.4g}"
            told = f"between {span} {self.by}" if axis is Axis.LABELS else f"between steps {span}"
            return " ".join(part for part in (f"{told}, mean {mean}", interval, letter) if part)
        if found.kind == "beyond" and after is not None:
            told = f"{after:.4g} {self.by}" if axis is Axis.LABELS else f"step {after:.4g}"
            return f"beyond {told}: above zero at the last {letter}".rstrip()
        never = found.kind == "never helps"
        return f"{'above zero nowhere' if never else self.symbols.nothing} {letter}".rstrip()

    def _related(self, found: Measure, shown: str) -> str:
        sign = RELATIONS[found.relation]
        if self.symbols.nothing.isascii():
            sign = sign.replace("≤", "<=").replace("≥", ">=")
        return f"{sign}{shown}"


def number(value: float, digits: int = 1, signed: bool = False) -> str:
    """Return a number as text; large ones without decimals, and never "-0"."""
    digits = 0 if abs(value) >= 1000 else digits
    return f"{round(value, digits) + 0.0:{'+' if signed else ''},.{digits}f}"


def _digits(curves: Sequence[Curve]) -> int:
    """Return the number of decimals for the scores of curves in one metric."""
    if curves[0].unit == "%":
        return 1
    means = [mean for c in curves for p in c.points for mean in (p.arm_mean, p.baseline_mean)]
    return digits_of(max((abs(mean) for mean in means if mean is not None), default=0.0))


def heading(curve: Curve) -> tuple[str, ...]:
    """Return the heading of a section of curves: target, metric, axis and seeds."""
    places = ", ".join(f"{point.x:.4g}" for point in curve.points)
    first, last = curve.points[0].x, curve.points[-1].x
    told = [metric(curve), f"against labels {counted_by(curve.metric)}: {places}"]
    if curve.against is Axis.STEPS:
        given = budget(0 if curve.labels is None else curve.labels, labels_are(curve.metric))
        told = [given, f"validation {metric(curve)}", f"steps {first:g} to {last:g}"]
    return (curve.target, *told, plural(curve.n, "seed"))
