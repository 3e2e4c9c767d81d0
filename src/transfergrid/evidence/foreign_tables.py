"""Tables of results made elsewhere, in long format: which columns they have, and their values."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfergrid.data import tables
from transfergrid.data.tables import Table
from transfergrid.errors import BadInputError, check_known, did_you_mean
from transfergrid.record import Labels

REQUIRED = ("strategy", "target", "seed", "score")
OPTIONAL = ("source", "architecture", "labels")
MISSING = frozenset({"", "nan", "+nan", "-nan", "<na>", "na", "n/a", "null", "none", "nat"})
"""How tables spell that there is no value, in small letters."""
HELP = """\
A table holds one run a row (CSV, TSV, JSON lines, JSON or Parquet):
  strategy      how it was trained; a row with strategy `scratch` is the baseline,
                whatever its source (--baseline names another)
  target        what it was tested on
  seed          the seed block that it shares with its baseline; a number or a name
  score         on the test set; 0 to 1 reads as 100 points; blank: a failed run
  source        what was transferred; blank for an arm without any (optional)
  architecture  a baseline serves arms of its own architecture (optional)
  labels        target labels, a number or `all` (optional)
Other columns are left aside. --column score=acc reads the score from column acc.
"""


@dataclass(frozen=True, kw_only=True)
class TableColumns:
    """How to read a table: what its columns are called, and what its rows mean."""

    source: str = "source"
    architecture: str = "architecture"
    strategy: str = "strategy"
    target: str = "target"
    labels: str = "labels"
    seed: str = "seed"
    score: str = "score"
    baseline: str = "scratch"
    """The strategy whose rows the others are compared with."""
    metric: str = "score"
    """What the score is called."""
    lower_is_better: bool = False
    placebos: tuple[str, ...] = ()
    """Sources that have nothing to teach: names, or patterns such as `placebo_*`."""


def renamed(pairs: Sequence[str]) -> dict[str, str]:
    """Read what was typed as `score=acc` into names of columns.

    Raises:
        BadInputError: there is no such column to rename.
    """
    names = {}
    for pair in pairs:
        column, equals, name = pair.partition("=")
        check_known("column", column, (*REQUIRED, *OPTIONAL))
        if not equals or not name:
            raise BadInputError(f"--column {pair}: give the name in the table, {column}=NAME")
        names[column] = name
    return names


@dataclass(frozen=True)
class Run:
    """One row, its values read."""

    place: str
    """Where it stands, for errors."""
    source: str | None
    architecture: str | None
    strategy: str
    target: str
    labels: Labels
    seed: int
    score: float | None
    """As it stands in the table; None for a run that failed."""


@dataclass(frozen=True)
class Runs:
    """The rows of a table, and what was assumed in reading them."""

    runs: list[Run]
    has: frozenset[str]
    """Which of the optional columns there are."""
    notes: list[str]


def read_table(path: str | Path) -> Table:
    """Read all columns of a CSV, TSV, JSON lines, JSON or Parquet file.

    CSV may have commas, semicolons or tabs between its fields, as its first line says.

    Raises:
        BadInputError: it is missing, of another kind or damaged; the line is named.
    """
    file = Path(path)
    names, delimiter = _header(file)
    return tables.read_table(file, str(path), names, delimiter=delimiter)


def _header(file: Path) -> tuple[list[str], str | None]:
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
            ways = {between: next(csv.reader(lines, delimiter=between)) for between in ",;\t"}
            usual = tables.DELIMITERS[file.suffix.lower()]
            best = max(ways, key=lambda between: (len(ways[between]), between == usual))
            return [name.strip() for name in ways[best]], best
        whole = file.suffix.lower() == ".json" and text.lstrip().startswith("[")
        rows = json.loads(text) if whole else map(json.loads, filter(str.strip, text.split("\n")))
        return list(dict.fromkeys(key for row in rows for key in row)), None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadInputError(f"{file}: line {line} is no UTF-8 text; save it as UTF-8") from None
    except (OSError, ValueError, StopIteration, TypeError, csv.Error):
        return [], None


def table_of(frame: Any, columns: TableColumns) -> Table:
    """Return the columns that are asked for of a path, a mapping, or any eager data frame.

    Raises:
        BadInputError: it is none of these.
    """
    if isinstance(frame, Table):
        return frame
    if isinstance(frame, (str, Path)):
        return read_table(frame)
    if isinstance(frame, Mapping):
        read = {str(name): list(values) for name, values in frame.items()}
    else:
        opened = as_narwhals(frame)
        wanted = {getattr(columns, name) for name in (*REQUIRED, *OPTIONAL)}
        read = {name: opened[name].to_list() if name in wanted else [] for name in opened.columns}
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


def runs_of(table: Table, columns: TableColumns) -> Runs:
    """Read every row.

    Raises:
        BadInputError: a column is missing, or a value makes no sense; the line is named.
    """
    has = _present(table, columns)
    seeds, named = _seeds(table, columns)

    given = {name: table.columns[getattr(columns, name)] for name in (*REQUIRED, *has)}
    nothing = [None] * len(table)

    def run(row: int, source: Any, architecture: Any, strategy: Any, target: Any) -> Run:
        place = table.place(row)
        return Run(
            place=place,
            source=_name(source),
            architecture=_name(architecture),
            strategy=_needed(strategy, columns.strategy, place),
            target=_needed(target, columns.target, place),
            labels=_labels(given["labels"][row], place) if "labels" in has else "all",
            seed=seeds[row],
            score=_score(given["score"][row], place),
        )

    names = [given.get(name, nothing) for name in ("source", "architecture", "strategy", "target")]
    runs = [run(row, *values) for row, values in enumerate(zip(*names, strict=True))]
    return Runs(runs, has, _notes(has, named, columns))


def _present(table: Table, columns: TableColumns) -> frozenset[str]:
    known = list(table.columns)
    for name in REQUIRED:
        column = getattr(columns, name)
        if column not in known:
            near = did_you_mean(column, known)
            rest = f" (it has {', '.join(known)})" if near.endswith("?") else ""
            raise BadInputError(f"{table.name} has no column {column!r}{near}{rest}")
    for name in OPTIONAL:  # one that was renamed is wanted
        column = getattr(columns, name)
        if column != name and column not in known:
            raise BadInputError(
                f"{table.name} has no column {column!r}{did_you_mean(column, known)}"
            )
    return frozenset(name for name in OPTIONAL if getattr(columns, name) in known)


def _notes(has: frozenset[str], named: bool, columns: TableColumns) -> list[str]:
    notes = {
        "source": f"no column {columns.source}: strategies are taken to use one source",
        "architecture": f"no column {columns.architecture}: baselines matched without it",
        "labels": f"no column {columns.labels}: read as all target labels",
    }
    told = [note for name, note in notes.items() if name not in has]
    return told + (["seeds are names, numbered in their order"] if named else [])


def is_missing(value: Any) -> bool:
    """Return whether a table's value stands for none."""
    return value is None or str(value).strip().lower() in MISSING


