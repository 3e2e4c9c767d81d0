"""Columns of a table: CSV, TSV, JSON lines, JSON or Parquet, with errors that name the line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transfergrid.errors import BadInputError, did_you_mean

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
SUFFIXES = (*DELIMITERS, ".jsonl", ".ndjson", ".json", ".parquet")
SPELLED_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}
LARGEST_FIELD = 1 << 30
"""Characters of one CSV field; the csv module's own limit is shorter than many a document."""


@dataclass(frozen=True)
class Table:
    """Some columns of a table, all of the same length.

    Attributes:
        name: how errors call it.
        columns: plain values: text, numbers, truth values, or None where there is none.
        numbers: of each row's line in a text file, else of the row, from 1 on.
        unit: "line" or "row".
    """

    name: str
    columns: dict[str, list[Any]]
    numbers: Sequence[int]
    unit: str

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.numbers)

    def place(self, row: int) -> str:
        """Say where a row (from 0 on) is."""
        return f"{self.name}: {self.unit} {self.numbers[row]}"

    def only(self, rows: Sequence[int]) -> Table:
        """Return these rows (from 0 on)."""
        kept = {key: [values[i] for i in rows] for key, values in self.columns.items()}
        return Table(self.name, kept, [self.numbers[i] for i in rows], self.unit)


def is_table(name: str) -> bool:
    """Tell by its name whether a file should hold a table."""
    return Path(name).suffix.lower() in SUFFIXES


def read_table(
    file: Path,
    name: str,
    columns: Iterable[str],
    encoding: str = "utf-8",
    delimiter: str | None = None,
) -> Table:
    """Read columns of a table; its kind is told by the file's ending.

    Args:
        file: where it is.
        name: how errors call it.
        columns: the columns to read.
        encoding: of the text formats; a byte order mark may or may not be there.
        delimiter: between the fields of CSV; by default as the file's ending says.

    Raises:
        BadInputError: it cannot be read, or has no such column, or no rows.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES or not file.is_file():
        known = ", ".join(SUFFIXES)
        raise BadInputError(f"{name} is no table that can be read here; there is {known}")
    wanted = list(dict.fromkeys(columns))
    try:
        if suffix == ".parquet":
            table = _parquet(file, name, wanted)
        elif suffix in DELIMITERS:
            between = _delimiter(delimiter) or DELIMITERS[suffix]
            table = _csv(_decoded(file, name, encoding), name, wanted, between)
        else:
            table = _json(_decoded(file, name, encoding), name, wanted, suffix == ".json")
    except OSError as error:
        raise BadInputError(f"cannot read {name}: {error.strerror or error}") from error
    if not len(table):
        raise BadInputError(f"{name} has no rows")
    return table


def _delimiter(spelled: str | None) -> str | None:
    if spelled is None:
        return None
    delimiter = SPELLED_DELIMITERS.get(spelled, spelled)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise BadInputError(f"delimiter must be one character, or tab, not {spelled!r}")
    return delimiter


def _decoded(file: Path, name: str, encoding: str) -> str:
    """Return a file's text, without a byte order mark."""
    content = file.read_bytes()
    if not content.strip():
        raise BadInputError(f"{name} is empty")
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding, errors="replace")
        told = f"line {before.count(chr(10)) + 1} has bytes that are no {encoding}"
        raise BadInputError(
            f"{name}: {told} ({content[error.start]:#04x}); give another, as in "
            "target.encoding=latin-1"
        ) from error
    except (LookupError, ValueError) as error:
        raise BadInputError(f"there is no encoding {encoding!r}; try utf-8 or latin-1") from error


def _csv(text: str, name: str, wanted: list[str], delimiter: str) -> Table:
    """Read CSV; tab-separated fields may hold quotes that quote nothing."""
    try:
        return _fields(text, name, wanted, delimiter, csv.QUOTE_MINIMAL)
    except _QuotingError as error:
        if delimiter != "\t":
            raise BadInputError(str(error)) from error
        return _fields(text, name, wanted, delimiter, csv.QUOTE_NONE)


class _QuotingError(Exception):
    """Quotes in a CSV file that do not fit its quoting."""


