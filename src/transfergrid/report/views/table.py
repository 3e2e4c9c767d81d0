"""The table of gains: what helped, what hurt, by how much, and how reliable that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from transfergrid.evidence.statistics.intervals import THIS_TEST_SET
from transfergrid.evidence.verdicts.notes import ONE_CHECKPOINT
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.report.tables.columns import (
    LATEX,
    MARKDOWN,
    TERMINAL,
    Align,
    Column,
    Medium,
    Page,
)
from transfergrid.report.tables.escaping import raised_in_latex
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.views.verdict_table import names, tables
from transfergrid.report.wording import names as naming
from transfergrid.report.wording import verdict_words as said
from transfergrid.report.wording import words
from transfergrid.report.wording.copies import copies
from transfergrid.report.wording.verdict_legend import Notes, numbers
from transfergrid.report.wording.words import UNICODE, Symbols, Told

_NONE = Verdict(source=None, architecture=None, strategy="", target="", labels=0, baseline="", n=0,
                gain=None, low=None, high=None)  # fmt: skip
_NAMES = ("source", "architecture", "strategy", "target", "labels")
_GAIN = ("gain", "low", "high", "seconds", "metric", "unit", "scope")
_COUNTS = ("unpaired", "failed", "collapsed", "underfit", "stale")
_MARKS = ("is_baseline", "weak_baseline", "one_checkpoint")
_STYLES = {UNICODE.up: "green", UNICODE.down: "red"}


def sheet(
    rows: Sequence[Verdict],
    failed: Iterable[Told] = (),
    skipped: Iterable[Told] = (),
    footer: Iterable[str] = (),
) -> Sheet:
    """Return gains as a sheet.

    Args:
        rows: in the order of `evidence.measured.measuring.measure`.
        failed: failed cells, each with its label and reason (`words.told`).
        skipped: cells that were left out, each with its label and reason.
        footer: the closing lines.
    """
    without = {"failed": list(failed), "left out": list(skipped)}
    footer = list(footer)
    return Sheet(
        lambda medium: _page(rows, without, footer, medium),
        lambda: [_row(row) for row in rows],
        keys=tuple(_row(_NONE)),
    )


def _row(row: Verdict) -> dict[str, Any]:
    """Return a plain row, ready for JSON; None where the data cannot tell."""

    def told(*names: str) -> dict[str, Any]:
        return {name: getattr(row, name) for name in names}

    scores = {"n": row.arm_n, "mean": row.arm_mean, "sd": row.arm_sd}
    remarks = {"short": row.remarks.short, **told("labels_got", "contaminated_by")}
    return {
        **told(*_NAMES),
        "baseline": row.baseline or None,
        **scores,
        **told(*_GAIN),
        "paired": row.n if row.baseline else 0,
        **told(*_COUNTS, *_MARKS),
        **remarks,
        **{name: value for name, value in vars(row.remarks).items() if name != "short"},
        "group": row.group,
    }


def _page(
    rows: Sequence[Verdict], without: dict[str, list[Told]], footer: Sequence[str], medium: Medium
) -> Page:
    rows, common = naming.told(rows)
    notes, symbols = Notes(rows), medium.symbols
    lines = [line for told in without.items() for line in words.without_result(*told, symbols)]
    return Page(
        tables(rows, notes, _columns, medium, lambda row: row.arm_n),
        above=common,
        below=[*_legend(rows, notes, symbols), *lines, *footer],
        empty="No results yet.",
    )


def _legend(rows: Sequence[Verdict], notes: Notes, symbols: Symbols) -> Iterator[str]:
    """Yield the legend of the numbers, lines of any length."""
    unmarked = f", {symbols.unmarked} not marked" if any(map(_is_unmarked, rows)) else ""
    if any(row.gain is not None for row in rows):
        yield (
            f"{symbols.up} above, {symbols.down} below the baseline, {symbols.covers} interval "
            f"over zero{unmarked}: uncorrected for the number of comparisons, and no verdicts."
        )
        yield numbers(rows)
    if any(row.group is not None and row.gain is not None for row in rows):
        yield words.GROUPS
    if any(ONE_CHECKPOINT in row.notes for row in rows):
        yield words.CHECKPOINTS
    yield from notes.legend()
    for told in (copies, words.cut_texts, words.no_validation, words.untested, words.pairs):
        yield from told(rows)


def _columns(notes: Notes, medium: Medium) -> list[Column[Verdict]]:
    symbols, right, number, markup = medium.symbols, Align.RIGHT, Align.NUMBER, (MARKDOWN, LATEX)

    def gain(row: Verdict) -> str:
        if row.gain is None:
            return f"  {symbols.nothing if row.baseline else ''}"
        return f"{_mark(row, symbols)} {said.gain(row, symbols)} {said.interval(row, symbols)}"

    def lettered(row: Verdict) -> str:
        return f"{gain(row)} {notes.letters(row)}".rstrip()

    told, head = "gain, uncorrected 95 %", "gain [95 %, uncorrected]"
    return [
        *names(symbols),
        Column(f"score {symbols.plus_minus} sd", lambda row: _score(row, symbols), right),
        Column("n", lambda row: str(row.arm_n), right),
        Column(told, lettered, number, formats=(TERMINAL,), style=_style),
        Column(head, lambda row: gain(row).strip() or symbols.nothing, number, formats=markup),
        Column("notes", notes.letters, formats=markup, heads={LATEX: ""}, latex=raised_in_latex),
        Column("s", lambda row: words.seconds(row.seconds or 0.0), right),
    ]


def _style(row: Verdict) -> str:
    return _STYLES.get(_mark(row), "")


def _score(row: Verdict, symbols: Symbols = UNICODE) -> str:
    """Return mean and sd as text, as in "93.4 ± 1.2"; an unknown sd is shown as such."""
    if row.arm_mean is None:
        return symbols.nothing
    spread = symbols.nothing if row.arm_sd is None else said.number(row.arm_sd, row)
    return f"{said.number(row.arm_mean, row)} {symbols.plus_minus} {spread}"


def _mark(row: Verdict, symbols: Symbols = UNICODE) -> str:
    """Return the mark for the *uncorrected* interval: above zero, below it, or around it.

    An interval from seeds alone gets no such mark: without any true gain it misses zero in a fifth
    of all cases or more, because seeds do not average out the luck of a test set.
    """
    return symbols.unmarked if _is_unmarked(row) else words.side(row.low, row.high, symbols)


def _is_unmarked(row: Verdict) -> bool:
    """Return whether the row's interval is from seeds alone, and holds for this test set only."""
    return row.low is not None and row.scope == THIS_TEST_SET
