"""The table of verdicts: what helped, what hurt, what made no difference, what nobody can tell."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TextIO

from transfergrid.evidence.decisions import Kind
from transfergrid.evidence.verdicts import TRANSFER, Verdict
from transfergrid.records.errors import check_known
from transfergrid.report import names as naming
from transfergrid.report import verdict_exports
from transfergrid.report import verdict_words as said
from transfergrid.report.foreseen import sees
from transfergrid.report.terminal import Terminal, console
from transfergrid.report.verdict_legend import Notes, legend
from transfergrid.report.words import ASCII, UNICODE, Symbols

if TYPE_CHECKING:
    from rich.text import Text

FORMATS = ("table", "json", "csv", "markdown", "latex")
_STYLES = {
    Kind.POSITIVE: "green",
    Kind.NEGATIVE: "red",
    Kind.EQUIVALENT: "cyan",
    Kind.HARM_RULED_OUT: "dim green",
    Kind.GAIN_RULED_OUT: "dim red",
}
_LONG = (Kind.HARM_RULED_OUT, Kind.GAIN_RULED_OUT)
_SPACE = 2  # characters between two columns
_ENOUGH, _NARROWEST = 13, 10  # characters of a name that still tell something
_HEADERS = ("source", "strategy", "score", "n", "gain", "p", "verdict")
_TO_THE_RIGHT = ("score", "n", "p")
_CLOSER = ("score", "p")  # set to the right, and seldom as wide as their column


def show(
    verdicts: Sequence[Verdict],
    footer: Iterable[str] = (),
    *,
    correction: str = "holm",
    file: TextIO | None = None,
) -> None:
    """Print the table as wide, as colourful and in such characters as the terminal takes."""
    terminal = Terminal.of(file)
    text = render(
        verdicts,
        width=terminal.width,
        color=terminal.color,
        ascii_only=terminal.symbols is ASCII,
        footer=footer,
        correction=correction,
    )
    terminal.write(text)


def render(
    verdicts: Sequence[Verdict],
    format: str = "table",
    *,
    width: int = 80,
    color: bool = False,
    ascii_only: bool = False,
    footer: Iterable[str] = (),
    correction: str = "holm",
) -> str:
    """Return verdicts as text.

    Args:
        verdicts: as `judge` orders them: by target, labels and baseline.
        format: "table", "json", "csv", "markdown" or "latex"; JSON and CSV hold the rows alone.
        width: columns of the terminal.
        color: whether to write colour codes.
        ascii_only: whether to keep to ASCII characters of our own.
        footer: lines that close it, such as the study's declaration and failed cells.
        correction: what `Rules.correction` was, to be named.

    Raises:
        BadInputError: there is no such format.
    """
    check_known("format", format, FORMATS)
    if format == "json":
        return verdict_exports.as_json(verdicts)
    if format == "csv":
        return verdict_exports.as_csv(verdicts)
    symbols = ASCII if ascii_only else UNICODE
    verdicts, common = naming.told(verdicts)
    summary = said.summary(verdicts)
    closing = [*([summary] if summary else []), *said.not_compared(verdicts), *footer]
    verdicts = [verdict for verdict in verdicts if verdict.n]
    if format == "latex":
        lines = [*common, *legend(verdicts, correction, None), *closing]
        return verdict_exports.as_latex(verdicts, lines, correction)
    if format == "markdown":
        lines = [*common, *legend(verdicts, correction), *closing]
        return verdict_exports.as_markdown(verdicts, lines, correction)
    lines = legend(verdicts, correction, symbols) + closing
    layout = _Layout(verdicts, width, symbols, correction)
    return layout.text(common, lines, summary, color)


@dataclass(frozen=True)
class _Column:
    header: str
    width: int
    at: int
    """Where it starts."""


class _Layout:
    """One table's columns, as wide as its rows need and the terminal has."""

    def __init__(
        self, verdicts: Sequence[Verdict], width: int, symbols: Symbols, correction: str
    ) -> None:
        self.verdicts, self.width = verdicts, width
        self.symbols, self.correction = symbols, correction
        self.notes = Notes(verdicts)
        sections = said.sections(verdicts)
        self.with_n = any(len({v.n for v in section}) > 1 for section in sections)
        self.gain_digits = max((len(said.gain(v, symbols)) for v in verdicts), default=0)
        self.columns = self._columns()
        self.short = {
            name: naming.shortened(
                [self._cells(v)[name] for v in verdicts], self._column(name).width, symbols.cut
            )
            for name in ("source", "strategy")
        }
        last = self.columns[-1]
        longest = max((len(sees(v, symbols)) for v in verdicts), default=0)
        self.sees_beside = last.at + last.width + _SPACE + longest <= width

    def text(self, common: Sequence[str], lines: Sequence[str], summary: str, color: bool) -> str:
        out = io.StringIO()
        place = console(out, color)
        for line in [*self._above(common), *self._body(), *self._closing(lines, summary)]:
            line.rstrip()
            place.print(line, soft_wrap=True)  # as it is laid out here
        return out.getvalue()

    def _above(self, common: Sequence[str]) -> Iterable[Text]:
        from rich.text import Text

        for line in common:
            yield from self._wrapped(line, "")
        if common:
            yield Text("")

    def _closing(self, lines: Sequence[str], summary: str) -> Iterable[Text]:
        from rich.text import Text

        for line in lines:
            for part in textwrap.wrap(line, self.width, subsequent_indent="    "):
                yield Text(part, style="bold" if line == summary else "")

    def _body(self) -> Iterable[Text]:
        from rich.text import Text

        if not self.verdicts:
            yield Text("Nothing to compare yet.")
        for section in said.sections(self.verdicts):
            yield from self._wrapped(said.title(section, self.symbols), "bold")
            yield from self._wrapped(said.beside(section), "")
            for position, group in enumerate(said.groups(section)):
                yield from self._wrapped(
                    said.header(group, self.correction, self.symbols), "italic"
                )
                if position == 0:
                    yield self._line({column.header: column.header for column in self.columns})
                yield from self._group(group)
            yield Text("")

    def _wrapped(self, line: str, style: str) -> Iterable[Text]:
        from rich.text import Text

        for part in textwrap.wrap(line, self.width, subsequent_indent="   "):
            yield Text(part, style=style)

    def _group(self, group: Sequence[Verdict]) -> Iterable[Text]:
        from rich.text import Text

        for kind, members in groupby(group, key=lambda v: v.kind):
            if kind != TRANSFER:
                apart = f"{self.symbols.line} {said.APART[kind]}: not in the family"
                yield Text(apart, style="italic")
            for verdict in members:
                yield from self._row(verdict)

    def _row(self, verdict: Verdict) -> Iterable[Text]:
        from rich.cells import cell_len
        from rich.text import Text

        cells = self._cells(verdict)
        for name, short in self.short.items():
            cells[name] = short[cells[name]]
        line = self._line(cells, _STYLES.get(verdict.verdict, ""))
        told = sees(verdict, self.symbols)
        if told and self.sees_beside:
            last = self.columns[-1]
            line.append(" " * (last.at + last.width + _SPACE - line.cell_len) + told, style="dim")
        yield line
        if letters := self._letters_below(verdict):
            yield Text(" " * self.columns[-1].at + letters)
        if told and not self.sees_beside:
            room = max(self.width - cell_len(told), 0)
            yield Text(" " * min(self._column("gain").at, room) + told, style="dim")

    def _letters_below(self, verdict: Verdict) -> str:
        """Return the letters that the verdict's own words, which are long, leave no room for."""
        return self.notes.letters(verdict) if verdict.verdict in _LONG else ""

    def _line(self, cells: dict[str, str], style: str = "") -> Text:
        from rich.cells import cell_len
        from rich.text import Text

        line = Text()
        for column in self.columns:
            text = cells[column.header]
            space = " " * (column.width - cell_len(text))
            right = column.header in _TO_THE_RIGHT
            line.append(" " * (column.at - line.cell_len) + (space if right else ""))
            line.append(text, style=style if column.header in ("gain", "verdict") else "")
        return line

    def _cells(self, verdict: Verdict) -> dict[str, str]:
        """Return the text of each column."""
        symbols = self.symbols
        shown = said.gain(verdict, symbols).rjust(self.gain_digits)
        letters = "" if verdict.verdict in _LONG else self.notes.letters(verdict)
        verdict_text = f"{said.outcome(verdict, symbols)} {letters}"
        return {
            "source": said.source(verdict, symbols),
            "strategy": verdict.strategy,
            "score": said.score(verdict, symbols),
            "n": str(verdict.n),
            "gain": f"{shown} {said.interval(verdict, symbols)}".rstrip(),
            "p": said.p_value(
                verdict.p if verdict.p_corrected is None else verdict.p_corrected, symbols
            ),
            "verdict": verdict_text.rstrip(),
        }

    def _columns(self) -> list[_Column]:
        """Return the columns; names give way where the terminal is narrow."""
        from rich.cells import cell_len

        names = [name for name in _HEADERS if name != "n" or self.with_n]
        lines = [dict(zip(names, names, strict=True)), *(self._cells(v) for v in self.verdicts)]
        widths = {name: max(cell_len(line[name]) for line in lines) for name in names}
        gaps = [0, *(_SPACE - (name in _CLOSER) for name in names[1:])]
        rest = sum(widths[name] for name in names[2:]) + sum(gaps)
        room = max(self.width - rest, 2 * _NARROWEST)
        least = min(widths["source"], _ENOUGH, room - _NARROWEST)
        kept = max(min(widths["source"], room - widths["strategy"]), least)
        widths["source"], widths["strategy"] = kept, min(widths["strategy"], room - kept)
        starts = [sum(list(widths.values())[:i]) + sum(gaps[: i + 1]) for i in range(len(names))]
        return [_Column(name, widths[name], at) for name, at in zip(names, starts, strict=True)]

    def _column(self, name: str) -> _Column:
        return next(column for column in self.columns if column.header == name)
