"""Ratings: a table of who gave which value to what, as the entries of a matrix."""

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
    """A table with a line for each entry that is known; see `TableDomain` for its splits.

    What has no line is missing, and not zero. A budget of `labels` is of known entries in all, as
    they come. A user's entries depend on each other, so errors are by user, unless
    `cluster_column` says otherwise: a column, of which none is then in pool and test, or false.

    Attributes:
        user: the column of who, a matrix's row.
        item: the column of what, its column.
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
        """The two columns of names."""
        return (self.user, self.item)

    def inputs(self, table: Table) -> list[Input | None]:
        """Return each row's two names."""
        names = zip(*(self._names(table, column) for column in self.input_columns), strict=True)
        return [Input(both, both) for both in names]

    def _names(self, table: Table, column: str) -> list[str]:
        return [present(table, column, row) for row in range(len(table))]

    def examples(
        self, rows: Sequence[Row], labels: Labels, groups: NDArray[np.str_] | None
    ) -> EntryExamples:
        """Return entries in memory."""
        users, items = zip(*(row.input.value for row in rows), strict=True)
        return EntryExamples(users, items, labels, groups)

    def load(self) -> LoadedDomain:
        """See `TableDomain.load`; test entries depend on others of their user, unless said."""
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
