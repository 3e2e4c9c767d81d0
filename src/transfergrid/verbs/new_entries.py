"""Entries of a matrix without values, out of tables, a few at a time. Needs no torch."""

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
    """Yield the entries that these tables ask for.

    Args:
        files: tables, with these columns and maybe others.
        columns: of users and of items, as the model's own table calls them.
        encoding: of tables.
        delimiter: between the fields of CSV; by default as the first line says.

    Raises:
        BadInputError: a file cannot be read, lacks a column, or has nothing in one.
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
