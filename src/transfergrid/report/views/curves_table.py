"""Tables of transfer curves: one for each kind of measure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import itemgetter

from transfergrid.evidence.curves.measures import A_CLASS, Axis, counted_by, last_points
from transfergrid.evidence.curves.results import Curve, NoCurve
from transfergrid.records.metrics import is_of_numbers
from transfergrid.records.printing import in_one_line
from transfergrid.report.tables.columns import Align, Column, Group, Medium, Page, Table
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.views import curves_exports
from transfergrid.report.wording import names as naming
from transfergrid.report.wording import words
from transfergrid.report.wording.curves_words import Writer, heading, number
from transfergrid.report.wording.words import Letters, Symbols, ends

_Cells = tuple[str, ...]


def _block(
    curves: Sequence[Curve], title: str, heads: Sequence[str], rows: Sequence[_Cells]
) -> Table[_Cells]:
    """Return the table of one kind of measure, with one row per curve."""
    told = [(c.source or "", c.strategy, *row) for c, row in zip(curves, rows, strict=True)]
    columns = [
        Column[_Cells]("source", itemgetter(0), least=8),
        Column[_Cells]("strategy", itemgetter(1), least=10),
        *(Column[_Cells](head, itemgetter(i), Align.NUMBER) for i, head in enumerate(heads, 2)),
    ]
    return Table(columns, [Group(told)], title=title, inner=True)


def sheet(
    curves: Sequence[Curve], none: Sequence[NoCurve] = (), footer: Iterable[str] = ()
) -> Sheet:
    """Return curves as a sheet.

    Args:
        curves: in the order of `evidence.curves`.
        none: the arms without a curve.
        footer: the closing lines.
    """
    footer = list(footer)
    return Sheet(
        lambda medium: _page(curves, none, footer, medium),
        lambda: curves_exports.as_rows(curves),
        lambda: [curves_exports.plain(curve) for curve in curves],
        curves_exports.COLUMNS,
    )


def _page(
    curves: Sequence[Curve], none: Sequence[NoCurve], footer: Sequence[str], medium: Medium
) -> Page:
    symbols, legend = medium.symbols, Letters()
    writer = Writer(symbols, legend)
    curves, common = naming.told(curves)
    tables: list[Table[_Cells]] = []
    for section in sections(curves):
        told = (*heading(section[0]), f"over {section[0].baseline}")
        tables.append(Table(title=medium.joined(*told)))
        tables += blocks(section, writer)
    none = [in_one_line(found) for found in none]
    how = [*_footer(curves, symbols), *legend.lines(), *_left_out(none, symbols)]
    return Page(tables, above=common if curves else [], below=[*how, *footer], empty="No curves.")


def sections(curves: Iterable[Curve]) -> list[list[Curve]]:
    """Return the curves split by target, label budget, baseline, points and seeds."""

    def same(curve: Curve) -> tuple[object, ...]:
        xs = tuple(point.x for point in curve.points)
        return curve.target, curve.labels, curve.baseline, curve.against, xs, curve.n

    return [list(part) for _, part in groupby(curves, key=same)]


def blocks(curves: Sequence[Curve], writer: Writer) -> list[Table[_Cells]]:
    """Return the tables of one section."""
    writer = writer.of(curves)
    axis = curves[0].against
    first, last = curves[0].points[0].x, curves[0].points[-1].x
    at = f"{{:.4g}} {writer.by}" if axis is Axis.LABELS else "step {:.4g}"
    k = last_points(len(curves[0].points))
    end = at.format(last) if k == 1 else f"last {k}"
    unit = f"labels {writer.by}" if axis is Axis.LABELS else "steps"
    over = "over log labels" if axis is Axis.LABELS else "over steps"
    block = partial(_block, curves)
    found = [
        block(
            "Gain where the curves begin (jumpstart) and end (asymptotic gain)",
            (f"jumpstart, {at.format(first)}", f"asymptotic, {end}"),
            [(writer.gain(c.measures.jumpstart), writer.gain(c.measures.asymptotic.gain))
             for c in curves],
        ),
        _area(curves, writer, over),
        block(
            "Arm vs baseline [difference]: early rise per doubling; train less test",
            ("slope", "overfitting gap"),
            [(writer.sides(c.measures.slope), writer.sides(c.overfitting)) for c in curves],
        ),
        block(
            f"{unit.capitalize()} to reach a score p, arm vs baseline; efficiency: their ratio",
            ("p", unit.split()[0], "efficiency"),
            [_threshold_cells(c, writer) for c in curves],
        ),
        block(
            "Crossover: where the gain's uncorrected interval leaves the side above zero",
            ("last above zero and next; mean 0 [interval]",),
            [(writer.crossover(c.measures.crossover, axis),) for c in curves],
        ),
        block(
            "With the cost of making the source charged to the arm",
            ("cost", "gain, area", "efficiency", "pays off from"),
            [_charged_cells(c, writer) for c in curves],
        ),
    ]  # fmt: skip
    if any(c.beside for c in curves):
        found.insert(1, _beside(curves, writer))
    return found


def _area(curves: Sequence[Curve], writer: Writer, over: str) -> Table[_Cells]:
    """Return the table of gains in area, with the ratio of areas if chance is defined."""
    title, gains = f"Area: gain in mean score {over}", [c.measures.area.gain for c in curves]
    if is_of_numbers(curves[0].metric):
        return _block(curves, title, ("area",), [(writer.gain(gain),) for gain in gains])
    ratios = [writer.signed(c.measures.transfer_ratio, 2) for c in curves]
    return _block(
        curves,
        f"{title}; transfer ratio, above chance",
        ("area", "(A_TL - A_0) / A_0"),
        list(zip(map(writer.gain, gains), ratios, strict=True)),
    )


def _beside(curves: Sequence[Curve], writer: Writer) -> Table[_Cells]:
    first = next(curve.beside for curve in curves if curve.beside)
    return _block(
        curves,
        f"Gain beside the curve: all labels, some {first.x:.4g} a class, drawn as they come",
        ("gain",),
        [(_beside_cell(curve, writer),) for curve in curves],
    )


def _beside_cell(curve: Curve, writer: Writer) -> str:
    point = curve.beside
    if point is None or point.gain is None:
        return writer.symbols.nothing
    mark = words.side(point.gain_low, point.gain_high, writer.symbols)
    low, high = ends(point.gain_low, point.gain_high, curve.unit) or (None, None)
    interval = writer.interval(low, high, 1, True)
    return f"{mark} {number(point.gain, 1, True)} {interval}".rstrip()


def _threshold_cells(curve: Curve, writer: Writer) -> tuple[str, ...]:
    reach, digits = curve.measures.reach, 1 if curve.against is Axis.LABELS else 0
    both = " vs ".join(writer.bare(side, digits) for side in (reach.arm, reach.baseline))
    return (
        number(curve.threshold, writer.digits),
        both,
        writer.measure(curve.measures.efficiency, 2),
    )


def _charged_cells(curve: Curve, writer: Writer) -> tuple[str, ...]:
    if curve.charge is None or curve.charged is None:
        return (f"{writer.symbols.nothing} {writer.legend.letter(curve.cost.note)}", "", "", "")
    cost = f"{number(curve.charge, 0)} {writer.legend.letter(curve.cost.note)}".rstrip()
    pays = writer.bare(replace(curve.break_even, value=_whole(curve.break_even.value)), 0)
    if curve.break_even.value is not None:
        pays += " target" if curve.break_even.value <= 1 else " targets"
    area, times = curve.charged.area.gain, curve.charged.efficiency
    return cost, writer.gain(area), writer.bare(times, 2), pays


def _whole(targets: float | None) -> float | None:
    return None if targets is None else float(math.ceil(targets))


def _footer(curves: Sequence[Curve], symbols: Symbols) -> list[str]:
    """Return the legend of the numbers."""
    if not curves:
        return []
    scopes = Counter(curve.scope for curve in curves)
    lines = [
        f"{symbols.up} above, {symbols.down} below, {symbols.covers} interval over zero. Gains are "
        f"{words.in_units(curves)}, paired by seed, in arm less baseline; intervals are 95 %, "
        f"uncorrected for their number, and no verdicts. They cover {scopes.most_common(1)[0][0]}.",
    ]
    if not any(curve.threshold_given for curve in curves):
        lines.append(
            "p is chosen from each pair: midway through the scores that both mean curves pass "
            "(--threshold gives one for all). <, > are bounds: a curve begins above p, or ends "
            "below it."
        )
    charged = [curve for curve in curves if curve.charge]
    if charged:
        lines += [_charging(charged), _made(curves)]
    if all(curve.one_checkpoint for curve in curves):
        lines.append(words.CHECKPOINTS)
    for note, count in Counter(note for curve in curves for note in curve.notes).items():
        of = "" if count == len(curves) else f" ({count} of {len(curves)} curves)"
        lines.append(f"{note[0].upper()}{note[1:]}{of}.")
    return lines


def _charging(curves: Sequence[Curve]) -> str:
    if curves[0].against is Axis.LABELS:
        shared = any(counted_by(curve.metric) == A_CLASS for curve in curves)
        by_class = "divided by the target's classes, " if shared else ""
        return (
            "Charged are the labels that the source was trained on, "
            f"{by_class}one for one unless --exchange says otherwise; gains are at equal totals. "
            "It pays off once as many targets share the source."
        )
    return (
        "Charged are the steps that the source (and a teacher) was trained for, a step for a step; "
        "gains are then at equal totals. It pays off once as many targets share the source."
    )


def _made(curves: Sequence[Curve]) -> str:
    """Return a line on the cost of the sources, without teachers."""
    told = {}
    for curve in sorted(curves, key=lambda curve: -curve.cost.teacher_steps):
        cost = curve.cost
        if cost.steps and cost.labels and cost.seconds is not None:
            steps = number(cost.steps - cost.teacher_steps, 0)
            labels, seconds = number(cost.labels, 0), number(cost.seconds, 0)
            told[curve.source] = f"{curve.source} {steps} steps on {labels} labels, {seconds} s"
    return f"What sources took: {'; '.join(told.values())}."


def _left_out(none: Sequence[NoCurve], symbols: Symbols) -> list[str]:
    cells = []
    for found in none:
        budget = "" if found.labels is None else f", labels={found.labels}"
        told = f"{found.source} {found.strategy} on {found.target}{budget}"
        cells.append((told, found.reason))
    return words.without_result("without a curve", cells, symbols, "arm")
