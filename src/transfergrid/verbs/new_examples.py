"""Unlabelled examples from files of any kind, in chunks. Needs no torch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from transfergrid.data.content_splits import named
from transfergrid.data.examples import Examples
from transfergrid.data.images.brightness import Scale
from transfergrid.data.images.image_files import FileExamples
from transfergrid.data.images.image_kinds import is_junk, sorted_by_kind
from transfergrid.data.tables.array_tables import ENDING
from transfergrid.data.text import TextExamples
from transfergrid.data.text_table import check_none_empty, text_inputs
from transfergrid.data.vector_table import check_complete, numbers_of, read_numbers
from transfergrid.data.vectors import Scaling, VectorExamples
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.fingerprints import visible_files
from transfergrid.records.files.table_formats import Advice
from transfergrid.records.files.tables import is_table, read_table
from transfergrid.records.printing import say

CHUNK = 4096
"""The number of examples in memory at once; a multiple of the batch sizes in which cells are
scored."""
STDIN = "-"
PLAIN = ".txt"
ADVICE = Advice("--", "; --text names the column")
ADVICE_FOR_PAIRS = Advice("--", "; --text and --pair name the columns")

ADVICE_FOR_VECTORS = Advice("--", ", which this model takes")

T = TypeVar("T")


@dataclass
class Chunk:
    """Some examples, with the output columns that precede each one's label."""

    columns: tuple[str, ...]
    told: list[tuple[Any, ...]]
    examples: Examples


