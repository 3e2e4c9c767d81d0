"""Matrix entries without values, from tables, in chunks. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from transfergrid.data.entries import EntryExamples
from transfergrid.data.table_domain import present
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.table_formats import Advice
from transfergrid.records.files.tables import is_table, read_table
from transfergrid.verbs.new_examples import Chunk, chunked

ADVICE = Advice("--", ", which this model takes")


def entry_chunks(
    files: Sequence[str],
    columns: tuple[str, str],
    encoding: str = "utf-8",
    delimiter: str | None = None,
) -> Iterator[Chunk]:
    """Yield the entries that these tables request.

    Args:
        files: tables with these columns and possibly others.
        columns: the columns of users and of items, named as in the model's own table.
        encoding: the encoding of tables.
        delimiter: separator of CSV fields; by default it follows from the first line.

    Raises:
        BadInputError: a file cannot be read, lacks a column, or has an empty field in one.
    """
    for name in files:
        if not Path(name).is_file() or not is_table(name):
            wanted = f"this model takes a table with columns {columns[0]} and {columns[1]}"
            raise BadInputError(f"{name}: no such table; {wanted}")
    for name in files:
        table = read_table(Path(name), name, columns, encoding, delimiter, ADVICE)
        users, items = ([present(table, c, row) for row in range(len(table))] for c in columns)
        for part in chunked(range(len(table))):
            asked = [users[i] for i in part], [items[i] for i in part]
            nothing = np.zeros(len(part), dtype=np.float32)
            told = list(zip(*asked, strict=True))
            yield Chunk(columns, told, EntryExamples(*asked, nothing))
