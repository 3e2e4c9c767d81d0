"""Columns of a table: CSV, TSV, JSON lines, JSON or Parquet, with errors that name the line."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfergrid.records.errors import BadInputError
from transfergrid.records.table_formats import (
    TARGET,
    Advice,
    Columns,
    csv_columns,
    json_columns,
    parquet_columns,
)

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
SUFFIXES = (*DELIMITERS, ".jsonl", ".ndjson", ".json", ".parquet")
LOOKED_AT = 1000
"""Characters at the beginning of a file by which an encoding without a mark is told."""
SPELLED_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}


@dataclass(frozen=True)
class Table:
    """Some columns of a table, all of the same length.

    Attributes:
        file: where it was read from.
        name: how errors call it.
        columns: plain values: text, numbers, truth values, or None where there is none.
        numbers: of each row's line in a text file, else of the row, from 1 on.
        unit: "line" or "row".
    """

    file: Path
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
        return Table(self.file, self.name, kept, [self.numbers[i] for i in rows], self.unit)


def is_table(name: str) -> bool:
    """Tell by its name whether a file should hold a table."""
    return Path(name).suffix.lower() in SUFFIXES


def read_table(
    file: Path,
    name: str,
    wanted: Iterable[str],
    encoding: str = "utf-8",
    delimiter: str | None = None,
    advice: Advice = TARGET,
) -> Table:
    """Read columns of a table; its kind is told by the file's ending.

    Args:
        file: where it is.
        name: how errors call it.
        wanted: the columns to read.
        encoding: of the text formats; a byte order mark may or may not be there.
        delimiter: between the fields of CSV; by default as the file's ending says.
        advice: for errors.

    Raises:
        BadInputError: it cannot be read, or has no such column, or no rows.
    """
    between = _delimiter(delimiter)
    if not is_table(file.name) or not file.is_file():
        raise BadInputError(f"{name} is no table that can be read; there is {', '.join(SUFFIXES)}")
    try:
        told = _columns(file, name, list(dict.fromkeys(wanted)), encoding, between, advice)
    except OSError as error:
        raise BadInputError(f"cannot read {name}: {error.strerror or error}") from error
    if not told[1]:
        raise BadInputError(f"{name} has no rows")
    return Table(file, name, *told)


def _columns(
    file: Path,
    name: str,
    wanted: list[str],
    encoding: str,
    delimiter: str | None,
    advice: Advice,
) -> Columns:
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return parquet_columns(file, name, wanted, advice)
    text = _decoded(file, name, encoding, advice)
    if suffix in DELIMITERS:
        return csv_columns(text, name, wanted, delimiter or DELIMITERS[suffix], advice)
    return json_columns(text, name, wanted, suffix == ".json", advice)


def _delimiter(spelled: str | None) -> str | None:
    if spelled is None:
        return None
    delimiter = SPELLED_DELIMITERS.get(spelled, spelled)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise BadInputError(f"delimiter must be one character, or tab, not {spelled!r}")
    return delimiter


def _decoded(file: Path, name: str, encoding: str, advice: Advice) -> str:
    """Return a file's text, without a byte order mark."""
    content = file.read_bytes()
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding, errors="replace")
        line = before.count("\n") + 1
        other = "utf-16" if content[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "latin-1"
        raise BadInputError(
            f"{name}: line {line} has bytes that are no {encoding} "
            f"({content[error.start]:#04x}); if it is another: {advice.key}encoding={other}"
        ) from error
    except (LookupError, ValueError) as error:
        raise BadInputError(f"there is no encoding {encoding!r}; try utf-8 or latin-1") from error
    if not text.strip():
        raise BadInputError(f"{name} is empty")
    begin = text[:LOOKED_AT]
    if begin.count("\0") > len(begin) // 4:  # every other character: each was two bytes
        other = "utf-16-be" if text.startswith("\0") else "utf-16-le"
        raise BadInputError(
            f"{name} is no {encoding}: every other byte is zero; it looks like "
            f"{advice.key}encoding={other}"
        )
    return text