def _name(value: Any) -> str | None:
    return None if is_missing(value) else str(value).strip()


def _needed(value: Any, column: str, place: str) -> str:
    name = _name(value)
    if name is None:
        raise BadInputError(f"{place} has no {column}")
    return name


def _whole(value: Any) -> int | None:
    """Return a whole number, also one that is written as 20.0; None for anything else."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _labels(value: Any, place: str) -> Labels:
    if str(value).strip().lower() == "all":
        return "all"
    number = _whole(value)
    if number is None or number < 0:
        shown = "nothing" if is_missing(value) else repr(value)
        raise BadInputError(f"{place}: labels must be a whole number or all, not {shown}")
    return number


def _seeds(table: Table, columns: TableColumns) -> tuple[list[int], bool]:
    """Return each row's seed as a number, and whether they are names that were numbered."""
    values = table.columns[columns.seed]
    missing = next((row for row, value in enumerate(values) if is_missing(value)), None)
    if missing is not None:
        raise BadInputError(f"{table.place(missing)} has no {columns.seed}")
    numbers = [_whole(value) for value in values]
    whole = [number for number in numbers if number is not None]
    if len(whole) == len(values):
        return whole, False
    order = {name: i for i, name in enumerate(dict.fromkeys(str(v).strip() for v in values))}
    return [order[str(value).strip()] for value in values], True


def _score(value: Any, place: str) -> float | None:
    """Return a score; None where the run has no valid one."""
    if is_missing(value):
        return None
    try:
        number = float(str(value))
    except ValueError:
        raise BadInputError(f"{place}: the score {value!r} is no number") from None
    return number if math.isfinite(number) else None