def _fields(
    text: str, name: str, wanted: list[str], delimiter: str, quoting: Literal[0, 3]
) -> Table:
    csv.field_size_limit(LARGEST_FIELD)
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=delimiter, strict=True, quoting=quoting)
    header: list[str] | None = None
    places: list[int] = []
    columns: list[list[str]] = []
    numbers: list[int] = []
    line = 1
    try:
        for fields in reader:
            if not fields:
                pass  # a blank line
            elif header is None:
                header = [field.strip() for field in fields]
                places = _places(header, name, wanted, delimiter)
                columns = [[] for _ in wanted]
            elif len(fields) != len(header):
                counts = f"{len(fields)} fields, but the header has {len(header)}"
                raise BadInputError(f"{name}: line {line} has {counts}")
            else:
                numbers.append(line)
                for column, place in zip(columns, places, strict=True):
                    column.append(fields[place])
            line = reader.line_num + 1
    except csv.Error as error:
        raise _QuotingError(f"{name}: line {line} is broken CSV: {error}") from error
    return Table(name, dict(zip(wanted, columns, strict=True)), numbers, "line")


def _places(header: list[str], name: str, wanted: list[str], delimiter: str) -> list[int]:
    """Return where in the header each wanted column stands."""
    for column in wanted:
        if header.count(column) > 1:
            raise BadInputError(f"{name} has a column {column!r} more than once")
        if column not in header:
            for other, word in ((";", '";"'), ("\t", "tab"), (",", '","'), ("|", '"|"')):
                if other != delimiter and len(header) == 1 and other in header[0]:
                    hint = f"give target.delimiter={word}"
                    raise BadInputError(
                        f"{name} has no column {column!r}, only {header[0]!r}: {hint}"
                    )
            raise _no_column(name, column, header)
    return [header.index(column) for column in wanted]


def _no_column(name: str, column: str, known: Sequence[str]) -> BadInputError:
    near = did_you_mean(column, known)
    there = "" if "there is" in near else f" It has {', '.join(map(str, known))}"
    return BadInputError(f"{name} has no column {column!r}{near}{there}")


def _json(text: str, name: str, wanted: list[str], whole: bool) -> Table:
    """Read a JSON list of objects, or objects line by line."""
    if whole:
        try:
            rows = json.loads(text)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data" or error.lineno == 1:  # else these are JSON lines
                raise _broken(name, error.lineno, error) from error
        except RecursionError as error:
            raise _broken(name, 1, error) from error
        else:
            if not isinstance(rows, list):
                raise BadInputError(f"{name} must hold a list of rows, as in [{{...}}, {{...}}]")
            return _objects(rows, list(range(1, len(rows) + 1)), "row", name, wanted)
    # not splitlines, which also breaks at separators that JSON allows inside a text
    lines = enumerate(text.split("\n"), start=1)
    read = [(number, _line(line, number, name)) for number, line in lines if line.strip()]
    return _objects([row for _, row in read], [n for n, _ in read], "line", name, wanted)


def _line(line: str, number: int, name: str) -> Any:
    try:
        return json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise _broken(name, number, error) from error


def _broken(name: str, line: int, error: Exception) -> BadInputError:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
    return BadInputError(f"{name}: line {line} is broken JSON: {reason}")


def _objects(rows: list[Any], numbers: list[int], unit: str, name: str, wanted: list[str]) -> Table:
    for row, number in zip(rows, numbers, strict=True):
        if not isinstance(row, dict):
            raise BadInputError(f'{name}: {unit} {number} is no object like {{"text": ...}}')
    known = list(dict.fromkeys(key for row in rows for key in row))
    for column in wanted:
        if rows and column not in known:
            raise _no_column(name, column, known)
    return Table(name, {c: [row.get(c) for row in rows] for c in wanted}, numbers, unit)


def _parquet(file: Path, name: str, wanted: list[str]) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as opened:
            known = opened.schema_arrow.names
            for column in wanted:
                if column not in known:
                    raise _no_column(name, column, known)
            read = opened.read(columns=wanted)
            columns = {column: read.column(column).to_pylist() for column in wanted}
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise BadInputError(f"{name} cannot be read as Parquet: {reason}") from error
    return Table(name, columns, range(1, read.num_rows + 1), "row")
