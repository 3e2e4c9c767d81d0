"""The wording of numbers, arms and warnings, the same in every output."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from string import ascii_lowercase
from typing import Protocol, TypeVar

from transfergrid.evidence.measured.results import AnyCell
from transfergrid.evidence.statistics.intervals import (
    SEEDS_AND_GROUPS,
    SEEDS_AND_ITEMS,
    THESE_MODELS,
    THIS_MODEL,
    THIS_TEST_SET,
)
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.cell import Labels
from transfergrid.records.points import points, unit
from transfergrid.records.record import Metric, Record

End = TypeVar("End")
Told = tuple[str, str]
"""A cell's label, and the reason why it has no result."""


@dataclass(frozen=True)
class Symbols:
    """The special characters that outputs use."""

    up: str = "↑"
    down: str = "↓"
    """Marks for an uncorrected interval above or below zero; verdicts have their own marks."""
    covers: str = "·"
    unmarked: str = "○"
    plus_minus: str = "±"
    nothing: str = "–"
    cut: str = "…"
    dot: str = "·"
    times: str = "×"
    line: str = "─"


UNICODE = Symbols()
ASCII = Symbols("^", "v", ".", "o", "+-", "-", "~", "|", "x", "-")


def number(value: float, unit: str, signed: bool = False) -> str:
    """Return a score or gain as text: points with one decimal, others with three; never "-0.0".

    Scores in a unit of their own may have any size: small ones get three significant digits, and
    large ones no decimals.
    """
    sign, own = "+" if signed else "", unit != "%"
    if abs(value) >= (10_000_000 if own else 10_000):
        return f"{value:{sign}.0e}"  # an uninformative interval, abbreviated
    if own and 0 < abs(value) < 0.001:
        return f"{value:{sign}.3g}"
    digits = 1 if not own else (0 if abs(value) >= 1_000 else 3)
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"


def digits_of(largest: float) -> int:
    """Return the number of decimals for scores in a unit of their own, up to this size.

    Three from 0.1 to 10, otherwise enough for four significant digits.
    """
    if not 0 < largest < math.inf or 0.1 <= largest < 10:
        return 3
    return min(max(3 - math.floor(math.log10(largest)), 0), 12)


MOST = 100.0
"""The largest difference of two scores in per cent."""


def ends(
    low: float | None, high: float | None, unit: str, se: float | None = None
) -> tuple[float, float] | None:
    """Return the ends of a gain's interval for display: no wider than the metric allows.

    Args:
        low: the computed end; None if the interval is practically infinite, or does not exist.
        high: likewise.
        unit: the gain's unit; per cent cannot differ by more than `MOST`.
        se: the standard error; without it there is no interval.
    """
    if low is None or high is None:
        return (-MOST, MOST) if unit == "%" and se is not None else None
    return (max(low, -MOST), min(high, MOST)) if unit == "%" else (low, high)


def bracketed(shown: tuple[End, End] | None, write: Callable[[End], str]) -> str:
    """Return the ends of an interval as text, as in "[+0.3, +3.9]"; empty without ends."""
    return f"[{', '.join(map(write, shown))}]" if shown else ""


def scored(record: Record) -> str:
    """Return a cell's score as text, as in "93.4 %", or in the metric's own unit."""
    if record.score is None:
        return "not defined"
    mark = unit(record.metric)
    return f"{number(record.score * points(record.metric), mark)} {mark}".rstrip()


def gained(gain: float, metric: Metric) -> str:
    """Return the gain of a cell as text, as in "+2.1 points", or in the metric's own unit."""
    mark = unit(metric)
    return number(gain, mark, signed=True) + (" points" if mark else f" in {metric.name}")


def side(low: float | None, high: float | None, symbols: Symbols = UNICODE) -> str:
    """Return the mark for where an interval lies: above zero, below it, or around it."""
    if low is None or high is None:
        return " "
    if low > 0:
        return symbols.up
    return symbols.down if high < 0 else symbols.covers


def seconds(value: float) -> str:
    """Return seconds as text with two or more digits."""
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


class InUnit(Protocol):
    """Objects with a metric and a unit: verdicts and curves."""

    @property
    def metric(self) -> str: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102


