"""Conversion of wide tables (a column per target, strategy or seed) to one run per row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from transfergrid.evidence.foreign.columns import OPTIONAL, REQUIRED, TableColumns, Wide
from transfergrid.evidence.foreign.values import is_missing
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.table_formats import BETWEEN
from transfergrid.records.files.tables import Table

NO_TARGET = frozenset(
    {
        *("average", "avg", "avg.", "mean", "std", "sd", "rank", "params", "#params", "time"),
        *("date", "index", "unnamed: 0", "", "run", "id"),
    }
)
"""Lowercase headings of columns that summarise the scores or accompany them."""


def in_long_format(table: Table, columns: TableColumns) -> tuple[Table, list[str]]:
    """Return a table with one run per row, and notes on the assumptions made.

    Raises:
        BadInputError: its headings are ambiguous.
    """
    notes = []
    if columns.wide is not None:
        table, note = _long(table, columns, columns.wide)
        notes.append(note)
    return _filled(table, columns), notes


def _filled(table: Table, columns: TableColumns) -> Table:
    found = dict(table.columns)
    for name, value in columns.fill.items():
        if columns.name_of(name) in found:
            raise BadInputError(
                f"--fill {name}={value}: {table.name} has a column {columns.name_of(name)!r}"
            )
        found[columns.name_of(name)] = [value] * len(table)
    return replace(table, columns=found)


def _long(table: Table, columns: TableColumns, wide: Wide) -> tuple[Table, str]:
    names = {column: _levels(column, table, wide) for column in _scores(table, columns, wide)}
    fixed = [column for column in table.columns if column not in names]
    headings = [columns.name_of(level) for level in wide.levels]
    for column in (*headings, columns.score):
        if column in table.columns:
            raise BadInputError(
                f"{table.name} has a column {column!r}: --wide {','.join(wide.levels)} is for "
                "tables whose headings name that"
            )
    cells = [
        (row, column)
        for row in range(len(table))
        for column in names
        if not is_missing(table.columns[column][row])  # missing: not run, or not reported
    ]
    found = {column: [table.columns[column][row] for row, _ in cells] for column in fixed}
    for i, heading in enumerate(headings):
        found[heading] = [names[column][i] for _, column in cells]
    found[columns.score] = [table.columns[column][row] for row, column in cells]
    numbers = [table.numbers[row] for row, _ in cells]
    told = f"columns read as {' and '.join(wide.levels)}: {', '.join(names)}"
    return replace(table, columns=found, numbers=numbers), told


def _scores(table: Table, columns: TableColumns, wide: Wide) -> list[str]:
    """Return the columns with scores."""
    named = {columns.name_of(name) for name in (*REQUIRED, *OPTIONAL) if name not in wide.levels}
    free = [column for column in table.columns if column not in named]
    found = [column for column in free if wide.holds(column)]
    what, levels = wide.levels[-1], ",".join(wide.levels)
    if not found:
        raise BadInputError(f"--wide {levels}: no column is left to hold scores ({table.name})")
    odd = [] if wide.only else [column for column in found if _is_odd(column, table)]
    if odd:
        rest = ",".join(column for column in found if column not in odd) or "NAMES"
        raise BadInputError(
            f"{table.name}: column {odd[0]!r} does not look like a {what}: "
            f"--wide {levels}={rest} names those that hold scores"
        )
    return found


def _is_odd(column: str, table: Table) -> bool:
    """Return whether a column is unlikely to hold scores of what its heading names."""
    return column.strip().lower() in NO_TARGET or _is_text(table.columns[column])


def _is_text(values: list[Any]) -> bool:
    """Return whether no value of a column holds a digit."""
    told = [str(value) for value in values if not is_missing(value)]
    return bool(told) and not any(any(map(str.isdigit, text)) for text in told)


def _levels(column: str, table: Table, wide: Wide) -> list[str]:
    """Return the headings of a column, from top to bottom."""
    levels = column.split(BETWEEN) if len(wide.levels) > 1 else [column]
    if len(levels) != len(wide.levels):
        raise BadInputError(
            f"{table.name}: column {column!r} has {len(levels)} of {len(wide.levels)} headings "
            f"({', '.join(wide.levels)})"
        )
    return levels
