"""The table of verdicts: what helped, what hurt, what made no difference, what is undecided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import FIELDS, TRANSFER, Verdict
from transfergrid.report.tables.columns import (
    LATEX,
    MARKDOWN,
    TERMINAL,
    Align,
    Column,
    Group,
    Line,
    Medium,
    Page,
    Table,
)
from transfergrid.report.tables.escaping import raised_in_latex
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.wording import names as naming
from transfergrid.report.wording import verdict_words as said
from transfergrid.report.wording import words
from transfergrid.report.wording.foreseen import cannot_tell, needed, sees
from transfergrid.report.wording.verdict_legend import Notes, legend
from transfergrid.report.wording.words import Symbols

_STYLES = {
    Kind.POSITIVE: "green",
    Kind.NEGATIVE: "red",
    Kind.EQUIVALENT: "cyan",
    Kind.HARM_RULED_OUT: "dim green",
    Kind.GAIN_RULED_OUT: "dim red",
}
_LONG = (Kind.HARM_RULED_OUT, Kind.GAIN_RULED_OUT)


def sheet(
    verdicts: Sequence[Verdict], footer: Iterable[str] = (), correction: str = "holm"
) -> Sheet:
    """Return verdicts as a sheet.

    Args:
        verdicts: in the order of `judge`: by target, labels and baseline.
        footer: the closing lines, such as the study's declaration and failed cells.
        correction: the value of `Rules.correction`, to be named.
    """
    footer = list(footer)
    return Sheet(
        lambda medium: _page(verdicts, footer, correction, medium),
        lambda: as_rows(verdicts),
        keys=FIELDS,
    )


def as_rows(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return plain rows, ready for JSON or a data frame; None where the data cannot tell."""
    return [verdict.as_dict() for verdict in verdicts]


def _page(
    verdicts: Sequence[Verdict], footer: Sequence[str], correction: str, medium: Medium
) -> Page:
    verdicts, common = naming.told(verdicts)
    summary, left = said.summary(verdicts), said.not_compared(verdicts)
    verdicts = [verdict for verdict in verdicts if verdict.n]
    how = legend(verdicts, correction, None if medium.format == LATEX else medium.symbols)
    return Page(
        tables(verdicts, Notes(verdicts), _columns, medium, lambda v: v.n, correction),
        above=common,
        below=[*how, *([Line(summary, "bold")] if summary else []), *left, *footer],
        empty="Nothing to compare yet.",
    )


def tables(
    rows: Sequence[Verdict],
    notes: Notes,
    columns: Callable[[Notes, Medium], list[Column[Verdict]]],
    medium: Medium,
    seeds: Callable[[Verdict], int],
    correction: str = "",
) -> list[Table[Verdict]]:
    """Return a table for each target and label budget, a group of rows for each baseline.

    Args:
        rows: the rows, in order.
        notes: the notes of the rows.
        columns: returns the columns; the column of seeds is omitted if all rows have the same
            number.
        medium: the output format.
        seeds: returns the number of seeds of a row.
        correction: the value of `Rules.correction`; empty if nothing was decided.
    """
    sections = words.sections(rows)
    s = medium.symbols
    alike = medium.format == TERMINAL and all(len({*map(seeds, of)}) == 1 for of in sections)
    shown = [column for column in columns(notes, medium) if column.head != "n" or not alike]
    return [
        Table(
            shown,
            [part for g in said.groups(section) for part in _groups(g, correction, medium)],
            title=medium.joined(*said.title(section, [*map(seeds, section)])),
            above=[
                *([Line(short, "yellow")] if (short := words.short_labels(section)) else []),
                *([Line(beside)] if (beside := said.beside(section)) else []),
                *([Line(known)] if correction and (known := said.resolution(section, s)) else []),
            ],
        )
        for section in sections
    ]


def _groups(group: Sequence[Verdict], correction: str, medium: Medium) -> Iterator[Group[Verdict]]:
    """Yield the family, then the other arms over the same baseline, which belong to no family."""
    if not group[0].baseline:
        yield Group(group)
        return
    kinds = {kind: list(found) for kind, found in groupby(group, key=lambda v: v.kind)}
    yield Group(kinds.pop(TRANSFER, []), said.header(group, correction, medium.symbols))
    for kind, found in kinds.items():
        apart = f"{said.APART[kind]}: not in the family" if correction else said.APART[kind]
        yield Group(found, apart, inner=True)


def names(symbols: Symbols) -> list[Column[Verdict]]:
    """Return the columns that name an arm."""
    return [
        Column("source", lambda v: said.source(v, symbols), least=10),
        Column("strategy", lambda v: v.strategy, least=10),
    ]


def _columns(notes: Notes, medium: Medium) -> list[Column[Verdict]]:
    symbols, right, number = medium.symbols, Align.RIGHT, Align.NUMBER

    def gain(verdict: Verdict) -> str:
        return f"{said.gain(verdict, symbols)} {said.interval(verdict, symbols)}".strip()

    def p(verdict: Verdict) -> str:
        corrected = verdict.p_corrected
        return said.p_value(verdict.p if corrected is None else corrected, symbols)

    def outcome(verdict: Verdict) -> str:
        return said.outcome(verdict, symbols)

    def lettered(verdict: Verdict) -> str:
        between = "\n" if verdict.verdict in _LONG else " "  # long words leave no room for letters
        return f"{outcome(verdict)}{between}{notes.letters(verdict)}".rstrip()

    def words_of(verdict: Verdict) -> str:
        return str(verdict.verdict) + (" (beyond)" if len(said.mark(verdict)) == 2 else "")

    def foreseen(verdict: Verdict) -> str:
        return sees(verdict, symbols)

    heads = {MARKDOWN: "gain [95 %, uncorrected]", LATEX: r"gain [95\,\%]"}
    return [
        *names(symbols),
        # right-aligned, scores and p seldom fill their columns
        Column("score", lambda v: said.score(v, symbols), right, gap=1),
        Column("n", lambda v: str(v.n), right, heads={LATEX: "$n$"}),
        Column("gain", gain, number, heads=heads, style=_style),
        Column("p", p, right, gap=1, heads={MARKDOWN: "p corrected", LATEX: "$p$"}),
        Column("verdict", lettered, style=_style, formats=(TERMINAL,)),
        Column("", foreseen, below="gain", style=lambda _: "dim", formats=(TERMINAL,)),
        Column("verdict", outcome, formats=(MARKDOWN,)),
        Column("if undecided", foreseen, formats=(MARKDOWN,)),
        Column("notes", notes.letters, formats=(MARKDOWN,)),
        Column("verdict", words_of, formats=(LATEX,)),
        Column("", _seen, right, heads={LATEX: r"sees $\ge$"}, formats=(LATEX,)),
        Column("more seeds", _seeds, right, formats=(LATEX,)),
        Column("", notes.letters, formats=(LATEX,), latex=raised_in_latex),
    ]


def _style(verdict: Verdict) -> str:
    return _STYLES.get(verdict.verdict, "")


def _seen(verdict: Verdict) -> str:
    told = verdict.verdict is Kind.UNDECIDED and not cannot_tell(verdict)
    return said.number(verdict.detectable, verdict) if told and verdict.detectable else ""


def _seeds(verdict: Verdict) -> str:
    told = verdict.verdict is Kind.UNDECIDED and verdict.seeds_needed is not None
    return needed(verdict) if told else ""
