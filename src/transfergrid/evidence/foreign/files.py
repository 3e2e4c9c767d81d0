"""Tables of results from any origin: a file, standard input, a data frame, or columns."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transfergrid.evidence.foreign.columns import OPTIONAL, REQUIRED, TableColumns
from transfergrid.records.errors import BadInputError
from transfergrid.records.files import tables
from transfergrid.records.files.table_formats import BETWEEN, Advice, Asked
from transfergrid.records.files.tables import Table

STANDARD_INPUT = "-"
ADVICE = Advice(None, twice="; two rows of headings are read with --wide, as in --wide target,seed")


def read_table(path: str | Path, headings: int = 1) -> Table:
    """Return all columns of a CSV, TSV, JSON lines, JSON, Parquet or markdown table.

    CSV fields may be separated by commas, semicolons or tabs; the first line decides.

    Args:
        path: path of the file; "-" is standard input.
        headings: number of rows of headings; see `tables.Asked`.

    Raises:
        BadInputError: the file is missing, of another kind or damaged; the line is named.
    """
    if str(path) != STANDARD_INPUT:
        return tables.read_table(Path(path), str(path), None, headings=headings, advice=ADVICE)
    content = sys.stdin.buffer.read()
    asked = Asked(headings=headings, advice=ADVICE)
    return tables.parsed_table(content, _ending(content), "standard input", asked)


def _ending(content: bytes) -> str:
    """Return the file name ending that fits this content."""
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if content[:4] == b"PAR1":
        return ".parquet"
    return {b"[": ".json", b"{": ".jsonl", b"|": ".md"}.get(start, ".csv")


def table_of(frame: Any, columns: TableColumns) -> Table:
    """Return the requested columns of a path, a mapping, or any eager data frame.

    Multi-level headings, as in pandas, are joined like those of a file.

    Raises:
        BadInputError: it is none of these, or its columns have different lengths.
    """
    if isinstance(frame, Table):
        return frame
    if isinstance(frame, (str, Path)):
        return read_table(frame, len(columns.wide.levels) if columns.wide else 1)
    if isinstance(frame, Mapping):
        read = _same_length({name: frame[key] for key, name in _headings(frame).items()})
    else:
        opened = as_narwhals(frame)
        headings = _headings(opened.columns)
        wanted = {columns.name_of(name) for name in (*REQUIRED, *OPTIONAL)}
        meant = set(headings.values()) if columns.wide else wanted
        read = {
            name: opened.get_column(key).to_list() if name in meant else []
            for key, name in headings.items()
        }
    rows = max(map(len, read.values()), default=0)
    return Table(Path(), "the table", read, range(rows), "row")


def _headings(names: Iterable[Any]) -> dict[Any, str]:
    """Return the name of each column as text; pandas allows numbers and tuples too."""
    found = {
        name: BETWEEN.join(filter(None, map(str, name))) if isinstance(name, tuple) else str(name)
        for name in names
    }
    twice = [name for name, n in Counter(found.values()).items() if n > 1]
    if twice:
        raise BadInputError(f"the table has more than one column {twice[0]!r}")
    return found


def _same_length(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    for name, values in columns.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise BadInputError(f"the table: column {name!r} must be a list, not {values!r}")
    read = {name: list(values) for name, values in columns.items()}
    lengths = {len(values): name for name, values in read.items()}
    if len(lengths) > 1:
        told = ", ".join(f"{name!r} has {n}" for n, name in lengths.items())
        raise BadInputError(f"the table: columns must have as many rows as each other: {told}")
    return read


def as_narwhals(frame: Any) -> Any:
    """Return a pandas, Polars, PyArrow or other eager data frame, wrapped by narwhals.

    Raises:
        BadInputError: it is not an eager data frame.
    """
    import narwhals.stable.v1 as nw  # imported late: slow, and seldom needed

    try:
        return nw.from_native(frame, eager_only=True)
    except nw.exceptions.DuplicateError as error:
        told = ", ".join(line.removeprefix("- ") for line in str(error).splitlines()[1:])
        raise BadInputError(f"the table has more than one column of a name: {told}") from None
    except TypeError:
        kind = type(frame).__name__
        lazy = "; collect it first" if "lazy" in kind.lower() else ""
        raise BadInputError(f"{kind} is no data frame that can be read{lazy}") from None
