"""The formats of tables, each read to plain values; errors name the line or the row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from transfergrid.records import contents
from transfergrid.records.errors import BadInputError, did_you_mean
from transfergrid.records.spellings import seen, shown

Columns: TypeAlias = tuple[dict[str, list[Any]], Sequence[int], str]
"""Columns by name, the numbers of their lines or rows, and "line" or "row"."""

LARGEST_FIELD = 1 << 30
"""Characters of one CSV field; the csv module's own limit is shorter than many a document."""
OTHER_DELIMITERS = {";": '";"', "\t": "tab", ",": '","', "|": '"|"'}


@dataclass(frozen=True)
class Advice:
    """How errors say that a table can be read otherwise.

    Attributes:
        key: what stands before `encoding=` and `delimiter=` where a person types them.
        no_column: what to do where a column is missing.
    """

    key: str = "target."
    no_column: str = ""


TARGET = Advice()


def csv_columns(
    text: str, name: str, wanted: Sequence[str], delimiter: str, advice: Advice = TARGET
) -> Columns:
    """Read columns of CSV; the first line names them.

    Args:
        text: of the file.
        name: how errors call it.
        wanted: the columns to read.
        delimiter: between fields. Fields between tabs may hold quotes that quote nothing.
        advice: for errors.

    Raises:
        BadInputError: it lacks a column, or a line is broken or has too many or few fields.
    """
    csv.field_size_limit(LARGEST_FIELD)
    plain = delimiter == "\t" and _quotes_are_plain(text)
    reader = _reader(text, delimiter, csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL)
    records = _records(reader, name)
    header = [field.strip() for field in next(records)[1]]
    places = _places(header, name, wanted, delimiter, advice)
    columns: list[list[str]] = [[] for _ in wanted]
    numbers = []
    for line, fields in records:
        if len(fields) != len(header):
            counts = f"{len(fields)} fields, but the header has {len(header)}"
            raise BadInputError(f"{name}: line {line} has {counts}")
        numbers.append(line)
        for column, place in zip(columns, places, strict=True):
            column.append(fields[place])
    return dict(zip(wanted, columns, strict=True)), numbers, "line"


def _reader(text: str, delimiter: str, quoting: Literal[0, 3]) -> Any:
    stream = io.StringIO(text, newline="")
    return csv.reader(stream, delimiter=delimiter, strict=True, quoting=quoting)


def _records(reader: Any, name: str) -> Any:
    """Yield the line on which each record begins, and its fields; blank lines are passed over."""
    line = 1
    try:
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadInputError(f"{name}: line {line} is broken CSV: {error}") from error


def _quotes_are_plain(text: str) -> bool:
    """Tell whether quotes in tab-separated lines are better taken as they stand.

    They are if all lines have as many tabs, and quoting would be broken, or would make one record
    of several lines without a single doubled quote: then two stray quotes lie far apart.
    """
    lines = [line.count("\t") for line in io.StringIO(text) if line.strip("\r\n")]
    if len(set(lines)) != 1:
        return False
    try:
        quoted = [len(fields) for fields in _reader(text, "\t", csv.QUOTE_MINIMAL) if fields]
    except csv.Error:
        return True
    return len(set(quoted)) != 1 or (len(quoted) != len(lines) and '""' not in text)


def _places(
    header: list[str], name: str, wanted: Sequence[str], delimiter: str, advice: Advice
) -> list[int]:
    """Return where in the header each wanted column stands."""
    for column in wanted:
        _check_once(name, column, header)
        if column not in header:
            raise _no_column(name, column, header, advice, delimiter)
    return [header.index(column) for column in wanted]


def _check_once(name: str, column: str, known: Sequence[str]) -> None:
    if known.count(column) > 1:
        raise BadInputError(f"{name} has more than one column {column!r}")


def _no_column(
    name: str, column: str, known: Sequence[str], advice: Advice, delimiter: str | None = None
) -> BadInputError:
    if delimiter is not None and len(known) == 1:
        for other, spelled in OTHER_DELIMITERS.items():
            if other in known[0]:
                told = f"only {known[0]!r}: give {advice.key}delimiter={spelled}"
                return BadInputError(f"{name} has no column {column!r}, {told}")
    twins = [name for name in known if seen(name) == seen(column)]
    if twins:
        told = f"but {shown(twins[0])}, which looks the same: rename it"
        return BadInputError(f"{name} has no column {shown(column)}, {told}")
    near = did_you_mean(column, known)
    rest = f" (it has {', '.join(known)})" if near.endswith("?") else ""
    return BadInputError(f"{name} has no column {column!r}{near}{rest}{advice.no_column}")


def json_columns(
    text: str, name: str, wanted: Sequence[str], whole: bool, advice: Advice = TARGET
) -> Columns:
    """Read columns of a JSON list of objects, or of objects line by line.

    Args:
        text: of the file.
        name: how errors call it.
        wanted: the columns to read; an object may lack some.
        whole: whether the file should be one list; one that holds lines is read all the same.
        advice: for errors.

    Raises:
        BadInputError: it lacks a column, or a line is broken or holds something else.
    """
    if whole:
        try:
            rows = contents.parsed(text)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data" or error.lineno == 1:
                raise _broken(name, error.lineno, error) from error
        except ValueError as error:
            raise _broken(name, 1, error) from error
        else:
            if not isinstance(rows, list):
                raise BadInputError(f"{name} must hold a list of rows, as in [{{...}}, {{...}}]")
            return _objects(rows, range(1, len(rows) + 1), "row", name, wanted, advice)
    # not splitlines, which also breaks at separators that JSON allows inside a text
    lines = {n: line for n, line in enumerate(text.split("\n"), start=1) if line.strip()}
    rows = [_line(line, number, name) for number, line in lines.items()]
    return _objects(rows, list(lines), "line", name, wanted, advice)


def _line(line: str, number: int, name: str) -> Any:
    try:
        return contents.parsed(line)
    except ValueError as error:
        raise _broken(name, number, error) from error


def _broken(name: str, line: int, error: Exception) -> BadInputError:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else error
    return BadInputError(f"{name}: line {line} is broken JSON: {reason}")


def _objects(
    rows: Sequence[Any],
    numbers: Sequence[int],
    unit: str,
    name: str,
    wanted: Sequence[str],
    advice: Advice,
) -> Columns:
    for row, number in zip(rows, numbers, strict=True):
        if not isinstance(row, dict):
            raise BadInputError(f'{name}: {unit} {number} is no object like {{"text": ...}}')
    known = list(dict.fromkeys(key for row in rows for key in row))
    for column in wanted:
        if rows and column not in known:
            raise _no_column(name, column, known, advice)
    return {column: [row.get(column) for row in rows] for column in wanted}, numbers, unit


def parquet_columns(
    file: Path, name: str, wanted: Sequence[str], advice: Advice = TARGET
) -> Columns:
    """Read columns of a Parquet file.

    Raises:
        BadInputError: it lacks a column, or is damaged or of another kind.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as opened:
            known = opened.schema_arrow.names
            for column in wanted:
                if column not in known:
                    raise _no_column(name, column, known, advice)
                _check_once(name, column, known)
            read = opened.read(columns=list(wanted))
            columns = {column: read.column(column).to_pylist() for column in wanted}
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise BadInputError(f"{name} cannot be read as Parquet: {reason}") from error
    return columns, range(1, read.num_rows + 1), "row"
