"""Transfer curves in a terminal and in markdown: a table for each kind of measure."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from transfergrid.evidence.curves.measures import Axis, last_points
from transfergrid.evidence.curves.results import Curve, NoCurve
from transfergrid.records.errors import check_known
from transfergrid.records.printing import in_one_line
from transfergrid.report import curves_exports, words
from transfergrid.report import names as naming
from transfergrid.report.curves_words import Legend, Writer, amount, heading, number
from transfergrid.report.escaping import in_markdown, markdown_row
from transfergrid.report.words import ASCII, UNICODE, Symbols, ends

FORMATS = ("table", "markdown", "csv", "json")
_SPACE = 2
_NARROWEST = (8, 10)  # a source's and a strategy's name of this length still tell something


@dataclass(frozen=True)
class Block:
    """A table of one kind of measure: what it shows, its columns, a row for each curve."""

    title: str
    headers: tuple[str, ...]
    rows: list[tuple[str, ...]]


def render(
    curves: Sequence[Curve],
    none: Sequence[NoCurve] = (),
    *,
    format: str = "table",
    width: int = 80,
    ascii_only: bool = False,
) -> str:
    """Return curves as text.

    Args:
        curves: as `evidence.curves` orders them.
        none: arms without a curve.
        format: "table", "markdown", "csv" or "json"; the last two hold the curves alone.
        width: columns of the terminal.
        ascii_only: whether to keep to ASCII characters of our own.

    Raises:
        BadInputError: there is no such format.
    """
    check_known("format", format, FORMATS)
    if format == "json":
        return curves_exports.as_json(curves)
    if format == "csv":
        return curves_exports.as_csv(curves)
    symbols, legend = ASCII if ascii_only else UNICODE, Legend()
    writer = Writer(symbols, legend)
    curves, common = naming.told(curves)
    lines = [*common, *([""] if common else [])] if curves else ["No curves."]
    for section in sections(curves):
        head, over = heading(section[0], symbols.dot), f"over {section[0].baseline}"
        if format == "markdown":
            lines += [in_markdown(f"### {head}, {over}"), ""]
        else:
            lines += [*textwrap.wrap(f"{head} {symbols.dot} {over}", width), ""]
        for block in blocks(section, writer):
            lines += _markdown(block) if format == "markdown" else _text(block, width, symbols)
    none = [in_one_line(found) for found in none]
    footer = [*_footer(curves, symbols), *legend.lines(), *_left_out(none, symbols)]
    if format == "markdown":
        return "\n".join([*lines, *(f"- {in_markdown(line.strip())}" for line in footer)]) + "\n"
    for line in footer:
        lines += textwrap.wrap(line, width, subsequent_indent="    ")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def sections(curves: Iterable[Curve]) -> list[list[Curve]]:
    """Split curves by target, label budget, baseline, points and seeds."""

    def same(curve: Curve) -> tuple[object, ...]:
        xs = tuple(point.x for point in curve.points)
        return curve.target, curve.labels, curve.baseline, curve.against, xs, curve.n

    return [list(part) for _, part in groupby(curves, key=same)]


def blocks(curves: Sequence[Curve], writer: Writer) -> list[Block]:
    """Return the tables of one section."""
    writer = writer.of(curves[0].unit)
    axis = curves[0].against
    first, last = curves[0].points[0].x, curves[0].points[-1].x
    at = "{:.4g} a class" if axis is Axis.LABELS else "step {:.4g}"
    k = last_points(len(curves[0].points))
    end = at.format(last) if k == 1 else f"last {k}"
    unit = "labels a class" if axis is Axis.LABELS else "steps"
    over = "over log labels" if axis is Axis.LABELS else "over steps"
    found = [
        Block(
            "Gain where the curves begin (jumpstart) and end (asymptotic gain)",
            (f"jumpstart, {at.format(first)}", f"asymptotic, {end}"),
            [(writer.gain(c.measures.jumpstart), writer.gain(c.measures.asymptotic.gain))
             for c in curves],
        ),
        Block(
            f"Area: gain in mean score {over}; transfer ratio, above chance",
            ("area", "(A_TL - A_0) / A_0"),
            [(writer.gain(c.measures.area.gain), writer.signed(c.measures.transfer_ratio, 2))
             for c in curves],
        ),
        Block(
            "Arm vs baseline [difference]: early rise per doubling; train less test",
            ("slope", "overfitting gap"),
            [(writer.sides(c.measures.slope), writer.sides(c.overfitting)) for c in curves],
        ),
        Block(
            f"{unit.capitalize()} to reach a score p, arm vs baseline; efficiency: their ratio",
            ("p", unit.split()[0], "efficiency"),
            [_threshold_cells(c, writer) for c in curves],
        ),
        Block(
            "Crossover: where the gain's uncorrected interval leaves the side above zero",
            ("last above zero and next; mean 0 [interval]",),
            [(writer.crossover(c.measures.crossover, axis),) for c in curves],
        ),
        Block(
            "With the cost of making the source charged to the arm",
            ("cost", "gain, area", "efficiency", "pays off from"),
            [_charged_cells(c, writer) for c in curves],
        ),
    ]  # fmt: skip
    if any(c.beside for c in curves):
        found.insert(1, _beside(curves, writer))
    return [Block(b.title, ("source", "strategy", *b.headers), _named(curves, b)) for b in found]


def _beside(curves: Sequence[Curve], writer: Writer) -> Block:
    first = next(curve.beside for curve in curves if curve.beside)
    return Block(
        f"Gain beside the curve: all labels, some {first.x:.4g} a class, drawn as they come",
        ("gain",),
        [(_beside_cell(curve, writer),) for curve in curves],
    )


def _beside_cell(curve: Curve, writer: Writer) -> str:
    point = curve.beside
    if point is None or point.gain is None:
        return writer.symbols.nothing
    mark = writer.mark(point.gain_low, point.gain_high)
    low, high = ends(point.gain_low, point.gain_high, curve.unit) or (None, None)
    interval = writer.interval(low, high, 1, True)
    return f"{mark} {number(point.gain, 1, True)} {interval}".rstrip()


def _threshold_cells(curve: Curve, writer: Writer) -> tuple[str, ...]:
    reach, digits = curve.measures.reach, 1 if curve.against is Axis.LABELS else 0
    both = " vs ".join(writer.bare(side, digits) for side in (reach.arm, reach.baseline))
    return number(curve.threshold), both, writer.measure(curve.measures.efficiency, 2)


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


def _named(curves: Sequence[Curve], block: Block) -> list[tuple[str, ...]]:
    return [
        (curve.source or "", curve.strategy, *row)
        for curve, row in zip(curves, block.rows, strict=True)
    ]


def _text(block: Block, width: int, symbols: Symbols) -> list[str]:
    """Return a table's lines; names give way where the terminal is narrow."""
    lines = [block.headers, *block.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(block.headers))]
    room = width - sum(widths[2:]) - _SPACE * (len(widths) - 1)
    widths[1] = max(min(widths[1], room - widths[0]), min(widths[1], _NARROWEST[1]))
    widths[0] = max(min(widths[0], room - widths[1]), min(widths[0], _NARROWEST[0]))
    short = [naming.shortened((line[i] for line in lines), widths[i], symbols.cut) for i in (0, 1)]
    named = [(short[0][line[0]], short[1][line[1]], *line[2:]) for line in lines]
    table = [
        (" " * _SPACE).join(text.ljust(size) for text, size in zip(line, widths, strict=True))
        for line in named
    ]
    return [f"{symbols.line * 2} {block.title}", *table, ""]


