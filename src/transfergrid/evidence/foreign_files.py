"""Tables of results as they come: a file of any kind, standard input, a data frame, columns."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfergrid.evidence.foreign_columns import OPTIONAL, REQUIRED, TableColumns
from transfergrid.records import tables
from transfergrid.records.errors import BadInputError
from transfergrid.records.tables import Table

STANDARD_INPUT = "-"
BETWEEN = " / "
"""Between the headings of one column that stand in several rows."""
_DOCUMENTS = (".xlsx", ".xls", ".ods", ".numbers", ".tex", ".pdf", ".html", ".docx")
_MARKDOWN = (".md", ".markdown")
_RULE = re.compile(r"\|?(\s*:?-+:?\s*\|?)+")
_EMPHASIS = re.compile(r"^(\*{1,3}|_{2,3})(.*)\1$")


def read_table(path: str | Path, headings: int = 1) -> Table:
    """Read all columns of a CSV, TSV, JSON lines, JSON, Parquet or markdown table.

    CSV may have commas, semicolons or tabs between its fields, as its first line says.

    Args:
        path: of the file; "-" is standard input.
        headings: rows of headings. A column's headings are joined by " / "; one that is blank is
            that on its left, as in cells that were merged.

    Raises:
        BadInputError: it is missing, of another kind or damaged; the line is named.
    """
    if str(path) == STANDARD_INPUT:
        return _standard_input(headings)
    return _read(Path(path), str(path), headings)


def _standard_input(headings: int) -> Table:
    content = sys.stdin.buffer.read()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"input{_ending(content)}"
        file.write_bytes(content)
        return _read(file, "standard input", headings)


def _ending(content: bytes) -> str:
    """Return the ending of a file that begins like this."""
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if content[:4] == b"PAR1":
        return ".parquet"
    return {b"[": ".json", b"{": ".jsonl", b"|": ".md"}.get(start, ".csv")


def _read(file: Path, name: str, headings: int) -> Table:
    suffix = file.suffix.lower()
    if suffix in _DOCUMENTS:
        raise BadInputError(f"{name}: a {suffix} file is no table of text; save it as CSV")
    if suffix in _MARKDOWN or (headings > 1 and suffix in tables.DELIMITERS):
        return _rewritten(file, name, headings)
    if headings > 1:
        raise BadInputError(f"{name}: only CSV and markdown have {headings} rows of headings")
    names, delimiter = _header(file, name)
    twice = [column for column in names if names.count(column) > 1]
    if len(names) == 1 and re.search(r"\s|&", names[0]):
        raise BadInputError(
            f"{name} has one column, {names[0]!r}: columns stand between commas, semicolons, tabs "
            "or, in markdown, |"
        )
    if twice:
        raise BadInputError(
            f"{name} has more than one column {twice[0]!r}; two rows of headings are read with "
            "--wide, as in --wide target,seed"
        )
    return tables.read_table(file, name, names, delimiter=delimiter)


def _rewritten(file: Path, name: str, headings: int) -> Table:
    """Read a file as CSV with one row of headings, its lines where they were."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInputError(f"cannot read {name}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise _no_text(name, error) from None
    lines = text.splitlines()
    between = "," if file.suffix.lower() in _MARKDOWN else _delimiter(lines, file.suffix.lower())
    if file.suffix.lower() in _MARKDOWN:
        lines = [_of_markdown(line) for line in lines]
    lines = _one_header(lines, headings, between, name)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "table.csv"
        plain.write_text("\n".join(lines) + "\n", encoding="utf-8")
        names = next(csv.reader(lines[:1], delimiter=between), [])
        return tables.read_table(plain, name, names, delimiter=between)


def _of_markdown(line: str) -> str:
    """Return a line of a markdown table as one of CSV; empty where it is none."""
    text = line.strip()
    if "|" not in text or _RULE.fullmatch(text):
        return ""
    fields = re.split(r"(?<!\\)\|", text.removeprefix("|").removesuffix("|"))
    plain = [_EMPHASIS.sub(r"\2", field.strip().replace("\\|", "|")) for field in fields]
    return _as_csv(plain, ",")


def _as_csv(fields: Sequence[str], between: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=between, lineterminator="").writerow(fields)
    return out.getvalue()


