"""The table of verdicts: what helped, what hurt, what made no difference, what nobody can tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from transfergrid.evidence.decisions import Kind
from transfergrid.evidence.verdicts import FIELDS, TRANSFER, Verdict
from transfergrid.report import names as naming
from transfergrid.report import verdict_words as said
from transfergrid.report import words
from transfergrid.report.columns import (
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
from transfergrid.report.escaping import raised_in_latex
from transfergrid.report.foreseen import cannot_tell, needed, sees
from transfergrid.report.sheet import Sheet
from transfergrid.report.verdict_legend import Notes, legend

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
        verdicts: as `judge` orders them: by target, labels and baseline.
        footer: lines that close it, such as the study's declaration and failed cells.
        correction: what `Rules.correction` was, to be named.
    """
    footer = list(footer)
    return Sheet(
        lambda medium: _page(verdicts, footer, correction, medium),
        lambda: as_rows(verdicts),
        keys=FIELDS,
    )


def as_rows(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return plain rows, ready for JSON or a data frame; None is what the data cannot tell."""
    return [verdict.as_dict() for verdict in verdicts]


def _page(
    verdicts: Sequence[Verdict], footer: Sequence[str], correction: str, medium: Medium
) -> Page:
    verdicts, common = naming.told(verdicts)
    summary, left = said.summary(verdicts), said.not_compared(verdicts)
    verdicts = [verdict for verdict in verdicts if verdict.n]
    sections = words.sections(verdicts)
    with_n = medium.format != TERMINAL or any(len({v.n for v in s}) > 1 for s in sections)
    columns = _columns(Notes(verdicts), medium, with_n)
    how = legend(verdicts, correction, None if medium.format == LATEX else medium.symbols)
    return Page(
        [_table(section, columns, correction, medium) for section in sections],
        above=common,
        below=[*how, *([Line(summary, "bold")] if summary else []), *left, *footer],
        empty="Nothing to compare yet.",
    )


def _table(
    section: Sequence[Verdict],
    columns: Sequence[Column[Verdict]],
    correction: str,
    medium: Medium,
) -> Table[Verdict]:
    beside = said.beside(section)
    return Table(
        columns,
        [part for group in said.groups(section) for part in _groups(group, correction, medium)],
        title=medium.joined(*said.title(section)),
        above=[Line(beside)] if beside else [],
    )


def _groups(group: Sequence[Verdict], correction: str, medium: Medium) -> Iterator[Group[Verdict]]:
    """Yield the family, then what is compared with the same baseline and belongs to no family."""
    kinds = {kind: list(found) for kind, found in groupby(group, key=lambda v: v.kind)}
    yield Group(kinds.pop(TRANSFER, []), said.header(group, correction, medium.symbols))
    for kind, found in kinds.items():
        yield Group(found, f"{said.APART[kind]}: not in the family", inner=True)


def _columns(notes: Notes, medium: Medium, with_n: bool) -> list[Column[Verdict]]:
    symbols = medium.symbols

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

    right, number = Align.RIGHT, Align.NUMBER
    named: list[Column[Verdict]] = [
        Column("source", lambda v: said.source(v, symbols), least=10),
        Column("strategy", lambda v: v.strategy, least=10),
        # set to the right, scores and p are seldom as wide as their columns
        Column("score", lambda v: said.score(v, symbols), right, gap=1),
    ]
    heads = {MARKDOWN: "gain [95 %, uncorrected]", LATEX: r"gain [95\,\%]"}
    n = Column[Verdict]("n", lambda v: str(v.n), right, heads={LATEX: "$n$"})
    told: list[Column[Verdict]] = [
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
    return [*named, *([n] if with_n else []), *told]


def _style(verdict: Verdict) -> str:
    return _STYLES.get(verdict.verdict, "")


def _seen(verdict: Verdict) -> str:
    told = verdict.verdict is Kind.UNDECIDED and not cannot_tell(verdict)
    return said.number(verdict.detectable, verdict) if told and verdict.detectable else ""


def _seeds(verdict: Verdict) -> str:
    told = verdict.verdict is Kind.UNDECIDED and verdict.seeds_needed is not None
    return needed(verdict) if told else ""