def chunked(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Yield lists of at most `size` items."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def image_chunks(files: Sequence[str], scale: Scale) -> Iterator[Chunk]:
    """Yield the images among these files and inside these folders.

    Args:
        files: images and folders.
        scale: which values are black and white in images of more than 8 bits.

    Raises:
        BadInputError: a file does not exist, or a folder contains no images.
    """
    names = [name for typed in files for name in _images(typed)]
    for part in chunked(names):
        nothing = np.zeros(len(part), dtype=np.int64)
        examples = FileExamples([Path(name) for name in part], nothing, scale=scale)
        yield Chunk(("file",), [(name,) for name in part], examples)


def _images(typed: str) -> list[str]:
    path = Path(typed)
    if path.is_file():
        return [typed]
    if not path.is_dir():
        raise BadInputError(f"no such file or folder: {typed}")
    kinds = sorted_by_kind(path.absolute(), (n for n in visible_files(path) if not is_junk(n)))
    if not kinds.images:
        raise BadInputError(f"{typed} holds no images{_not_read(kinds.not_read)}")
    if kinds.not_read:
        told = f"{typed} holds images{_not_read(kinds.not_read)}"
        say(f"transfergrid: warning: {told}", file=sys.stderr)
    return [str(path / name) for name in kinds.images]


def _not_read(names: Sequence[str]) -> str:
    return f", but {len(names)} of kinds that are not read: {named(names)}" if names else ""


def text_chunks(
    files: Sequence[str],
    text: str,
    second: str | None,
    pairs: bool,
    encoding: str = "utf-8",
    delimiter: str | None = None,
) -> Iterator[Chunk]:
    """Yield the texts in these files.

    Args:
        files: `.txt` files with one text per line, tables, or `-` for lines of standard input.
        text: the name of the text column in tables.
        second: the name of the column of second texts; None if there is none.
        pairs: whether the model takes pairs; then a tab separates the two texts of a line.
        encoding: the encoding of tables.
        delimiter: separator of CSV fields; by default it follows from the file's ending.

    Raises:
        BadInputError: a file cannot be read, a text is empty, or pairs are given to a model of
            single texts or the reverse.
    """
    if pairs != (second is not None):
        kind = "pairs of texts: give --pair too" if pairs else "single texts: leave out --pair"
        raise BadInputError(f"this model takes {kind}")
    for name in files:
        _check_text_file(name)
    columns = ("file", "row", "text", *(("pair",) if pairs else ()))
    wanted = (text,) if second is None else (text, second)
    for name in files:
        in_table = is_table(name)
        rows = _table_rows(name, wanted, encoding, delimiter) if in_table else _lines(name, pairs)
        for part in chunked(rows):
            told = [(name, number, *(value if pairs else (value,))) for number, value in part]
            nothing = np.zeros(len(part), dtype=np.int64)
            yield Chunk(columns, told, TextExamples([value for _, value in part], nothing))


def _check_text_file(name: str) -> None:
    if name == STDIN:
        return
    path = Path(name)
    if not path.is_file():
        raise BadInputError(f"no such file: {name}")
    if path.suffix.lower() != PLAIN and not is_table(name):
        raise BadInputError(
            f"{name}: this model takes texts; give .txt with one text a line, a table (.csv, "
            ".jsonl, .parquet, ...), or - for standard input"
        )


def _table_rows(
    name: str, wanted: Sequence[str], encoding: str, delimiter: str | None
) -> Iterator[tuple[int, Any]]:
    advice = ADVICE if len(wanted) == 1 else ADVICE_FOR_PAIRS
    table = read_table(Path(name), name, wanted, encoding, delimiter, advice)
    made = text_inputs(table, wanted)
    check_none_empty(table, made)
    for number, row in zip(table.numbers, made, strict=True):
        assert row is not None  # empty texts were refused
        yield number, row.value


def vector_chunks(
    files: Sequence[str], scaling: Scaling, encoding: str = "utf-8", delimiter: str | None = None
) -> Iterator[Chunk]:
    """Yield the vectors in these tables, scaled like the model's training data.

    Args:
        files: tables, or npz archives, with the model's columns and possibly others.
        scaling: the model's columns and scaling.
        encoding: the encoding of tables.
        delimiter: separator of CSV fields; by default it follows from the first line.

    Raises:
        BadInputError: a file cannot be read, lacks a column, or contains something that is not a
            number.
    """
    for name in files:
        _check_vector_file(name)
    for name in files:
        table = read_numbers(Path(name), name, None, encoding, delimiter, ADVICE_FOR_VECTORS)
        table.check_has(scaling.columns, ADVICE_FOR_VECTORS)
        _, values = numbers_of(table, scaling.columns)
        if scaling.fill is None:
            check_complete(
                table, scaling.columns, values, ", and this model takes none for granted"
            )
        for part in chunked(range(len(values))):
            told = [(name, table.numbers[i]) for i in part]
            nothing = np.zeros(len(part), dtype=np.int64)
            yield Chunk(("file", "row"), told, VectorExamples(values[part], nothing, scaling))


def _check_vector_file(name: str) -> None:
    if not Path(name).is_file():
        raise BadInputError(f"no such file: {name}")
    if not is_table(name) and Path(name).suffix.lower() != ENDING:
        raise BadInputError(
            f"{name}: this model takes vectors; give a table of their columns (.csv, .parquet, "
            ".npz, ...)"
        )


def _lines(name: str, pairs: bool) -> Iterator[tuple[int, Any]]:
    """Yield the line number and the text of each line of a file, or of standard input."""
    shown = "standard input" if name == STDIN else name
    stream = sys.stdin.buffer if name == STDIN else Path(name).open("rb")  # noqa: SIM115 (below)
    number = 0
    try:
        for number, line in enumerate(stream, start=1):
            yield number, _text(line, f"{shown}: line {number}", pairs)
    except OSError as error:
        raise BadInputError(f"cannot read {shown}: {error.strerror or error}") from error
    finally:
        if name != STDIN:
            stream.close()
    if number == 0:
        raise BadInputError(f"{shown} holds no texts")


def _text(line: bytes, place: str, pairs: bool) -> str | tuple[str, str]:
    try:
        text = line.decode().removeprefix("\ufeff").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{place} has bytes that are no utf-8") from error
    parts = text.split("\t") if pairs else [text]
    if not all(part.strip() for part in parts):
        raise BadInputError(f"{place} is empty")
    if not pairs:
        return text
    if len(parts) != 2:
        raise BadInputError(f"{place} must hold two texts with a tab between them")
    return parts[0], parts[1]