def _one_header(lines: Sequence[str], headings: int, between: str, name: str) -> list[str]:
    """Return the lines with one header, on the first of them, in place of several."""
    places = [i for i, line in enumerate(lines) if line.strip()][: headings + 1]
    if len(places) <= headings:
        raise BadInputError(f"{name} has no rows below {headings} of headings")
    rows = [next(csv.reader([lines[i]], delimiter=between)) for i in places]
    own = rows[headings] if headings > 1 and _names_rows(rows[headings]) else None
    last_row = [field.strip() for field in rows[headings - 1]]
    levels = [*map(_to_the_right, rows[: headings - 1]), last_row]
    if len({len(row) for row in levels}) > 1:
        raise BadInputError(f"{name}: its {headings} rows of headings are not of one length")
    names = [
        own[i] if own and own[i].strip() else _joined(parts)
        for i, parts in enumerate(zip(*levels, strict=True))
    ]
    last = places[-1] if own else places[headings - 1]
    return [_as_csv(names, between), *[""] * last, *lines[last + 1 :]]


def _names_rows(row: Sequence[str]) -> bool:
    """Return whether a row names the columns left of the scores, as pandas writes several levels.

    Such a row is blank wherever a score would stand.
    """
    named = [bool(field.strip()) for field in row]
    return any(named) and not all(named) and named == sorted(named, reverse=True)


def _to_the_right(row: Sequence[str]) -> list[str]:
    """Return headings, blank ones as that on their left."""
    found: list[str] = []
    for text in row:
        found.append(text.strip() or (found[-1] if found else ""))
    return found


def _joined(parts: Sequence[str]) -> str:
    """Join a column's headings; one that is the same twice, or blank, once."""
    return BETWEEN.join(dict.fromkeys(filter(None, parts)))


def _header(file: Path, name: str) -> tuple[list[str], str | None]:
    """Return a file's columns, and what stands between its fields; errors are left to the reader.

    A name that occurs twice is given twice.
    """
    try:
        if file.suffix.lower() == ".parquet":
            import pyarrow.parquet

            return list(pyarrow.parquet.read_schema(file).names), None
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() in tables.DELIMITERS:
            lines = text.splitlines()[:1]
            best = _delimiter(lines, file.suffix.lower())
            return [field.strip() for field in next(csv.reader(lines, delimiter=best))], best
        whole = file.suffix.lower() == ".json" and text.lstrip().startswith("[")
        rows = json.loads(text) if whole else map(json.loads, filter(str.strip, text.split("\n")))
        return list(dict.fromkeys(key for row in rows for key in row)), None
    except UnicodeDecodeError as error:
        raise _no_text(name, error) from None
    except (OSError, ValueError, StopIteration, TypeError, csv.Error, RecursionError):
        return [], None


def _delimiter(lines: Sequence[str], suffix: str) -> str:
    """Return what splits the first line into most fields, the usual one of its kind before all."""
    ways = {between: next(csv.reader(lines[:1], delimiter=between)) for between in ",;\t"}
    usual = tables.DELIMITERS.get(suffix, ",")
    return max(ways, key=lambda between: (len(ways[between]), between == usual))


def _no_text(name: str, error: UnicodeDecodeError) -> BadInputError:
    line = error.object[: error.start].count(b"\n") + 1
    return BadInputError(f"{name}: line {line} is no UTF-8 text; save it as UTF-8")


def table_of(frame: Any, columns: TableColumns) -> Table:
    """Return the columns that are asked for of a path, a mapping, or any eager data frame.

    Raises:
        BadInputError: it is none of these.
    """
    if isinstance(frame, Table):
        return frame
    if isinstance(frame, (str, Path)):
        return read_table(frame, len(columns.wide.levels) if columns.wide else 1)
    if isinstance(frame, Mapping):
        read = {str(name): list(values) for name, values in frame.items()}
    else:
        opened = as_narwhals(frame)
        wanted = {columns.name_of(name) for name in (*REQUIRED, *OPTIONAL)}
        meant = set(opened.columns) if columns.wide else wanted
        read = {name: opened[name].to_list() if name in meant else [] for name in opened.columns}
    rows = max(map(len, read.values()), default=0)
    return Table(Path(), "the table", read, range(rows), "row")


def as_narwhals(frame: Any) -> Any:
    """Return a pandas, Polars, PyArrow or other eager data frame in a common dress.

    Raises:
        BadInputError: it is none.
    """
    import narwhals.stable.v1 as nw  # other commands do not pay for it

    try:
        return nw.from_native(frame, eager_only=True)
    except TypeError:
        kind = type(frame).__name__
        lazy = "; collect it first" if "lazy" in kind.lower() else ""
        raise BadInputError(f"{kind} is no data frame that can be read{lazy}") from None
