"""Readers for the formats of tables, which return plain values; errors name the line or the row."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from transfergrid.records.errors import BadInputError, did_you_mean, first_line
from transfergrid.records.files import contents
from transfergrid.records.files.spellings import seen, shown

Columns: TypeAlias = tuple[dict[str, list[Any]], Sequence[int], str]
"""Columns by name, the numbers of their lines or rows, and "line" or "row"."""

LARGEST_FIELD = 1 << 30
"""Largest number of characters in a CSV field; the default of `csv` is too small for documents."""
OTHER_DELIMITERS = {";": '";"', "\t": "tab", ",": '","', "|": '"|"'}
BETWEEN = " / "
"""Separator between the headings of a column that has several rows of headings."""
_RULE = re.compile(r":?-+:?")
_EMPHASIS = re.compile(r"^(\*{1,3}|_{2,3})(.*)\1$")

Row: TypeAlias = tuple[int, list[str]]
"""The line on which a row begins, and its fields."""


@dataclass(frozen=True)
class Advice:
    """Advice in error messages on how to read a table with other options.

    Attributes:
        key: prefix of `encoding=` and `delimiter=` where a user can type them; None where they
            cannot be typed.
        no_column: advice if a column is missing.
        twice: advice if several columns have the same name.
    """

    key: str | None = "target."
    no_column: str = ""
    twice: str = ""

    def encoded_as(self, other: str) -> str:
        """Return the advice for a file that is in another encoding."""
        if self.key is None:
            return f"save it as UTF-8 (it looks like {other})"
        return f"if it is another: {self.key}encoding={other}"


TARGET = Advice()


@dataclass(frozen=True)
class Asked:
    """Which columns of a table to read, and how the table is written.

    Attributes:
        wanted: the columns to read; None for all of them.
        encoding: encoding of the text formats; a byte order mark is optional.
        delimiter: delimiter of CSV fields; by default the one that belongs to the file's suffix
            or, if all columns are read, the one that gives most fields in the first line.
        headings: number of rows of headings in CSV and markdown. The headings of a column are
            joined by `BETWEEN`; a blank one takes the value on its left, as in merged cells.
        advice: advice for error messages.
    """

    wanted: Iterable[str] | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
    headings: int = 1
    advice: Advice = TARGET

    @property
    def names(self) -> list[str]:
        """The names in `wanted` without repetitions; empty if all columns are read."""
        return list(dict.fromkeys(self.wanted or ()))


def csv_columns(text: str, name: str, asked: Asked, delimiter: str) -> Columns:
    """Read columns of CSV text; the first row that is not blank holds the column names.

    Args:
        text: text of the file.
        name: name of the file in error messages.
        asked: what to read.
        delimiter: delimiter between fields. Tab-separated fields may contain unpaired quotes.

    Raises:
        BadInputError: a column is missing, or a line is broken or has too many or too few fields.
    """
    csv.field_size_limit(LARGEST_FIELD)
    plain = delimiter == "\t" and _quotes_are_plain(text)
    reader = _reader(text, delimiter, csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL)
    return _of_rows(_csv_rows(reader, name), name, asked, delimiter)


def markdown_columns(text: str, name: str, asked: Asked) -> Columns:
    """Read columns of a markdown table; lines without `|` are skipped, bold and italics removed.

    Raises:
        BadInputError: a column is missing, or a line has too many or too few fields.
    """
    return _of_rows(_markdown_rows(text), name, asked)


def sniffed(text: str, usual: str) -> str:
    """Return the delimiter that gives most fields in the first line: comma, semicolon or tab.

    The usual delimiter is preferred on a tie.
    """
    csv.field_size_limit(LARGEST_FIELD)
    first = [next((line for line in io.StringIO(text, newline=None) if line.strip()), "")]
    ways = {between: len(next(csv.reader(first, delimiter=between), ())) for between in ",;\t"}
    return max(ways, key=lambda between: (ways[between], between == usual))


def _of_rows(rows: Iterator[Row], name: str, asked: Asked, delimiter: str | None = None) -> Columns:
    header, rows = _headed(rows, asked.headings, name)
    if asked.wanted is None:
        _check_divided(header, name)
    wanted = header if asked.wanted is None else asked.names
    places = _places(header, name, wanted, delimiter, asked.advice)
    columns: list[list[str]] = [[] for _ in wanted]
    numbers = []
    for line, fields in rows:
        if len(fields) != len(header):
            if len(fields) == 1 and not fields[0].strip():
                continue  # a line of spaces only
            counts = f"{len(fields)} fields, but the header has {len(header)}"
            raise BadInputError(f"{name}: line {line} has {counts}")
        numbers.append(line)
        for column, place in zip(columns, places, strict=True):
            column.append(fields[place])
    return dict(zip(wanted, columns, strict=True)), numbers, "line"


def _headed(rows: Iterator[Row], headings: int, name: str) -> tuple[list[str], Iterator[Row]]:
    """Return the column names and the rows below the headings; see `Asked.headings`."""
    *above, last = [fields for _, fields in islice(rows, headings)] or [[]]
    names = [field.strip() for field in last]
    if headings == 1 and names:
        return names, rows
    first = next(rows, None)
    if first is None:
        raise BadInputError(f"{name} has no rows below {headings} of headings")
    levels = [*map(_to_the_right, above), names]
    if len({len(level) for level in levels}) > 1:
        raise BadInputError(f"{name}: its {headings} rows of headings are not of one length")
    joined = [BETWEEN.join(dict.fromkeys(filter(None, parts))) for parts in zip(*levels)]  # noqa: B905
    if not _names_rows(first[1]):
        return joined, chain([first], rows)
    own = [*(field.strip() for field in first[1]), *[""] * len(joined)]
    return [told or told_above for told, told_above in zip(own, joined, strict=False)], rows


def _names_rows(row: Sequence[str]) -> bool:
    """Return whether a row holds index names, as pandas writes them below several rows of headings.

    Such a row has text in its first columns only, and is blank in the columns of values.
    """
    named = [bool(field.strip()) for field in row]
    return any(named) and not all(named) and named == sorted(named, reverse=True)


def _to_the_right(row: Sequence[str]) -> list[str]:
    """Return headings, with each blank one replaced by the heading on its left."""
    found: list[str] = []
    for text in row:
        found.append(text.strip() or (found[-1] if found else ""))
    return found


def _check_divided(header: Sequence[str], name: str) -> None:
    if len(header) == 1 and re.search(r"\s|&", header[0]):
        raise BadInputError(
            f"{name} has one column, {header[0]!r}: columns stand between commas, semicolons, tabs "
            "or, in markdown, |"
        )


def _reader(text: str, delimiter: str, quoting: Literal[0, 3]) -> Any:
    stream = io.StringIO(text, newline="")
    return csv.reader(stream, delimiter=delimiter, strict=True, quoting=quoting)


def _csv_rows(reader: Any, name: str) -> Iterator[Row]:
    """Yield rows; blank lines are skipped."""
    line = 1
    try:
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadInputError(f"{name}: line {line} is broken CSV: {error}") from error


def _markdown_rows(text: str) -> Iterator[Row]:
    """Yield rows, without the separator row below the headings."""
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        told = line.strip()
        inner = told.removeprefix("|").removesuffix("|")
        fields = [field.strip() for field in re.split(r"(?<!\\)\|", inner)]
        if "|" in told and not all(map(_RULE.fullmatch, filter(None, fields))):
            yield number, [_EMPHASIS.sub(r"\2", field.replace("\\|", "|")) for field in fields]


def _quotes_are_plain(text: str) -> bool:
    """Return whether quotes in tab-separated text should be read as ordinary characters.

    They should if all lines have the same number of tabs, and reading them as quotes would fail or
    give uneven rows, or would join several lines into one row although no quote is doubled: then
    two stray quotes were probably paired by accident.
    """
    if '"' not in text:
        return False
    lines = [line.count("\t") for line in io.StringIO(text) if line.strip("\r\n")]
    if len(set(lines)) != 1:
        return False
    try:
        quoted = [len(fields) for fields in _reader(text, "\t", csv.QUOTE_MINIMAL) if fields]
    except csv.Error:
        return True
    return len(set(quoted)) != 1 or (len(quoted) != len(lines) and '""' not in text)


def _places(
    header: list[str], name: str, wanted: Sequence[str], delimiter: str | None, advice: Advice
) -> list[int]:
    """Return the index of each wanted column in the header."""
    for column in wanted:
        _check_once(name, column, header, advice)
        if column not in header:
            raise no_column(name, column, header, advice, delimiter)
    return [header.index(column) for column in wanted]


def _check_once(name: str, column: str, known: Sequence[str], advice: Advice) -> None:
    if known.count(column) > 1:
        raise BadInputError(f"{name} has more than one column {column!r}{advice.twice}")


def no_column(
    name: str, column: str, known: Sequence[str], advice: Advice, delimiter: str | None = None
) -> BadInputError:
    """Return the error for a missing column, with a hint made from the columns that exist."""
    if delimiter is not None and advice.key is not None and len(known) == 1:
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


class Repeated(dict[str, Any]):
    """A JSON object in which a key occurs more than once; the last value of a key counts."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        """Keep all keys, including repeated ones, in their order."""
        super().__init__(pairs)
        self.names = [name for name, _ in pairs]


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Repeated(pairs)


_JSON = json.JSONDecoder(object_pairs_hook=_object)


def json_columns(text: str, name: str, asked: Asked, whole: bool) -> Columns:
    """Read columns of a JSON list of objects, or of one JSON object per line.

    A single object may lack a column; its value is then None.

    Args:
        text: text of the file.
        name: name of the file in error messages.
        asked: what to read.
        whole: whether the file should be one list; a file with one object per line is read too.

    Raises:
        BadInputError: no object has a requested column, or a line is broken, is not an object, or
            has a column more than once.
    """
    if whole:
        try:
            rows = contents.parsed(text, _JSON.decode)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data" or error.lineno == 1:
                raise _broken(name, error.lineno, error) from error
        except ValueError as error:
            raise _broken(name, 1, error) from error
        else:
            if not isinstance(rows, list):
                raise BadInputError(f"{name} must hold a list of rows, as in [{{...}}, {{...}}]")
            return _objects(rows, range(1, len(rows) + 1), "row", name, asked)
    # not splitlines, which also splits at characters that JSON allows inside a string
    lines = {n: line for n, line in enumerate(text.split("\n"), start=1) if line.strip()}
    rows = [_line(line, number, name) for number, line in lines.items()]
    return _objects(rows, list(lines), "line", name, asked)


def _line(line: str, number: int, name: str) -> Any:
    try:
        return contents.parsed(line, _JSON.decode)
    except ValueError as error:
        raise _broken(name, number, error) from error


def _broken(name: str, line: int, error: Exception) -> BadInputError:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else error
    return BadInputError(f"{name}: line {line} is broken JSON: {reason}")


def _objects(
    rows: Sequence[Any], numbers: Sequence[int], unit: str, name: str, asked: Asked
) -> Columns:
    for row, number in zip(rows, numbers, strict=True):
        if not isinstance(row, dict):
            raise BadInputError(f'{name}: {unit} {number} is no object like {{"text": ...}}')
        if isinstance(row, Repeated):
            for column in row if asked.wanted is None else asked.names:
                _check_once(f"{name}: {unit} {number}", column, row.names, TARGET)
    known = list(dict.fromkeys(chain.from_iterable(rows)))
    for column in asked.names:
        if rows and column not in known:
            raise no_column(name, column, known, asked.advice)
    wanted = known if asked.wanted is None else asked.names
    return {column: [row.get(column) for row in rows] for column in wanted}, numbers, unit


def parquet_columns(content: bytes | Path, name: str, asked: Asked) -> Columns:
    """Read columns of a Parquet file, given its path or its bytes.

    Raises:
        BadInputError: a column is missing, or the file is damaged or not Parquet.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        source = content if isinstance(content, Path) else pa.BufferReader(arrows_own(content))
        with parquet.ParquetFile(source) as opened:
            known = opened.schema_arrow.names
            wanted = known if asked.wanted is None else asked.names
            for column in wanted:
                if column not in known:
                    raise no_column(name, column, known, asked.advice)
                _check_once(name, column, known, asked.advice)
            read = opened.read(columns=wanted)
            columns = {column: read.column(column).to_pylist() for column in wanted}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInputError(f"{name} cannot be read as Parquet: {first_line(error)}") from error
    return columns, range(1, read.num_rows + 1), "row"


def arrows_own(content: bytes) -> Any:
    """Return a copy of bytes in memory that Arrow owns.

    If an Arrow thread released Python's bytes while Python exits, the process would abort.
    """
    import pyarrow as pa

    kept = pa.BufferOutputStream()
    kept.write(content)
    return kept.getvalue()
