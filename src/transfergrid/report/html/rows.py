"""Verdicts for the page's script: one plain object each, with the cells behind it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

from transfergrid.evidence.measured.arms import labels_order
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.verdicts.verdict import CONTROL, PLACEBO, TRANSFER, Verdict
from transfergrid.records.cell import Labels
from transfergrid.records.metrics import is_of_numbers
from transfergrid.records.points import in_points
from transfergrid.records.printing import one_line
from transfergrid.report.html.data import ReportData
from transfergrid.report.tables.columns import Align, Column
from transfergrid.report.wording import verdict_words as said
from transfergrid.report.wording import words
from transfergrid.report.wording.foreseen import cannot_tell, needed
from transfergrid.report.wording.words import ends, labels_of

Named = tuple[str, Verdict]
"""A source's display name, and the verdict."""

NO_SOURCE = "no source"
PARTS = ("source", "strategy", "target", "training", "tuning")
_KINDS = (TRANSFER, CONTROL, PLACEBO)
_AS_THEY_ARE = (
    *("baseline", "n", "p", "p_corrected", "seeds_needed"),
    *("kind", "metric", "mean", "baseline_mean", "validation", "scope", "notes", "fragile"),
    *("gain", "seeds", "gains", "cells", "baseline_cells", "family_size"),
)


def page_rows(
    verdicts: Sequence[Verdict],
    remarks: Mapping[int, Sequence[str]],
    called: Mapping[str, str] | None = None,
) -> list[Any]:
    """Return an object for each verdict; `row` is its index.

    Args:
        verdicts: the verdicts in the order of the page.
        remarks: remarks in addition to notes, by row number.
        called: shorter names of sources; see `names.without_common`.
    """
    names = source_names(verdicts, called)
    letters, called_budgets = fronts(verdicts), budgets(verdicts)
    order = _Order(verdicts, names)
    return [
        _row(row, verdict, names[row], remarks.get(row, ()))
        | {"budget": called_budgets[verdict.target, verdict.labels]}
        | order.of(row)
        | letters.get(row, {})
        for row, verdict in enumerate(verdicts)
    ]


@dataclass(frozen=True)
class Sorted:
    """A column of the table of all comparisons.

    Args:
        by: the field by which rows are sorted.
        column: the column, given a source's display name and a verdict.
        wide: whether it is left out of a narrow page.
    """

    by: str
    column: Column[Named]
    wide: bool = False


def comparisons(verdicts: Sequence[Verdict]) -> list[Sorted]:
    """Return the columns of the table of all comparisons; without target if there is only one."""
    several = len({verdict.target for verdict in verdicts}) > 1
    targets = [Sorted("target", Column("target", lambda row: row[1].target))] if several else []
    crossed = any(verdict.items_floor is not None for verdict in verdicts)

    def number(head: str, text: Callable[[Verdict], str]) -> Column[Named]:
        return Column(head, lambda row: text(row[1]), Align.RIGHT)

    def detectable(verdict: Verdict) -> str:
        known = verdict.detectable is not None and not cannot_tell(verdict)
        return said.number(verdict.detectable or 0.0, verdict) if known else ""

    def items(verdict: Verdict) -> str:
        floor = verdict.items_floor
        told = "" if floor is None else f"±{said.number(floor, verdict)}"
        return told and f"{told} (margin {verdict.margin:g})"

    def more(verdict: Verdict) -> str:
        return "" if verdict.seeds_needed is None else needed(verdict)

    def seconds(verdict: Verdict) -> str:
        return "" if verdict.seconds is None else words.seconds(verdict.seconds)

    return [
        Sorted("said", Column("verdict", lambda row: said.called(row[1].verdict))),
        Sorted("source", Column("source", lambda row: row[0])),
        Sorted("strategy", Column("strategy", lambda row: row[1].strategy)),
        *targets,
        Sorted("order", Column("labels", lambda row: str(row[1].labels))),
        Sorted("baseline", Column("over", lambda row: row[1].baseline), wide=True),
        Sorted("mean", number("score", said.score), wide=True),
        Sorted("gain", number("gain", said.gain)),
        Sorted("low", number("95 %", said.interval)),
        Sorted("p_corrected", number("corrected p", lambda v: said.p_value(v.p_corrected)), True),
        Sorted("detectable", number("detectable", detectable), wide=True),
        *([Sorted("items_floor", number("test items alone", items), True)] if crossed else []),
        Sorted("n", number("seeds", lambda v: str(v.n)), wide=True),
        Sorted("seeds_needed", number("more seeds", more), wide=True),
        Sorted("seconds", number("seconds", seconds), wide=True),
    ]