def in_units(rows: Iterable[InUnit]) -> str:
    """Return the unit of gains in words: points, the metric's own unit, or one by target."""
    units = {row.unit for row in rows}
    if units <= {"%"}:
        return "points"
    own = "in the metric's units, more is better"
    return own if "%" not in units else f"points, or where there is no % {own}"


def gains_in(rows: Iterable[InUnit]) -> str:
    """Return the unit of gains as words after a noun, as in "the gain in points"."""
    told = in_units(rows)
    return told if told.startswith("in ") else f"in {told}"


def labels_of(section: Sequence[Verdict], counts: str | None = None) -> str:
    """Return a section's label budget in words (see `budget`), or the labels that it really got."""
    counts = counts or str(getattr(section[0], "labels_are", "class"))
    got = [one.labels_got for one in section if one.labels_got]
    if not got:
        return budget(section[0].labels, counts)
    low, high = min(fewest for fewest, _ in got), max(most for _, most in got)
    span = f"{low:,} to {high:,}" if low < high else f"{low:,}"
    return f"{span} labels {_of(counts)} ({section[0].labels:,} asked for)"


def budget(labels: Labels, counts: str = "class") -> str:
    """Return a label budget in words; it counts labels per "class", the "total" or "percent"."""
    if labels == "all":
        return "all target labels"
    if labels == 0:
        return "no target labels"
    if counts == "percent":
        return f"{labels} % of the target labels"
    return f"{labels} label{'s' if labels > 1 else ''} {_of(counts)}"


def _of(counts: str) -> str:
    return "in total" if counts == "total" else "a class"


def plural(count: int | str, what: str) -> str:
    """Return a count with its noun, as in "1 seed", "5 to 10 seeds" and "1,000 seeds"."""
    told = f"{count:,}" if isinstance(count, int) else count
    return f"{told} {what}{'' if told == '1' else 's'}"


def metric(row: InUnit) -> str:
    """Return the metric in words, with its unit."""
    name = row.metric.replace("_", " ")
    return f"{name} in {row.unit}" if row.unit else name


def cut_texts(rows: Sequence[Verdict]) -> list[str]:
    """Return a line for each target with texts that were truncated for the model."""
    most: dict[str, int] = {}
    for row in rows:
        if row.remarks.cut_texts:
            most[row.target] = max(row.remarks.cut_texts, most.get(row.target, 0))
    return [
        f"{target}: {plural(count, 'text')} longer than the model takes, cut at "
        "source.architecture.max_length"
        for target, count in most.items()
    ]


def no_validation(rows: Sequence[Verdict]) -> list[str]:
    """Return a line for each target without validation although there were enough labels."""
    found = {
        row.target.removesuffix(in_group(row.group)): row.remarks.no_validation
        for row in rows
        if row.remarks.no_validation
    }
    return [
        f"{target}: nothing validates ({reason}): training kept its last step"
        for target, reason in found.items()
    ]


def untested(rows: Sequence[Verdict]) -> list[str]:
    """Return a line for each target whose test part lacks classes."""
    found = {row.target.removesuffix(in_group(row.group)): row.remarks.untested for row in rows}
    return [
        f"{target}: no test example of {some(names)}: macro F1 and AUROC are means over the other "
        "classes"
        for target, names in found.items()
        if names
    ]


def pairs(rows: Sequence[Verdict]) -> list[str]:
    """Return a line for each source and target that differ in classes or class shares."""
    found = {
        (row.source or "the source", row.target.removesuffix(in_group(row.group))): row.remarks.pair
        for row in rows
        if row.remarks.pair
    }
    return [
        f"{source} with {target}: {told}{UNKNOWN_AS_ONE if 'open' in told else ''}"
        for (source, target), told in found.items()
    ]


UNKNOWN_AS_ONE = "; classes that the source lacks are scored as one"


def some(names: Sequence[str], most: int = 4, between: str = ", ") -> str:
    """Return the first of many names, and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def in_group(name: str | None) -> str:
    """Return the suffix of a target's name in rows about one group of its test items."""
    return "" if name is None else f" in {name}"


GROUPS = (
    "Each group of test items is one more comparison, at an uncorrected 95 %: of twenty without "
    "any true gain, one is expected to miss zero."
)


