"""Vectors made of the numeric columns of a table, with labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from annotated_types import MinLen, doc
from numpy.typing import NDArray

from transfergrid.data.content_splits import named
from transfergrid.data.domain import LoadedDomain
from transfergrid.data.examples import Examples, Labels
from transfergrid.data.table_domain import TableDomain
from transfergrid.data.tables.array_tables import ENDING, SPLIT, has_parts, read_arrays
from transfergrid.data.tables.table_layout import Choice, Part, find_parts
from transfergrid.data.tables.table_rows import REMARKS, Input, Row, Rows
from transfergrid.data.vectors import (
    Floats,
    Missing,
    Scaling,
    Standardise,
    VectorExamples,
    raw_values,
)
from transfergrid.records.arguments import Columns
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.spellings import MISSING
from transfergrid.records.files.table_formats import TARGET, Advice
from transfergrid.records.files.tables import Table, read_table

Named = Annotated[Sequence[str], MinLen(1), doc("a list of columns")]
Unnamed = Annotated[Sequence[str], doc("a list of columns")]
TRUTH = {"true": 1.0, "false": 0.0}
"""The numbers of truth values."""
FEWEST = 10
"""Least number of rows for a remark on a column that merely numbers the rows."""
LARGEST = float(np.finfo(np.float32).max)


WAYS_OUT = "; target.missing=mean, median or zero puts one there, and drop leaves such rows out"


class Vector(NamedTuple):
    """The numbers of a row (d,), NaN where one is missing, and their columns' names."""

    values: Floats
    columns: tuple[str, ...]

    def as_input(self, columns: tuple[str, ...], spelled: str) -> Input:
        """Return the row's input with its numbers in the order of these columns.

        Raises:
            BadInputError: it has other columns; `spelled` is the table's name in the message.
        """
        values = self.values
        if self.columns != columns:
            if odd := sorted({*self.columns} ^ {*columns}):
                raise BadInputError(
                    f"{spelled}: not all of its tables have the columns {named(odd)}"
                )
            values = values[[self.columns.index(column) for column in columns]]
        plain = np.ascontiguousarray(np.where(np.isnan(values), np.nan, values) + 0.0, "<f8")
        return Input(Vector(values, columns), (plain.tobytes().hex(),))


