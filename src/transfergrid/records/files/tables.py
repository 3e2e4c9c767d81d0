"""Read columns of a table: CSV, TSV, JSON lines, JSON, Parquet or markdown; errors name the line.

All tables are read by this module: the examples of a target, inputs to predict, results made
elsewhere. Text is parsed by `csv` and `json`, which know the current line. The readers of pyarrow
and Polars count records instead of lines, accept broken quotes or fill short rows, and are not
faster: experiments/benchmarks/README.md.
"""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transfergrid.records.errors import BadInputError
from transfergrid.records.files.table_formats import (
    TARGET,
    Advice,
    Asked,
    Columns,
    csv_columns,
    json_columns,
    markdown_columns,
    no_column,
    parquet_columns,
    sniffed,
)

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
SUFFIXES = (*DELIMITERS, ".jsonl", ".ndjson", ".json", ".parquet")
MARKDOWN = (".md", ".markdown")
"""Suffixes of markdown: read only if the file is named, since in a folder it is documentation."""
DOCUMENTS = (".xlsx", ".xls", ".ods", ".numbers", ".tex", ".pdf", ".html", ".docx")
LOOKED_AT = 1000
"""Number of leading characters that are checked to detect UTF-16 without a byte order mark."""
SPELLED_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}


@dataclass(frozen=True)
class Table:
    """Some columns of a table, all of the same length.

    Attributes:
        file: the file that it was read from.
        name: its name in error messages.
        columns: plain values by column: text, numbers, truth values, or None if missing.
        numbers: for each row the number of its line in a text file, else of the row, from 1 on.
        unit: what `numbers` count: "line" or "row".
    """

    file: Path
    name: str
    columns: dict[str, list[Any]]
    numbers: Sequence[int]
    unit: str

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.numbers)

    def place(self, row: int) -> str:
        """Return the place of a row (counted from 0) in words, for error messages."""
        return f"{self.name}: {self.unit} {self.numbers[row]}"

    def check_has(self, columns: Iterable[str], advice: Advice = TARGET) -> None:
        """Raise `BadInputError` unless the table has all of these columns."""
        for column in columns:
            if column not in self.columns:
                raise no_column(self.name, column, list(self.columns), advice)

    def only(self, rows: Sequence[int]) -> Table:
        """Return a table of these rows (counted from 0)."""
        kept = {key: [values[i] for i in rows] for key, values in self.columns.items()}
        return Table(self.file, self.name, kept, [self.numbers[i] for i in rows], self.unit)


def is_table(name: str) -> bool:
    """Return whether a file is a table, judged by its suffix."""
    return Path(name).suffix.lower() in SUFFIXES


def read_table(
    file: Path,
    name: str,
    wanted: Iterable[str] | None,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    advice: Advice = TARGET,
    headings: int = 1,
) -> Table:
    """Read columns of a table; the suffix of the file determines the format.

    Args:
        file: the file.
        name: its name in error messages.
        wanted: see `Asked`, like all further arguments.
        encoding: see `Asked`.
        delimiter: see `Asked`.
        advice: see `Asked`.
        headings: see `Asked`.

    Raises:
        BadInputError: the file cannot be read, lacks a column, or has no rows.
    """
    suffix = file.suffix.lower()
    if suffix not in (*SUFFIXES, *MARKDOWN) or not file.is_file():
        told = f": a {suffix} file is no table of text; save it as CSV"
        raise BadInputError(
            f"{name} is no table that can be read; there is {', '.join(SUFFIXES)}"
            f"{told if suffix in DOCUMENTS and file.is_file() else ''}"
        )
    asked = Asked(wanted, encoding, delimiter, headings, advice)
    try:
        content = file if suffix == ".parquet" else file.read_bytes()
        return replace(parsed_table(content, suffix, name, asked), file=file)
    except OSError as error:
        raise BadInputError(f"cannot read {name}: {error.strerror or error}") from error


def parsed_table(content: bytes | Path, suffix: str, name: str, asked: Asked) -> Table:
    """Return a table, given the bytes of a file and its suffix; Parquet may be given as a path.

    Raises:
        BadInputError: see `read_table`.
    """
    told = _columns(content, suffix, name, asked)
    if not told[1]:
        raise BadInputError(f"{name} has no rows")
    return Table(content if isinstance(content, Path) else Path(), name, *told)


def _columns(content: bytes | Path, suffix: str, name: str, asked: Asked) -> Columns:
    between = _delimiter(asked.delimiter)
    if asked.headings > 1 and suffix not in (*DELIMITERS, *MARKDOWN):
        told = f"only CSV and markdown have {asked.headings} rows of headings"
        raise BadInputError(f"{name}: {told}")
    if suffix == ".parquet":
        return parquet_columns(content, name, asked)
    assert isinstance(content, bytes)
    text = _decoded(content, name, asked.encoding, asked.advice)
    if suffix in MARKDOWN:
        return markdown_columns(text, name, asked)
    if suffix not in DELIMITERS:
        return json_columns(text, name, asked, suffix == ".json")
    usual = DELIMITERS[suffix]
    found = between or (sniffed(text, usual) if asked.wanted is None else usual)
    return csv_columns(text, name, asked, found)


def _delimiter(spelled: str | None) -> str | None:
    if spelled is None:
        return None
    delimiter = SPELLED_DELIMITERS.get(spelled, spelled)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise BadInputError(f"delimiter must be one character, or tab, not {spelled!r}")
    return delimiter


def _decoded(content: bytes, name: str, encoding: str, advice: Advice) -> str:
    """Return the text of a file's bytes, without a byte order mark.

    Raises:
        BadInputError: the bytes are not in this encoding, or hold no text.
    """
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding, errors="replace")
        line = before.count("\n") + 1
        other = "utf-16" if content[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "latin-1"
        raise BadInputError(
            f"{name}: line {line} has bytes that are no {encoding} "
            f"({content[error.start]:#04x}); {advice.encoded_as(other)}"
        ) from error
    except (LookupError, ValueError) as error:
        raise BadInputError(f"there is no encoding {encoding!r}; try utf-8 or latin-1") from error
    if not text.strip():
        raise BadInputError(f"{name} is empty")
    begin = text[:LOOKED_AT]
    if begin.count("\0") > len(begin) // 4:  # UTF-16 in Latin script: every other byte is zero
        other = "utf-16-be" if text.startswith("\0") else "utf-16-le"
        raise BadInputError(
            f"{name} is no {encoding}: every other byte is zero; {advice.encoded_as(other)}"
        )
    return text
