"""Ratings: a table of users, items and values, as the entries of a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.domain import LoadedDomain, Sampling
from transfergrid.data.entries import EntryExamples, counts, users_of
from transfergrid.data.examples import Labels
from transfergrid.data.table_domain import TableDomain, present
from transfergrid.data.tables.table_rows import Input, Row, whole_column
from transfergrid.records.arguments import Column, Columns
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.tables import Table
from transfergrid.records.metrics import NUMBERS


@dataclass(frozen=True, kw_only=True)
class Ratings(TableDomain):
    """A table with a row for each known entry; see `TableDomain` for its splits.

    An entry without a row is missing, not zero. A budget of `labels` counts known entries in
    total, drawn uniformly. A user's entries depend on each other, so test entries are clustered by
    user, unless `group_column` or `cluster_column` says otherwise: a column, none of whose values
    is then in both pool and test; or `cluster_column: false`, independent entries.

    Attributes:
        user: the column of users, the matrix's rows.
        item: the column of items, the matrix's columns.
        label: the column of values.
    """

    user: Column = "user"
    item: Column = "item"
    label: Columns = "value"
    metric: str = "rmse"
    sampling: Sampling = "natural"

    modality: ClassVar[str] = "matrix"
    of_entries: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = (NUMBERS,)

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The columns of users and of items."""
        return (self.user, self.item)

    def inputs(self, table: Table) -> list[Input | None]:
        """Return each row's user and item."""
        names = zip(*(self._names(table, column) for column in self.input_columns), strict=True)
        return [Input(both, both) for both in names]

    def _names(self, table: Table, column: str) -> list[str]:
        return [present(table, column, row) for row in range(len(table))]

    def examples(
        self, rows: Sequence[Row], labels: Labels, groups: NDArray[np.str_] | None
    ) -> EntryExamples:
        """Return the rows as entries in memory."""
        users, items = zip(*(row.input.value for row in rows), strict=True)
        return EntryExamples(users, items, labels, groups)

    def load(self) -> LoadedDomain:
        """See `TableDomain.load`; without declared clusters, test entries are clustered by user."""
        loaded = super().load()
        declared = whole_column(self.cluster_column, self.group_column)
        if declared is None and self.cluster_column is None:
            loaded.test.clusters = users_of(loaded.test)
        return replace(loaded, notes={**loaded.notes, **counts(loaded.pool, loaded.test)})

    def _check_labels(self) -> None:
        super()._check_labels()
        if len(self.label_columns) > 1:
            told = ", ".join(self.label_columns)
            raise BadInputError(f"an entry of a matrix is one number, and target.label is {told}")