@dataclass(frozen=True)
class VectorTable(TableDomain):
    """A table of numbers: CSV, Parquet, npz, ...; see `TableDomain` for its splits.

    In an npz archive an array (n,) is a column, and an array x of shape (n, d) is the columns x0,
    x1, ...; `x_train`, `x_val` and `x_test` are splits of x. Replacements of missing numbers and
    the scale of columns are fitted to the pool only.

    Attributes:
        file: the table, or a folder of tables.
        columns: the columns of the vector, in this order; by default all without another purpose.
        leave_out: columns to leave out of this default.
        label: the column of labels; with numbers as labels, one column or several.
        missing: what to do where a number is missing: "refuse" the table, "drop" these rows, or
            fill in the column's "mean" or "median", or "zero".
        standardise: by mean and standard deviation of the "pool", or "none".
    """

    file: str
    columns: Named | None = None
    leave_out: Unnamed = ()
    label: Columns = "label"
    missing: Missing = "refuse"
    standardise: Standardise = "pool"

    modality: ClassVar[str] = "vector"
    left_out: ClassVar[str] = "rows_with_missing_numbers"

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The columns of the vector, if they were named."""
        return tuple(self.columns or ())

    @property
    def vector(self) -> tuple[str, ...]:
        """See `Domain.vector`."""
        return tuple(self.facts()["columns"])

    def check(self) -> None:
        """See `TableDomain.check`."""
        if self.columns is not None and self.leave_out:
            told = "target.columns names those that are used, and target.leave_out others"
            raise BadInputError(f"{self.file}: {told}: give one of them")
        super().check()

    def load(self) -> LoadedDomain:
        """See `TableDomain.load`; the scaling is fitted to the pool after copies are dropped."""
        loaded = super().load()
        told = self._scaling(_columns_of(loaded.pool), raw_values(loaded.pool))
        return replace(loaded, pool=_scaled(loaded.pool, told), test=_scaled(loaded.test, told))

    def measured(self) -> str:
        """See `TableDomain.measured`; includes the names of the columns."""
        rows = self.rows()
        values, columns = _matrix(rows.pool)
        self._scaling(columns, values)  # raises if something is wrong with a column
        return json.dumps({**json.loads(super().measured()), "columns": columns})

    def rows(self) -> Rows:
        """See `TableDomain.rows`; adds remarks on odd columns."""
        rows = super().rows()
        remarks = [*rows.notes.get(REMARKS, ()), *_oddities(rows)]
        if remarks:
            rows.notes[REMARKS] = remarks
        return rows

    def inputs(self, table: Table) -> list[Input | None]:
        """Return each row's numbers; None for a dropped row."""
        names, values = numbers_of(table, self._used(table), self._way_out)
        gone = np.asarray(np.isnan(values).any(axis=1))
        if self.missing == "refuse":
            check_complete(table, names, values)
        elif self.missing != "drop":
            gone[:] = False
        made = (Input(Vector(row, names), ()) for row in values)
        return [None if lost else row for lost, row in zip(gone, made, strict=True)]

    def examples(
        self, rows: Sequence[Row], labels: Labels, groups: NDArray[np.str_] | None
    ) -> VectorExamples:
        """Return the rows as vectors in memory, unscaled."""
        values, columns = _matrix(rows)
        return VectorExamples(values, labels, Scaling(columns), groups)

    def _read(self) -> tuple[list[Row], Choice, int]:
        if self.split_column is None and self._has_parts():
            return replace(self, split_column=SPLIT)._read()
        rows, choice, n_left_out = super()._read()
        columns = rows[0].input.value.columns if rows else ()
        made = [row._replace(input=row.input.value.as_input(columns, self.file)) for row in rows]
        return made, choice, n_left_out

    def _has_parts(self) -> bool:
        first = find_parts(self.file, None, None)[0]
        return first.file.suffix.lower() == ENDING and has_parts(first.file, first.name)

    def _table(self, part: Part) -> Table:
        table = read_numbers(
            part.file, part.name, self.columns and self.wanted(), self.encoding, self.delimiter
        )
        table.check_has([*self.wanted(), *self.leave_out])
        return table

    def _used(self, table: Table) -> list[str]:
        """Return the columns of the vector."""
        if self.columns is not None:
            return list(self.columns)
        others = {*self.wanted(), *self.leave_out}
        used = [column for column in table.columns if column not in others]
        if not used:
            raise BadInputError(f"{table.name} has no column left to make vectors of")
        return used

    @property
    def _way_out(self) -> str:
        if self.columns is not None:
            return "; target.columns is of columns of numbers"
        return "; target.leave_out=[{}] takes away what is no number"

    def _scaling(self, columns: Sequence[str], pool: Floats) -> Scaling:
        try:
            return Scaling.fitted(columns, pool, self.missing, self.standardise)
        except BadInputError as error:
            raise BadInputError(f"{self.file}: {error}") from error


def read_numbers(
    file: Path,
    name: str,
    wanted: Sequence[str] | None,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    advice: Advice = TARGET,
) -> Table:
    """Read a table or an npz archive; see `read_table`."""
    if file.suffix.lower() == ENDING:
        return read_arrays(file, name)
    return read_table(file, name, wanted, encoding, delimiter, advice)


def numbers_of(
    table: Table, columns: Sequence[str], way_out: str = ""
) -> tuple[tuple[str, ...], Floats]:
    """Return columns as numbers, (n, d); NaN where one is missing.

    Args:
        table: the table.
        columns: names of the columns.
        way_out: ends the message about columns that hold something else; `{}` is replaced by the
            names of these columns.

    Raises:
        BadInputError: a cell holds something that is no number.
    """
    found, broken = [], dict[str, str]()
    for column in columns:
        try:
            found.append(_numbers(table, column))
        except BadInputError as error:
            broken[column] = str(error)
    if broken:
        told = way_out.format(",".join(broken))
        raise BadInputError(f"{next(iter(broken.values()))}{told}")
    return tuple(columns), np.column_stack(found)