def budgets(verdicts: Sequence[Verdict]) -> dict[tuple[str, Labels], str]:
    """Return the label budget of each place in words, the same for all its arms."""
    inside: defaultdict[tuple[str, Labels], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        inside[verdict.target, verdict.labels].append(verdict)
    return {place: labels_of(found) for place, found in inside.items()}


class _Order:
    """The order of sources, strategies and arms in all charts."""

    def __init__(self, verdicts: Sequence[Verdict], names: Sequence[str]) -> None:
        self.verdicts, self.names = verdicts, names
        kinds = {name: _KINDS.index(v.kind) for v, name in zip(verdicts, names, strict=True)}
        sources = sorted(kinds, key=lambda name: (kinds[name], name))
        self.columns = {name: place for place, name in enumerate(sources)}
        self.lines = {name: place for place, name in enumerate(_strategies(verdicts))}
        by_gain = sorted(range(len(verdicts)), key=self._by_gain)
        self.places = {row: place for place, row in enumerate(by_gain)}

    def _by_gain(self, row: int) -> tuple[int, bool, float]:
        verdict = self.verdicts[row]
        gain = (verdict.gain or 0.0) / verdict.point
        return _KINDS.index(verdict.kind), verdict.gain is None, -gain

    def of(self, row: int) -> dict[str, int]:
        """Return a row's column and line in the heat map, and its rank by gain."""
        return {
            "column": self.columns[self.names[row]],
            "line": self.lines[self.verdicts[row].strategy],
            "place": self.places[row],
        }


def sources_in_order(
    verdicts: Sequence[Verdict], called: Mapping[str, str] | None = None
) -> list[str]:
    """Return the sources in the column order of heat maps."""
    columns = _Order(verdicts, source_names(verdicts, called)).columns
    return sorted(columns, key=lambda name: columns[name])


def _strategies(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the strategies, sorted by the mean gain of their sources, the largest first."""
    gains: defaultdict[str, list[float]] = defaultdict(list)
    for verdict in verdicts:
        gains[verdict.strategy] += (
            [verdict.gain / verdict.point]
            if verdict.kind == TRANSFER and verdict.gain is not None
            else []
        )
    means = {name: statistics.fmean(found) if found else -1e9 for name, found in gains.items()}
    return sorted(means, key=lambda name: (-means[name], name))


def source_names(verdicts: Sequence[Verdict], called: Mapping[str, str] | None = None) -> list[str]:
    """Return the display name of each verdict's source, with its architecture if it has several."""
    used: defaultdict[str | None, set[str | None]] = defaultdict(set)
    for verdict in verdicts:
        used[verdict.source].add(verdict.architecture)

    def name(verdict: Verdict) -> str:
        several = len(used[verdict.source]) > 1 and verdict.architecture
        source = (called or {}).get(verdict.source or "", verdict.source)
        return (source or NO_SOURCE) + (f" ({verdict.architecture})" if several else "")

    return [name(verdict) for verdict in verdicts]


def _row(row: int, verdict: Verdict, source: str, remarks: Sequence[str]) -> dict[str, Any]:
    found = {name: getattr(verdict, name) for name in _AS_THEY_ARE}
    found |= _told(verdict, source)
    found |= {
        "row": row,
        "apart": (verdict.labels == "all" and not is_of_numbers(verdict.metric)) or None,
        "order": labels_order(verdict.labels) if verdict.labels != "all" else 1e9,
        "group": _KINDS.index(verdict.kind),
        "arm": verdict.strategy if verdict.source is None else f"{source} · {verdict.strategy}",
        "digits": said.digits(verdict),
        "margin": verdict.margin / verdict.point,
        **_in_points(verdict),
        "seconds": verdict.seconds,
        "all_seconds": _seconds(verdict, with_source=True),
        "remarks": list(remarks),
    }
    return {
        name: _rounded(value) for name, value in found.items() if value not in (None, (), [], "")
    }


def _told(verdict: Verdict, source: str) -> dict[str, str]:
    """Return a verdict's arm and outcome in words: all that is shown outside of rows."""
    return {
        "source": source,
        "strategy": verdict.strategy,
        "target": verdict.target,
        "labels": str(verdict.labels),
        "verdict": verdict.verdict.value,
        "said": said.SAID[verdict.verdict],
        "mark": said.sign(verdict.verdict),
        "shown": said.gain(verdict),
        "interval": said.interval(verdict),
    }


def _over(verdicts: Sequence[Verdict], called: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the verdicts shown beside a row that is opened."""
    names = source_names(verdicts, called)
    return [_told(verdict, name) for verdict, name in zip(verdicts, names, strict=True)]


def _in_points(verdict: Verdict) -> dict[str, Any]:
    """Return the numbers of a verdict that are drawn or sorted, within the metric's range.

    These numbers are in points, which are comparable across targets; texts are in the metric's own
    unit.
    """

    def scaled(value: float | None) -> float | None:
        return None if value is None else value / verdict.point

    low, high = ends(verdict.low, verdict.high, verdict.unit, verdict.se) or (None, None)
    return {
        "gain": scaled(verdict.gain),
        "low": scaled(low),
        "high": scaled(high),
        "detectable": None if cannot_tell(verdict) else scaled(verdict.detectable),
        "items_floor": scaled(verdict.items_floor),
    }


def _seconds(verdict: Verdict, with_source: bool) -> float | None:
    if verdict.seconds is None:
        return None
    return verdict.seconds + ((verdict.source_seconds or 0.0) if with_source else 0.0)


def _rounded(value: Any) -> Any:
    """Return numbers shortened to save space, unless the displayed digits would change."""
    if isinstance(value, float):
        short = float(f"{value:.5g}")
        same = all(round(short, digits) == round(value, digits) for digits in (0, 1, 3))
        same &= all(f"{short:.{digits}g}" == f"{value:.{digits}g}" for digits in (2, 3, 4))
        return short if same else value
    return [_rounded(item) for item in value] if isinstance(value, (tuple, list)) else value


def fronts(verdicts: Sequence[Verdict]) -> dict[int, dict[str, str]]:
    """Return letters for the arms on the Pareto front of gain and time, the fastest first.

    There is one front by the time of a run ("front") and one with the time of training its source
    added ("all_front"), each among the arms of one target, label budget and baseline, without
    placebos.
    """
    groups: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for row, verdict in enumerate(verdicts):
        if verdict.kind != PLACEBO and verdict.gain is not None and verdict.seconds is not None:
            groups[verdict.target, verdict.labels, verdict.baseline].append(row)
    found: dict[int, dict[str, str]] = {}
    for members in groups.values():
        gains = [verdicts[row].gain or 0.0 for row in members]
        for name, added in (("front", False), ("all_front", True)):
            costs = [_seconds(verdicts[row], added) or 0.0 for row in members]
            for letter, i in zip(ascii_lowercase, front(costs, gains), strict=False):
                found.setdefault(members[i], {})[name] = letter
    return found


def front(costs: Sequence[float], gains: Sequence[float]) -> list[int]:
    """Return the indices of the Pareto front, by rising cost."""
    best, found = float("-inf"), []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -gains[i])):
        if gains[i] > best:
            best = gains[i]
            found.append(i)
    return found


def cell_facts(cell: Result) -> list[Any]:
    """Return a cell's data for the page, as a short list to save space.

    The list contains the seed, test and validation score in points, seconds without training the
    source, the digests of its parts, and its flags.
    """
    seconds = None if cell.seconds is None else cell.seconds - (cell.source_seconds or 0.0)
    scores = (in_points(score, cell.metric) for score in (cell.score, cell.validation_score))
    flags = [name for name in ("collapsed", "underfit") if getattr(cell.flags, name)]
    return [
        cell.seed,
        *map(_rounded, (*scores, seconds)),
        list(parts_of(cell).values()),
        ", ".join(flags),
    ]


def parts_of(cell: Result) -> dict[str, str]:
    """Return the digest of each part that a cell has."""
    found = {name: getattr(cell.parts, name) for name in PARTS}
    return {name: digest for name, digest in found.items() if digest}


def payload(
    data: ReportData, specs: Mapping[str, Any], affinity: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return all data of the script as plain values, with texts made safe.

    Args:
        data: the data of the report.
        specs: compiled charts by theme and name.
        affinity: the rows of the task matrices.
    """
    columns, names = comparisons(data.verdicts), source_names(data.verdicts, data.called)
    found = {
        "columns": [
            {"by": one.by, "title": one.column.head, "wide": one.wide}
            | {"number": one.column.align is Align.RIGHT}
            for one in columns
        ],
        "texts": [
            [one.column.text(row) for one in columns]
            for row in zip(names, data.verdicts, strict=True)
        ],
        "rows": page_rows(data.verdicts, data.remarks, data.called),
        "over": {n: _over(found, data.called) for n, found in data.over_baselines.items()},
        "cells": {name: cell_facts(cell) for name, cell in data.cells.items()},
        "configs": data.configs,
        "steps": [[_rounded(told) for told in curve] for curve in data.steps],
        "scores": [[row, name, _rounded(value)] for row, name, value in data.scores],
        "affinity": affinity,
        "specs": specs,
    }
    calm: dict[str, Any] = _calm(found)
    return calm


def _calm(value: Any) -> Any:
    """Return data with each text in one line and without control characters."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, (list, tuple)):
        return [_calm(inner) for inner in value]
    if value is None or isinstance(value, (int, float)):  # the common case, of 500,000 values
        return value
    return {key: _calm(inner) for key, inner in value.items()}