def cell(one: AnyCell) -> str:
    """Return a cell's name in one line."""
    return f"{arm(one)}, seed={one.seed}"


def arm(one: AnyCell) -> str:
    """Return the name of a cell's arm in one line."""
    source = one.names.source or one.names.architecture
    told = f"{source} {one.names.strategy}" if source else one.names.strategy
    return f"{told} on {one.names.target}, labels={one.labels}"


COVERAGE = {
    SEEDS_AND_ITEMS: "new seeds and new test items",
    SEEDS_AND_GROUPS: "new seeds and new groups of test items",
    THIS_TEST_SET: "new seeds on this test set only",
    THIS_MODEL: "new test items for these single models only",
    THESE_MODELS: "new test items for these deterministic models",
}
"""What an interval covers, by scope."""


def common_scope(rows: Sequence[Verdict]) -> str | None:
    """Return the scope that most intervals have."""
    scopes = Counter(row.scope for row in rows if row.low is not None)
    return scopes.most_common(1)[0][0] if scopes else None


CHECKPOINTS = (
    "Sources are single checkpoints: gains speak of these weights, not of this way of making "
    "them (source.seed=block makes one that is trained here anew for each seed)."
)


class Letters:
    """Notes, each with a letter assigned at its first use: a, b, ..., z, aa, ab, ..."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def letter(self, note: str) -> str:
        """Return the letter of a note; empty if the note is empty."""
        return self._letters.setdefault(note, _letter(len(self._letters))) if note else ""

    def letters(self, notes: Iterable[str]) -> str:
        """Return the letters of several notes."""
        own = sorted(map(self.letter, notes), key=lambda letter: (len(letter), letter))
        return (" " if any(len(letter) > 1 for letter in own) else "").join(own)

    def lines(self) -> list[str]:
        """Return the meaning of each letter, one line each."""
        return [f"{letter}: {note}" for note, letter in self._letters.items()]


def _letter(position: int) -> str:
    rest, last = divmod(position, 26)
    return (_letter(rest - 1) if rest else "") + ascii_lowercase[last]


def short_labels(rows: Sequence[Verdict], most: int = 4) -> str:
    """Return a note on classes with fewer labels than requested; empty if none has."""
    short = {name: counts for row in rows for name, counts in row.remarks.short.items()}
    told = [f"{name} {got} of {asked}" for name, (asked, got) in list(short.items())[:most]]
    more = [f"{len(short) - most} more"] if len(short) > most else []
    return f"fewer labels than asked for: {', '.join(told + more)}" if short else ""


def sections(rows: Iterable[Verdict]) -> list[list[Verdict]]:
    """Return rows, in the order of `measure` or `judge`, split by target and label budget."""
    return [list(part) for _, part in groupby(rows, key=lambda row: (row.target, row.labels))]


def told(failures: Iterable[Record]) -> list[Told]:
    """Return failed cells in words, with their reasons."""
    return [(cell(record), record.reason or "no reason recorded") for record in failures]


def told_anew(failures: Iterable[Record]) -> list[Told]:
    """Return in words the cells that failed when they were run again."""
    anew = "run anew, and its earlier record counts"
    return [(name, f"{anew}: {why}") for name, why in told(failures)]


def without_result(
    what: str, cells: Sequence[Told], symbols: Symbols = UNICODE, kind: str = "cell"
) -> list[str]:
    """Return lines on how many cells, or arms, have no result, and why; empty if all have one."""
    told = f"{plural(len(cells), kind)} {what}:"
    return [told, *grouped_reasons(cells, symbols)] if cells else []


def grouped_reasons(cells: Iterable[Told], symbols: Symbols = UNICODE, most: int = 5) -> list[str]:
    """Return lines that count cells by reason, the most frequent first, with a first example."""
    listed = list(cells)
    counts = Counter(reason for _, reason in listed)
    first = {reason: name for name, reason in reversed(listed)}
    lines = [
        f"  {count} {symbols.times} {reason} ({'first: ' if count > 1 else ''}{first[reason]})"
        for reason, count in counts.most_common(most)
    ]
    left = sum(count for _, count in counts.most_common()[most:])
    return lines + ([f"  {left} {symbols.times} other reasons"] if left else [])
