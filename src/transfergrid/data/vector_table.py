"""Vectors: the numeric columns of a table, and their labels."""

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
"""Numbers that are written as truth values."""
FEWEST = 10
"""Rows from which on a column that numbers them is told."""
LARGEST = float(np.finfo(np.float32).max)


WAYS_OUT = "; target.missing=mean, median or zero puts one there, and drop leaves such rows out"


class Vector(NamedTuple):
    """The numbers of a row (d,), NaN where one is missing, and what they are called."""

    values: Floats
    columns: tuple[str, ...]

    def as_input(self, columns: tuple[str, ...], spelled: str) -> Input:
        """Return it with its numbers in this order.

        Raises:
            BadInputError: it has others; the message calls the table so.
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

    In an npz an array (n,) is a column, and x of (n, d) is x0, x1, ...; `x_train`, `x_val` and
    `x_test` are its splits. Missing numbers and the scale of columns are settled by the pool alone.

    Attributes:
        file: the table, or a folder of them.
        columns: those that make a vector, in this order; by default all that have no other purpose.
        leave_out: columns that are not among these by default.
        label: the column of labels; of numbers one, or several.
        missing: what to do where a number is missing: "refuse" the table, "drop" these rows, or
            put the column's "mean" or "median" there, or "zero".
        standardise: by the mean and the deviation of the "pool", or "none".
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
        """Those that were named."""
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
        """See `TableDomain.load`; what scales the vectors is fitted to the pool as it is left."""
        loaded = super().load()
        told = self._scaling(_columns_of(loaded.pool), raw_values(loaded.pool))
        return replace(loaded, pool=_scaled(loaded.pool, told), test=_scaled(loaded.test, told))

    def measured(self) -> str:
        """See `TableDomain.measured`; the columns are told too."""
        rows = self.rows()
        values, columns = _matrix(rows.pool)
        self._scaling(columns, values)  # says what is wrong with a column
        return json.dumps({**json.loads(super().measured()), "columns": columns})

    def rows(self) -> Rows:
        """See `TableDomain.rows`; what is odd about columns is a remark."""
        rows = super().rows()
        remarks = [*rows.notes.get(REMARKS, ()), *_oddities(rows)]
        if remarks:
            rows.notes[REMARKS] = remarks
        return rows

    def inputs(self, table: Table) -> list[Input | None]:
        """Return each row's numbers; None for one that is dropped."""
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
        """Return vectors in memory, as they are in the table."""
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
        """Return the columns that make a vector."""
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
        table: that they are in.
        columns: their names.
        way_out: of a column of something else; `{}` stands for the names of all these.

    Raises:
        BadInputError: a cell holds something else.
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
    """Raise `BadInputError`, with this way out, if any of a table's numbers (n, d) is missing."""
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
    """Yield what is odd about the columns."""
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
    """Return whether values (n,) are consecutive whole numbers, each there once."""
    n, least = len(values), values.min()
    return n >= FEWEST and bool(np.array_equal(np.sort(values), np.arange(n) + least))
