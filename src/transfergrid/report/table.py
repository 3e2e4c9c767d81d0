"""The closing table: what helped, what hurt, by how much, and how far that can be trusted."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, TextIO

from transfergrid.evidence.verdicts import Verdict
from transfergrid.records.errors import check_known
from transfergrid.report import exports, words
from transfergrid.report import names as naming
from transfergrid.report.copies import copies
from transfergrid.report.terminal import Terminal, console
from transfergrid.report.words import ASCII, UNICODE, Symbols, Told

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

FORMATS = ("table", "markdown", "csv", "json")
_STYLES = {UNICODE.up: "green", UNICODE.down: "red"}
_SPACE = 2  # characters between two columns
_NARROWEST = 13  # a source name of this length still tells something


def show(
    rows: Sequence[Verdict],
    *,
    failed: Iterable[Told] = (),
    skipped: Iterable[Told] = (),
    file: TextIO | None = None,
) -> None:
    """Print the table as wide, as colourful and in such characters as the terminal takes."""
    terminal = Terminal.of(file)
    text = render(
        rows,
        failed=failed,
        skipped=skipped,
        width=terminal.width,
        color=terminal.color,
        ascii_only=terminal.symbols is ASCII,
    )
    terminal.write(text)


def render(
    rows: Sequence[Verdict],
    *,
    failed: Iterable[Told] = (),
    skipped: Iterable[Told] = (),
    format: str = "table",
    width: int = 80,
    color: bool = False,
    ascii_only: bool = False,
) -> str:
    """Return the table as text.

    Args:
        rows: as `evidence.measuring.measure` orders them.
        failed: failed cells, each in words and with its reason (`words.told`).
        skipped: cells that were left out, each in words and with its reason.
        format: "table", "markdown", "csv" or "json"; the last two hold the rows alone.
        width: columns of the terminal.
        color: whether to write colour codes.
        ascii_only: whether to keep to ASCII characters of our own.

    Raises:
        BadInputError: there is no such format.
    """
    check_known("format", format, FORMATS)
    if format == "json":
        return exports.as_json(rows)
    if format == "csv":
        return exports.as_csv(rows)
    rows, common = naming.told(rows)
    if format == "markdown":
        return exports.as_markdown(rows, [*common, *_footer(rows, failed, skipped, UNICODE)])
    symbols = ASCII if ascii_only else UNICODE
    layout = _Layout(rows, width, symbols)
    return layout.text(common, _footer(rows, failed, skipped, symbols), color)


def _footer(
    rows: Sequence[Verdict], failed: Iterable[Told], skipped: Iterable[Told], symbols: Symbols
) -> list[str]:
    """Return what a reader must know to read the numbers, one line of any length each."""
    lines = []
    if any(row.gain is not None for row in rows):
        lines += [
            f"{symbols.up} above, {symbols.down} below the baseline, {symbols.covers} interval "
            "over zero: uncorrected for the number of comparisons, and no verdicts.",
            f"Gains are points, paired by seed; 95 % intervals {words.coverage(rows)}.",
        ]
    if any(words.is_unmarked(row) for row in rows):
        lines.append(
            f"{symbols.unmarked} not marked: interval for new seeds on this test set only, whose "
            "luck seeds do not average out."
        )
    if any(row.group is not None and row.gain is not None for row in rows):
        lines.append(words.GROUPS)
    if words.is_all_one_checkpoint(rows):
        lines.append(words.CHECKPOINTS)
    lines += words.Notes(rows).legend()
    lines += copies(rows)
    lines += words.cut_texts(rows)
    lines += words.no_validation(rows)
    lines += words.untested(rows)
    for what, cells in (("failed", list(failed)), ("left out", list(skipped))):
        if cells:
            lines.append(f"{len(cells)} cell{'s' if len(cells) != 1 else ''} {what}:")
            lines += words.grouped_reasons(cells, symbols)
    return lines


class _Layout:
    """One table's columns, as wide as its rows need and the terminal has."""

    def __init__(self, rows: Sequence[Verdict], width: int, symbols: Symbols) -> None:
        self.rows, self.width, self.symbols = rows, width, symbols
        self.notes = words.Notes(rows)
        self.many_architectures = len({row.architecture for row in rows if row.architecture}) > 1
        self.gain_digits = max((len(self._gain_number(row)) for row in rows), default=0)
        self.with_n = not all(words.seeds(section) for section in words.sections(rows))
        self.widths = self._widths()
        self.short = [self._shortened(column) for column in (0, 1)]

    def text(self, common: Sequence[str], footer: Sequence[str], color: bool) -> str:
        out = io.StringIO()
        width = max(self.width, sum(self.widths) + _SPACE * len(self.widths))
        self._print(console(out, color, width), common, footer)
        return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())

    def _print(self, console: Console, common: Sequence[str], footer: Sequence[str]) -> None:
        from rich.text import Text

        for line in common:
            console.print(Text(line, style="dim"))
        if common:
            console.print()
        if not self.rows:
            console.print(Text("No results yet."))
        for section in words.sections(self.rows):
            for part in self._section(section):
                console.print(part)
            console.print()
        for line in footer:
            for text in textwrap.wrap(line, self.width, subsequent_indent="    "):
                console.print(Text(text))

    def _section(self, section: Sequence[Verdict]) -> Iterable[RenderableType]:
        from rich.text import Text

        first, dot = section[0], f" {self.symbols.dot} "
        spread = f"mean {self.symbols.plus_minus} sd"
        over = words.seeds(section)
        told = (
            words.labels_of(section),
            words.metric(first),
            spread + (over and f" over {over}"),
        )
        yield Text(dot.join((first.target, *told)), style="bold")
        if short := words.short_labels(section):
            yield Text(short, style="yellow")
        for position, (header, group) in enumerate(groupby(section, key=self._header)):
            if header:
                yield Text(f"{self.symbols.line * 2} {header}", style="italic")
            yield self._table(list(group), with_header=position == 0)

    def _header(self, row: Verdict) -> str:
        """Name what the rows below are compared with, and of which architecture they are."""
        if not row.baseline:
            return ""
        architecture = row.architecture if self.many_architectures else None
        return f"gain over {words.over(row)}" + (f" ({architecture})" if architecture else "")

    def _table(self, rows: Sequence[Verdict], with_header: bool) -> RenderableType:
        from rich.table import Table

        table = Table(box=None, show_header=with_header, padding=(0, _SPACE, 0, 0), pad_edge=False)
        for (name, right), width in zip(self._columns(), self.widths, strict=True):
            table.add_column(name, width=width, no_wrap=True, justify="right" if right else "left")
        for row in rows:
            table.add_row(*self._cells(row))
        return table

    def _columns(self) -> list[tuple[str, bool]]:
        """Return each column's header and whether it is set to the right."""
        columns = [("source", False), ("strategy", False), ("score", True)]
        columns += [("n", True)] if self.with_n else []
        return [*columns, ("gain, uncorrected 95 %", False), ("s", True)]

    def _cells(self, row: Verdict) -> list[RenderableType]:
        from rich.text import Text

        texts = self._texts(row)
        cut = [self.short[i][texts[i]] for i in (0, 1)]
        style = _STYLES.get(words.mark(row), "")
        gain = len(texts) - 2
        return [
            Text(text, style=style if i == gain else "")
            for i, text in enumerate([*cut, *texts[2:]])
        ]

    def _texts(self, row: Verdict) -> list[str]:
        n = [str(row.arm_n)] if self.with_n else []
        scored = words.score(row, self.symbols)
        return [
            self._source(row),
            row.strategy,
            scored,
            *n,
            self._gain(row),
            words.seconds(row.seconds or 0.0),
        ]

    def _source(self, row: Verdict) -> str:
        if row.source:
            return row.source
        return f"({row.architecture})" if row.architecture else self.symbols.nothing

    def _gain_number(self, row: Verdict) -> str:
        return "" if row.gain is None else words.number(row.gain, row.unit, signed=True)

    def _gain(self, row: Verdict) -> str:
        letters = self.notes.letters(row)
        if row.gain is None:
            return f"  {self.symbols.nothing if row.baseline else ''} {letters}".rstrip()
        shown = self._gain_number(row).rjust(self.gain_digits)
        interval = words.interval(row, self.symbols)
        return f"{words.mark(row, self.symbols)} {shown} {interval} {letters}".rstrip()

    def _widths(self) -> list[int]:
        """Return the columns' widths; names give way where the terminal is narrow."""
        lines = [[name for name, _ in self._columns()], *(self._texts(row) for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        room = max(self.width - sum(widths[2:]) - _SPACE * (len(widths) - 1), 2 * _NARROWEST)
        widths[0] = max(min(widths[0], room - widths[1]), min(widths[0], _NARROWEST))
        widths[1] = min(widths[1], room - widths[0])
        return widths

    def _shortened(self, column: int) -> dict[str, str]:
        names = [self._texts(row)[column] for row in self.rows]
        return naming.shortened(names, self.widths[column], self.symbols.cut)
