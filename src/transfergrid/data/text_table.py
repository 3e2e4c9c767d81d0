"""Texts, or pairs of texts, and their labels in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from transfergrid.data.content_splits import NAMED
from transfergrid.data.examples import Labels
from transfergrid.data.table_domain import TableDomain
from transfergrid.data.tables.table_labels import sound_text
from transfergrid.data.tables.table_rows import Input, Row
from transfergrid.data.text import TextExamples
from transfergrid.records.arguments import Columns
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.tables import Table

Empty = Literal["refuse", "drop"]


@dataclass(frozen=True)
class TextTable(TableDomain):
    """A table of texts: CSV, TSV, JSON lines, JSON or Parquet; see `TableDomain` for its splits.

    Attributes:
        file: the table, or a folder of tables.
        text: the column of texts.
        pair: the column of second texts, if examples are pairs, such as two sentences.
        label: the column of labels; with numbers as labels, one column or several.
        empty: what to do with rows whose text is empty: "refuse" the table, or "drop" the rows.
    """

    file: str
    text: str = "text"
    pair: str | None = None
    label: Columns = "label"
    empty: Empty = "refuse"

    modality: ClassVar[str] = "text"
    left_out: ClassVar[str] = "empty_texts"

    def check(self) -> None:
        """See `TableDomain.check`."""
        super().check()

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The column of texts, and that of second texts."""
        return (self.text,) if self.pair is None else (self.text, self.pair)

    def inputs(self, table: Table) -> list[Input | None]:
        """Return each row's text or pair of texts; None for an empty row."""
        made = text_inputs(table, self.input_columns)
        if self.empty != "drop":
            check_none_empty(table, made, "; target.empty=drop leaves them out")
        return made

    def examples(
        self, rows: Sequence[Row], labels: Labels, groups: NDArray[np.str_] | None
    ) -> TextExamples:
        """Return the rows as texts in memory."""
        return TextExamples([row.input.value for row in rows], labels, groups)


def text_inputs(table: Table, columns: Sequence[str]) -> list[Input | None]:
    """Return each row's text, or its pair from two columns; None where a text is empty.

    Raises:
        BadInputError: a cell holds a list, an object or bytes instead of a text.
    """
    made: list[Input | None] = []
    for texts in zip(*(_texts(table, column) for column in columns), strict=True):
        value = texts[0] if len(columns) == 1 else texts
        made.append(Input(value, texts) if all(text.strip() for text in texts) else None)
    return made


def check_none_empty(table: Table, made: Sequence[Input | None], way_out: str = "") -> None:
    """Raise `BadInputError` if any of a table's rows is empty; `way_out` ends the message."""
    empty = [i for i, row in enumerate(made) if row is None]
    if empty:
        numbers = ", ".join(str(table.numbers[i]) for i in empty[:NAMED])
        more = ", ..." if len(empty) > NAMED else ""
        what = f"{len(empty)} empty text{'s' if len(empty) > 1 else ''}"
        raise BadInputError(f"{table.name} has {what}: {table.unit} {numbers}{more}{way_out}")


def _texts(table: Table, column: str) -> list[str]:
    """Return a column as texts; a missing value becomes an empty text."""
    texts = []
    for row, value in enumerate(table.columns[column]):
        if isinstance(value, (list, dict, bytes)):
            kind = type(value).__name__
            raise BadInputError(f"{table.place(row)}, column {column!r}: holds a {kind}, no text")
        missing = value is None or value != value  # NaN differs from itself
        texts.append("" if missing else sound_text(str(value)))
    return texts