def _markdown(block: Block) -> list[str]:
    rows = [block.headers, tuple("---" for _ in block.headers), *block.rows]
    return [f"{block.title}:", "", *map(markdown_row, rows), ""]


def _footer(curves: Sequence[Curve], symbols: Symbols) -> list[str]:
    """Return what a reader must know to read the numbers."""
    if not curves:
        return []
    scopes = Counter(curve.scope for curve in curves)
    lines = [
        f"{symbols.up} above, {symbols.down} below, {symbols.covers} interval over zero. Gains are "
        "points, paired by seed, in arm less baseline; intervals are 95 %, uncorrected for their "
        f"number, and no verdicts. They cover {scopes.most_common(1)[0][0]}.",
    ]
    if not any(curve.threshold_given for curve in curves):
        lines.append(
            "p is chosen from each pair: midway through the scores that both mean curves pass "
            "(--threshold gives one for all). <, > are bounds: a curve begins above p, or ends "
            "below it."
        )
    charges = {amount(c.against, c.charge) for c in curves if c.charge}
    if charges:
        lines += [_charging(curves[0].against), _made(curves)]
    if all(curve.one_checkpoint for curve in curves):
        lines.append(words.CHECKPOINTS)
    for note, count in Counter(note for curve in curves for note in curve.notes).items():
        of = "" if count == len(curves) else f" ({count} of {len(curves)} curves)"
        lines.append(f"{note[0].upper()}{note[1:]}{of}.")
    return lines


def _charging(axis: Axis) -> str:
    if axis is Axis.LABELS:
        return (
            "Charged are the labels that the source was trained on, divided by the target's "
            "classes, one for one unless --exchange says otherwise; gains are at equal totals. "
            "It pays off once as many targets share the source."
        )
    return (
        "Charged are the steps that the source (and a teacher) was trained for, a step for a step; "
        "gains are then at equal totals. It pays off once as many targets share the source."
    )


def _made(curves: Sequence[Curve]) -> str:
    """Say what the sources cost to make, teachers apart."""
    told = {}
    for curve in sorted(curves, key=lambda curve: -curve.cost.teacher_steps):
        cost = curve.cost
        if cost.steps and cost.labels and cost.seconds is not None:
            steps = number(cost.steps - cost.teacher_steps, 0)
            labels, seconds = number(cost.labels, 0), number(cost.seconds, 0)
            told[curve.source] = f"{curve.source} {steps} steps on {labels} labels, {seconds} s"
    return f"What sources took: {'; '.join(told.values())}."


def _left_out(none: Sequence[NoCurve], symbols: Symbols) -> list[str]:
    if not none:
        return []
    cells = [
        (f"{found.source} {found.strategy} on {found.target}{_budget(found)}", found.reason)
        for found in none
    ]
    told = f"{len(none)} arm{'s' if len(none) != 1 else ''} without a curve:"
    return [told, *words.grouped_reasons(cells, symbols)]


def _budget(found: NoCurve) -> str:
    return "" if found.labels is None else f", labels={found.labels}"
