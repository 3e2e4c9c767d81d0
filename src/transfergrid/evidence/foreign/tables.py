"""Foreign tables of results: their rows, with values parsed strictly and never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transfergrid.evidence.foreign.columns import OPTIONAL, REQUIRED, TableColumns
from transfergrid.evidence.foreign.shapes import in_long_format
from transfergrid.evidence.foreign.values import (
    is_missing,
    labels_in,
    name_in,
    needed,
    score_in,
)
from transfergrid.records.cell import Labels
from transfergrid.records.errors import BadInputError, did_you_mean
from transfergrid.records.files.tables import Table
from transfergrid.records.files.whole import whole_number

WAYS_OUT = {
    "strategy": "--column strategy=NAME names it; --wide strategy if each has a column of scores",
    "target": "--column target=NAME names it; --wide target if each has a column of scores, "
    "--fill target=NAME if there is one",
    "seed": "--column seed=NAME names it; --block COLUMN names what runs share with their "
    "baseline, such as a task or a split; "
    "--wide seed if each has a column; --fill seed=0 if each arm ran once",
    "score": "--column score=NAME names it; --wide target, strategy or seed if there are several",
}
"""Advice on how to read a table without the required column."""


@dataclass(frozen=True)
class Run:
    """One row with its values parsed."""

    place: str
    """The row's place in the table, for error messages."""
    source: str | None
    architecture: str | None
    strategy: str
    target: str
    labels: Labels
    seed: int
    score: float | None
    """The score as in the table; None for a failed run."""
    percent: bool = False
    """Whether the score has a per cent sign."""
    scale: str = ""
    """The target with which its score shares a unit, if that is not `target` itself."""


@dataclass(frozen=True)
class Runs:
    """The rows of a table, and what was assumed in reading them."""

    runs: list[Run]
    has: frozenset[str]
    """The optional columns that the table has."""
    notes: list[str]


def runs_of(table: Table, columns: TableColumns) -> Runs:
    """Return all rows, parsed.

    Raises:
        BadInputError: a column is missing, or a value makes no sense; the line is named.
    """
    table, notes = in_long_format(table, columns)
    over_targets = columns.block == columns.target
    has = _present(table, columns)
    seeds, named = _seeds(table, columns)

    given = {name: table.columns[columns.name_of(name)] for name in (*REQUIRED, *has)}
    nothing = [None] * len(table)

    def run(row: int, source: Any, architecture: Any, strategy: Any, target: Any) -> Run:
        place = table.place(row)
        score = score_in(given["score"][row], place, columns.means)
        where = needed(target, columns.target, place)
        return Run(
            place=place,
            source=name_in(source),
            architecture=name_in(architecture),
            strategy=needed(strategy, columns.strategy, place),
            target=f"every {columns.target}" if over_targets else where,
            labels=labels_in(given["labels"][row], place, columns.labels_are)
            if "labels" in has
            else "all",
            seed=seeds[row],
            score=score.value,
            percent=score.percent,
            scale=where,
        )

    names = [given.get(name, nothing) for name in ("source", "architecture", "strategy", "target")]
    runs = [run(row, *values) for row, values in enumerate(zip(*names, strict=True))]
    return Runs(runs, has, [*notes, *_notes(given, has, named, columns)])


def _present(table: Table, columns: TableColumns) -> frozenset[str]:
    known = list(table.columns)
    for name in REQUIRED:
        column = columns.name_of(name)
        if column not in known:
            near = did_you_mean(column, known)
            rest = f" (it has {', '.join(known)})" if near.endswith("?") else ""
            way = f"; {WAYS_OUT[name]}" if column == name else ""
            raise BadInputError(f"{table.name} has no column {column!r}{near}{rest}{way}")
    for name in OPTIONAL:  # a renamed column is required
        column = columns.name_of(name)
        if column != name and column not in known:
            raise BadInputError(
                f"{table.name} has no column {column!r}{did_you_mean(column, known)}"
            )
    return frozenset(name for name in OPTIONAL if columns.name_of(name) in known)


def _notes(
    given: dict[str, list[Any]], has: frozenset[str], named: bool, columns: TableColumns
) -> list[str]:
    notes = {
        "source": f"no column {columns.source}: strategies are taken to use one source",
        "architecture": f"no column {columns.architecture}: baselines matched without it",
        "labels": f"no column {columns.labels}: read as all target labels",
    }
    told = [note for name, note in notes.items() if name not in has]
    full = {str(value).strip() for value in given.get("labels", ())} - {"all"}
    told += [
        f"labels {name} read as all" for name in sorted(full) if name.lower() in ("full", "100%")
    ]
    if columns.block == columns.target:
        return [*told, f"each {columns.target} is a block: gains are means over them"]
    if columns.block:
        return [*told, f"blocks are the values of {columns.block}"]
    return told + (["seeds are names, numbered in their order"] if named else [])


def _seeds(table: Table, columns: TableColumns) -> tuple[list[int], bool]:
    """Return each row's seed as a number, and whether seeds are names that were numbered."""
    values: Sequence[Any] = table.columns[columns.name_of("seed")]
    missing = next((row for row, value in enumerate(values) if is_missing(value)), None)
    if missing is not None:
        raise BadInputError(f"{table.place(missing)} has no {columns.name_of('seed')}")
    numbers = [whole_number(value) for value in values]
    found = [number for number in numbers if number is not None]
    if len(found) == len(values):
        return found, False
    order = {name: i for i, name in enumerate(dict.fromkeys(str(v).strip() for v in values))}
    return [order[str(value).strip()] for value in values], True
