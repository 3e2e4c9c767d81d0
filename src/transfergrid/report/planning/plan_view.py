"""The forecast of a grid in words. It knows no planner: inputs are plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any

from transfergrid.evidence.forecast import Check, Forecast
from transfergrid.records.printing import roughly
from transfergrid.report.running.kept import size
from transfergrid.report.tables.columns import Align, Column, Group, Line, Medium, Page, Table
from transfergrid.report.tables.sheet import Sheet
from transfergrid.report.wording.words import Told, grouped_reasons, plural

SOURCES_TOLD = 5
"""The largest number of sources that get a line each."""


@dataclass(frozen=True)
class Standing:
    """How much of a grid is done; all fields but the first are ids of cells."""

    cells: int
    done: Set[str]
    stale: Set[str]
    failed: Set[str]
    begun: Set[str]
    elsewhere: Set[str]
    """The cells that a live process is running at this moment."""
    anew: Set[str] = frozenset()
    """The cells that have a record and will run again."""


@dataclass(frozen=True)
class TrainedFirst:
    """A source that is trained here, once per seed for all its cells."""

    name: str
    trainings: int
    """The number of trainings, one for each seed."""
    there: int
    seconds: float | None
    """Seconds of one training, from earlier such trainings."""


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """A grid before it starts."""

    asked: int
    standing: Standing
    left_out: Sequence[Told]
    warnings: Sequence[str]
    """Warnings, one line each."""
    groups: Sequence[Forecast]
    sources: Sequence[TrainedFirst]
    once: int
    """The number of cells to run that use cached features of a frozen network."""
    known: int
    """The number of done cells behind the forecast."""
    checks: Sequence[Check]
    workers: int
    disk: int | None
    free: int
    keeps: bool

    @property
    def to_run(self) -> int:
        """The number of cells that are not done."""
        return self.standing.cells - len(self.standing.done)

    @property
    def unknown(self) -> int:
        """The number of cells to run for which no done cell allows a forecast."""
        return sum(group.count for group in self.groups if group.seconds is None)

    @property
    def seconds(self) -> float | None:
        """Forecast seconds of all workers together, for the cells with a forecast."""
        known = [group.count * group.seconds for group in self.groups if group.seconds is not None]
        first = [(s.trainings - s.there) * (s.seconds or 0.0) for s in self.sources]
        return sum(known) + sum(first) if known else None

    @property
    def wall(self) -> float | None:
        """Forecast seconds until the grid is finished."""
        total = self.seconds
        return None if total is None else total / min(self.workers, max(self.to_run, 1))

    @property
    def memory(self) -> int | None:
        """The largest forecast memory of a worker, in bytes."""
        return max((group.memory for group in self.groups if group.memory), default=None)


@dataclass(frozen=True)
class Row:
    """The cells to run of one strategy."""

    strategy: str
    count: int
    each: float | None
    """Seconds per cell, the mean over networks, targets and budgets; None if one is unknown."""


def rows_of(groups: Iterable[Forecast]) -> list[Row]:
    """Return groups joined by strategy, in their order."""
    joined: dict[str, list[Forecast]] = {}
    for group in groups:
        joined.setdefault(group.kind.strategy, []).append(group)
    return [Row(name, sum(g.count for g in own), _each(own)) for name, own in joined.items()]


def _each(groups: Sequence[Forecast]) -> float | None:
    if any(group.seconds is None for group in groups):
        return None
    total = sum(group.count * (group.seconds or 0.0) for group in groups)
    return total / sum(group.count for group in groups)


def sheet(found: Foreseen) -> Sheet:
    """Return the forecast as a sheet for all formats."""
    return Sheet(
        lambda medium: _page(found, medium),
        lambda: [_plain(group) for group in found.groups],
        lambda: _json(found),
    )


def _page(found: Foreseen, medium: Medium) -> Page:
    columns: list[Column[Row]] = [
        Column("strategy", lambda row: row.strategy, key=True, least=12),
        Column("to run", lambda row: str(row.count), Align.RIGHT),
        Column("s each", lambda row: _seconds(row.each, medium), Align.RIGHT),
        Column("s in all", lambda row: _seconds(_all(row), medium), Align.RIGHT),
    ]
    above = tuple(Line(line) for line in standing_lines(found))
    rows = rows_of(found.groups) if found.wall is not None else []
    table = Table(columns, [Group(rows)] if rows else [], above=above)
    return Page([table], below=[*left_out_lines(found), *found.warnings, *forecast_lines(found)])


def _all(row: Row) -> float | None:
    return None if row.each is None else row.each * row.count


def _seconds(value: float | None, medium: Medium) -> str:
    if value is None:
        return medium.symbols.nothing
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def standing_lines(found: Foreseen) -> list[str]:
    """Return lines on how many cells there are, and their state."""
    standing = found.standing
    added = standing.cells - found.asked
    lines = [
        f"{plural(found.asked, 'cell')} asked for"
        + (f"; {added} more to compare with" if added else "")
        + f"; {found.to_run or 'none'} to run"
    ]
    if found.to_run:
        counts: Counter[str] = Counter()
        for group in found.groups:
            counts[group.kind.target] += group.count
        lines[0] += f" ({', '.join(f'{name} {count}' for name, count in counts.items())})"
    if standing.done:
        old = f", {len(standing.stale)} of them stale: the strategy's code has changed since"
        lines.append(f"{len(standing.done)} done before{old if standing.stale else ''}")
    if standing.anew:
        lines.append(
            f"{len(standing.anew)} run anew: their records count until new ones are whole, and are "
            "kept under replaced"
        )
    if standing.failed:
        lines.append(f"{len(standing.failed)} failed before, and are tried again")
    if standing.elsewhere:
        lines.append(f"{len(standing.elsewhere)} being run at this moment by another grid")
    if standing.begun:
        lines.append(f"{len(standing.begun)} begun and not done: they go on from a checkpoint")
    return lines


def left_out_lines(found: Foreseen) -> list[str]:
    """Return lines on impossible combinations, with the reasons."""
    if not found.left_out:
        return []
    told = plural(len(found.left_out), "combination")
    return [f"{told} left out:", *grouped_reasons(found.left_out)]


def forecast_lines(found: Foreseen) -> list[str]:
    """Return lines on what is shared, and the time, memory and disk that the grid takes."""
    lines = _source_lines(found.sources)
    if found.once:
        lines.append(
            f"{plural(found.once, 'cell')} without a step: what frozen networks make of examples "
            "is computed once and shared"
        )
    if found.to_run:
        lines.append(_time(found))
        lines += [_check(check) for check in found.checks]
        lines.append(_space(found))
    return lines


def _source_lines(sources: Sequence[TrainedFirst]) -> list[str]:
    told = [_source_line(source) for source in sources[:SOURCES_TOLD]]
    more = sources[SOURCES_TOLD:]
    if more:
        missing = plural(sum(source.trainings - source.there for source in more), "training")
        told.append(f"{plural(len(more), 'source')} more of this kind: {missing} to come")
    return told


def _source_line(source: TrainedFirst) -> str:
    missing = source.trainings - source.there
    if not missing:
        return f"source {source.name} is trained already"
    told = f"source {source.name} is trained first"
    told += f", {missing} times, once a seed" if missing > 1 else ""
    return told + (f", about {source.seconds:.0f} s each" if source.seconds else "")


def _time(found: Foreseen) -> str:
    if found.wall is None:
        why = "no done cell in these results is like them"
        return f"How long it takes cannot be told yet: {why}. Run one seed, and plan again."
    told = f"{roughly(found.wall)} on {plural(found.workers, 'worker')}"
    told = f"{told[:1].upper()}{told[1:]}, from {plural(found.known, 'done cell')} in these results"
    if found.unknown:
        told += f"; {plural(found.unknown, 'cell')} like none of them come on top"
    return told


def _check(check: Check) -> str:
    off = 100 * (check.foreseen / check.took - 1) if check.took else 0.0
    return (
        f"  Held against what came: after {check.known} of {check.of} done cells it would have "
        f"told {roughly(check.foreseen)} of work for the others, which took "
        f"{roughly(check.took)} ({off:+.0f} %)"
    )


def _space(found: Foreseen) -> str:
    parts = []
    if found.memory:
        parts.append(f"up to {size(found.memory)} of memory a worker")
    if found.disk is not None:
        parts.append(f"about {size(found.disk)} of records")
    parts.append(f"{size(found.free)} of disk are free")
    told = "; ".join(parts)
    told = f"{told[:1].upper()}{told[1:]}"
    return told + ("; kept weights come on top" if found.keeps else "")


def _plain(group: Forecast) -> dict[str, Any]:
    kind = group.kind
    return {
        "strategy": kind.strategy,
        "architecture": kind.architecture,
        "target": kind.target,
        "training": kind.training,
        "labels": kind.labels,
        "trainings_each": group.runs,
        "to_run": group.count,
        "seconds_each": group.seconds,
        "memory_bytes": group.memory,
    }


def _json(found: Foreseen) -> dict[str, Any]:
    standing = found.standing
    return {
        "cells": {
            "asked": found.asked,
            "added": standing.cells - found.asked,
            "to_run": found.to_run,
            "done": len(standing.done),
            "stale": sorted(standing.stale),
            "anew": sorted(standing.anew),
            "failed": sorted(standing.failed),
            "begun": sorted(standing.begun),
            "elsewhere": sorted(standing.elsewhere),
        },
        "left_out": [{"cell": name, "reason": reason} for name, reason in found.left_out],
        "warnings": list(found.warnings),
        "groups": [_plain(group) for group in found.groups],
        "sources": [
            {
                "source": source.name,
                "trainings": source.trainings,
                "there": source.there,
                "seconds_each": source.seconds,
            }
            for source in found.sources
        ],
        "without_steps": found.once,
        "forecast": {
            "from_cells": found.known,
            "unknown_cells": found.unknown,
            "seconds": found.seconds,
            "wall_seconds": found.wall,
            "workers": found.workers,
            "memory_bytes": found.memory,
            "held_against": [
                {
                    "known": check.known,
                    "of": check.of,
                    "foreseen_seconds": check.foreseen,
                    "took_seconds": check.took,
                }
                for check in found.checks
            ],
        },
        "disk": {"records_bytes": found.disk, "free_bytes": found.free},
    }