def check_complete(
    table: Table, columns: Sequence[str], values: Floats, way_out: str = WAYS_OUT
) -> None:
    """Raise `BadInputError` if any of a table's numbers (n, d) is missing.

    `way_out` ends the message.
    """
    empty = np.isnan(values)
    if not empty.any():
        return
    row, place = (int(i) for i in np.argwhere(empty)[0])
    n, of = int(empty.sum()), [columns[int(i)] for i in np.flatnonzero(empty.any(axis=0))]
    all_told = f" ({n} such cells, in {named(of)})" if n > 1 else ""
    raise BadInputError(
        f"{table.place(row)}, column {columns[place]!r}: a number is missing{all_told}{way_out}"
    )


def _numbers(table: Table, column: str) -> Floats:
    """Return a column as numbers (n,); NaN where one is missing."""
    told = table.columns[column]
    try:
        plain = [np.nan if value is None else value for value in told]
        found = np.array(plain, dtype=np.float64)
        if found.ndim != 1:
            raise ValueError(column)
    except (TypeError, ValueError):
        found = np.array([_number(table, column, i, value) for i, value in enumerate(told)])
    with np.errstate(invalid="ignore"):
        beyond = np.flatnonzero(np.abs(found) > LARGEST)
    if len(beyond):
        row = int(beyond[0])
        shown = f"{table.place(row)}, column {column!r}: {told[row]}"
        raise BadInputError(f"{shown} is no finite number that float32 holds")
    return found


def _number(table: Table, column: str, row: int, value: Any) -> float:
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        return float("nan")
    text = str(value).strip()
    try:
        return TRUTH[text.lower()] if text.lower() in TRUTH else float(text)
    except ValueError:
        comma = "; write decimals with a point and thousands without a comma"
        told = comma if "," in text and any(c.isdigit() for c in text) else ""
        place = f"{table.place(row)}, column {column!r}"
        raise BadInputError(f"{place}: {text[:40]!r} is no number{told}") from None


def _matrix(rows: Sequence[Row]) -> tuple[Floats, tuple[str, ...]]:
    columns: tuple[str, ...] = rows[0].input.value.columns
    return np.stack([row.input.value.values for row in rows]), columns


def _columns_of(examples: Examples) -> tuple[str, ...]:
    whole = getattr(examples, "whole", examples)
    assert isinstance(whole, VectorExamples)
    return whole.scaling.columns


def _scaled(examples: Examples, scaling: Scaling) -> VectorExamples:
    made = VectorExamples(raw_values(examples), examples.labels, scaling, examples.groups)
    made.clusters = examples.clusters
    return made


def _oddities(rows: Rows) -> Iterator[str]:
    """Yield remarks on odd columns: constant ones, and those that merely number the rows."""
    pool, columns = _matrix(rows.pool)
    everything = np.concatenate([pool, _matrix(rows.test)[0]])
    alike = [columns[i] for i in np.flatnonzero((pool == pool[:1]).all(axis=0))]
    if alike:
        yield f"all that is learned from has one number in column {named(alike)}: it tells nothing"
    for column, values in zip(columns, everything.T, strict=True):
        if _counts(values):
            way_out = f"target.leave_out=[{column}]"
            yield f"column {column!r} numbers the rows: if it means nothing, {way_out}"


def _counts(values: Floats) -> bool:
    """Return whether values (n,) are consecutive numbers, in any order, each once.

    Always False for fewer than `FEWEST` values.
    """
    n, least = len(values), values.min()
    return n >= FEWEST and bool(np.array_equal(np.sort(values), np.arange(n) + least))
