"""The index of a ledger: copies of records in immutable Parquet segments, for fast bulk reading.

A row holds the columns that tables and verdicts are computed from, readable without our code, and
the whole record as JSON. The index is only a cache: a row is valid only while the modification time
of the cell's folder is the one in the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from itertools import compress
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, NamedTuple

from pydantic import Field, Json

from transfergrid.records.errors import BadInputError, first_line
from transfergrid.records.files import contents
from transfergrid.records.files.arrays import Packed
from transfergrid.records.files.border import Checked, Reader, is_time
from transfergrid.records.metrics import SHARES, is_of_numbers
from transfergrid.records.origins import is_one_checkpoint, is_placebo
from transfergrid.records.record import Data, Record

Warn = Callable[[Path, object], None]

KINDS = {
    **dict.fromkeys(("changed", "protocol", "seed", "items_n", "classes"), "int64"),
    **dict.fromkeys(("trials", "parameters_trained", "flops_forward"), "int64"),
    **dict.fromkeys(("fewest_labels", "most_labels", "peak_memory_bytes"), "int64"),
    **dict.fromkeys(("score", "train_score", "validation_score", "ece", "floor"), "float64"),
    **dict.fromkeys(("seconds", "source_seconds", "seconds_forward"), "float64"),
    **dict.fromkeys(("collapsed", "underfit", "higher_is_better"), "bool"),
    **dict.fromkeys(("one_checkpoint", "placebo"), "bool"),
    "right": "binary",
}
"""Parquet types of the columns; a column that is not here holds text."""


ABSENT: dict[str, Any] = {
    "protocol": 1,
    **dict.fromkeys(("floor", "tuning", "tuning_part", "trials", "peak_memory_bytes")),
}
"""Columns that old segments lack, each with the value that it then has in every row."""


REMARKED = ("cut_texts", "no_validation", "untested", "duplicates", "source_copies")
"""Keys of a domain's notes that tables make remarks about."""
_data: Reader[Data] = Reader(Data)


@lru_cache(maxsize=10_000)
def remarked(text: str) -> Data:
    """Return the part of a record's `data` that the column `remarks` holds as JSON.

    Raises:
        BadInputError: the text does not hold such data.
    """
    return _data(text) if text else Data()


def _is_remarks(text: str) -> str:
    try:
        remarked(text)
    except BadInputError as error:
        raise ValueError(str(error)) from None
    return text


_TEXTS = ("id", "strategy", "target", "strategy_part", "target_part", "metric", "code", "record")
_VALUES: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(("changed", "seed", "classes"), int),
    "protocol": Annotated[int, Field(ge=1)],
    **dict.fromkeys(("score", "train_score", "validation_score", "ece", "floor"), float | None),
    **dict.fromkeys(("seconds", "source_seconds", "seconds_forward"), float | None),
    **dict.fromkeys(("parameters_trained", "flops_forward"), int | None),
    **dict.fromkeys(("collapsed", "underfit", "higher_is_better"), bool),
    **dict.fromkeys(("one_checkpoint", "placebo"), bool),
    "labels": Annotated[str, Field(pattern=r"^(all|[0-9]{1,30})$")],
    **dict.fromkeys(("trials", "peak_memory_bytes"), int | None),
    "exploratory": Json[list[tuple[str, str]]],
    "contaminated_by": Json[list[str]],
    "finished": Annotated[str | None, Checked(is_time)],
    "remarks": Annotated[str, Checked(_is_remarks)],
}
"""Types that the values of a column must fit, beyond the Parquet type; other columns are free."""

_OTHERS = (
    *("source", "architecture", "training", "tuning", "source_part", "training_part"),
    *("tuning_part", "baseline", "baseline_id", "study", "commit", "strategy_class"),
    *("items", "clusters"),
)
"""Columns of any text or null."""

OF_ITEMS = frozenset({"right", "items_n", "items", "clusters"})
"""Columns that are computed from a cell's predictions."""

_LOOKED_INTO = frozenset({"labels", "exploratory", "contaminated_by", "finished", "remarks"})
"""Columns whose texts are parsed: to save time, each distinct text is checked once."""
_REPEATED = frozenset({*_TEXTS, *_OTHERS, "labels", "contaminated_by", "remarks"}) - {
    *("id", "record", "baseline_id", "commit")
}
"""Columns of texts that many cells share: read with a dictionary, one Python string per text."""

HELD = (KINDS.keys() | _VALUES.keys()) - ABSENT.keys()
"""Columns that every segment of this version has; segments of earlier versions may lack some."""


def written() -> set[str]:
    """Return the names of the columns that this version writes."""
    return {*_VALUES, *KINDS, *_OTHERS}


_readers: dict[str, Reader[Any]] = {
    name: Reader(GenericAlias(list, (kind,))) for name, kind in _VALUES.items()
}


class Indexed(NamedTuple):
    """A cell as the index holds it."""

    record: Record
    changed: int
    """Modification time of the cell's folder, ns."""
    right: Packed | None
    """The test items that the cell got right; None if no predictions are readable."""


def save(path: Path, rows: Iterable[Indexed]) -> None:
    """Write one or more records as one segment.

    Each record is released as soon as its row is made, to save memory.
    """
    import pyarrow  # takes a third of a second, so only commands that need it import it
    import pyarrow.parquet

    flat = [columns(row) for row in rows]
    # explicit types, because a column of nulls only would get another type than in other segments
    schema = pyarrow.schema({key: KINDS.get(key, "string") for key in flat[0]})
    table = pyarrow.table({key: [row[key] for row in flat] for key in flat[0]}, schema=schema)
    pyarrow.parquet.write_table(table, path, compression="zstd")


def load(
    folder: Path,
    found: Mapping[str, int],
    names: Sequence[str],
    warn: Warn,
    needed: Collection[str] = (),
) -> dict[str, tuple[Any, ...]]:
    """Return the named columns of each indexed cell whose folder is unchanged, by id.

    Args:
        folder: the folder of the segments; it need not exist.
        found: the id and modification time (ns) of every existing cell folder.
        names: the columns to read.
        warn: called for each segment that cannot be read; callers read its cells one by one then.
        needed: further columns that a segment must have; otherwise it is skipped, as too old.
    """
    rows: dict[str, tuple[Any, ...]] = {}
    for path in sorted(folder.glob("*.parquet")):
        try:
            rows.update(_current(path, found, names, needed))
        except FileNotFoundError:
            continue  # meanwhile merged into another segment
        except Exception as error:  # foreign bytes: pyarrow raises a dozen kinds, and plain ones
            warn(path, first_line(error))
    return rows


def _current(
    path: Path, found: Mapping[str, int], names: Sequence[str], needed: Collection[str]
) -> list[tuple[str, tuple[Any, ...]]]:
    """Return the valid rows of a segment: id, then the named columns.

    It raises whatever pyarrow raises, and `BadInputError` for a wrong type or value.
    """
    import pyarrow.parquet

    contents.status_of(path)
    # by path: if an Arrow thread released a Python file while Python exits, the process would abort
    with pyarrow.parquet.ParquetFile(path) as file:
        metadata, schema = file.metadata, file.schema_arrow
    there = set(schema.names)
    if not {*names, *needed} <= there | ABSENT.keys():
        return []  # written by a version without these columns
    wanted = [name for name in dict.fromkeys(("id", "changed", *names)) if name in there]
    _check_types(schema, wanted)
    once = [name for name in wanted if name in _REPEATED]
    with pyarrow.parquet.ParquetFile(path, metadata=metadata, read_dictionary=once) as file:
        table = file.read(wanted)
    values = {name: _listed(table.column(name)) for name in wanted}
    values |= {n: [ABSENT[n]] * table.num_rows for n in names if n not in there}
    current = [
        found.get(identity) == time
        for identity, time in zip(values["id"], values["changed"], strict=True)
    ]
    if not all(current):
        values = {name: list(compress(column, current)) for name, column in values.items()}
    _check_values(values)
    return list(zip(values["id"], zip(*(values[name] for name in names), strict=True), strict=True))


def _listed(column: Any) -> list[Any]:
    """Return an Arrow column as plain values; equal texts of a dictionary share one string."""
    import pyarrow

    if not pyarrow.types.is_dictionary(column.type):
        return column.to_pylist()  # type: ignore[no-any-return]
    found: list[Any] = []
    for chunk in column.chunks:
        texts, numbers = chunk.dictionary.to_pylist(), chunk.indices.to_pylist()
        if chunk.null_count:
            found += [None if number is None else texts[number] for number in numbers]
        else:
            found += [texts[number] for number in numbers]
    return found


def _check_types(schema: Any, names: Iterable[str]) -> None:
    """Raise `BadInputError` unless the columns have the types that `save` writes."""
    for name in names:
        kind, wanted = str(schema.field(name).type), KINDS.get(name, "string")
        if kind != ("double" if wanted == "float64" else wanted):
            raise BadInputError(f"column {name} holds {kind}, not {wanted}")


def _check_values(values: Mapping[str, Sequence[Any]]) -> None:
    """Raise `BadInputError` if a value is one that no record can hold."""
    for name, column in values.items():
        if name in _readers:
            try:
                _readers[name].of(list(set(column)) if name in _LOOKED_INTO else column)
            except BadInputError:
                _check_each(name, column)
    if "score" in values and "metric" in values:
        for metric, score in zip(values["metric"], values["score"], strict=True):
            if metric in SHARES and score is not None and not 0 <= score <= 1:
                raise BadInputError(f"column score: {metric} must be from 0 to 1: {score:g}")
    if "right" in values:
        metrics = values.get("metric", ["mae"] * len(values["right"]))
        rows = zip(values["right"], values["items_n"], values["items"], metrics, strict=True)
        for bits, n, items, metric in rows:
            if bits is not None and (not n or not items or not _is_packed(bits, n, metric)):
                raise BadInputError(f"column items_n: {n} test items in {len(bits)} bytes")


def _check_each(name: str, column: Sequence[Any]) -> None:
    """Raise `BadInputError` that names the first row with a value that no record can hold."""
    try:
        _readers[name].of(column)
    except BadInputError as error:
        raise BadInputError(f"column {name}, row {error}") from None


def _is_packed(bits: bytes, n: int, metric: str) -> bool:
    """Return whether the bytes can hold one bit per item; for metrics of numbers they are empty."""
    return len(bits) == (n + 7) // 8 or (not bits and is_of_numbers(metric))


def columns(row: Indexed) -> dict[str, Any]:
    """Return a cell as one flat row, ready for Parquet."""
    record, right = row.record, row.right
    names, parts, baseline = record.names, record.parts, record.baseline
    train, validation, test = record.scores.train, record.scores.validation, record.scores.test
    metric, seconds = record.metric, record.cost.seconds
    fewest, most = record.labels_got or (None, None)
    return {
        "id": record.id,
        "changed": row.changed,
        "protocol": record.protocol,
        "source": names.source,
        "architecture": names.architecture,
        "strategy": names.strategy,
        "target": names.target,
        "training": names.training,
        "tuning": names.tuning,
        "labels": str(record.labels),
        "fewest_labels": fewest,
        "most_labels": most,
        "seed": record.seed,
        "source_part": parts.source,
        "strategy_part": parts.strategy,
        "target_part": parts.target,
        "training_part": parts.training,
        "tuning_part": parts.tuning,
        "trials": len(record.tuning.trials) if record.tuning else None,
        "baseline": baseline.name if baseline else None,
        "baseline_id": baseline.id if baseline else None,
        "exploratory": json.dumps([[other.name, other.id] for other in record.exploratory]),
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "score": record.score,
        "train_score": (train or {}).get(metric.name),
        "validation_score": (validation or {}).get(metric.name),
        "ece": (test or {}).get("ece"),
        "floor": (record.data.floor or {}).get(metric.name),
        "items_n": right.n if right else None,
        "items": right.items if right else None,
        "clusters": right.clusters if right else None,
        "right": right.bits if right else None,
        "collapsed": record.flags.collapsed,
        "underfit": record.flags.underfit,
        "contaminated_by": json.dumps(record.flags.contaminated_by),
        "classes": len(record.data.classes),
        "one_checkpoint": is_one_checkpoint(record),
        "placebo": is_placebo(record),
        "seconds": seconds.total,
        "source_seconds": seconds.source,
        "peak_memory_bytes": record.cost.peak_memory_bytes,
        "parameters_trained": record.cost.parameters_trained,
        "flops_forward": record.cost.flops_forward,
        "seconds_forward": record.cost.seconds_forward,
        "study": record.study,
        "commit": record.commit,
        "code": record.code,
        "strategy_class": record.strategy_class,
        "finished": record.finished,
        "remarks": _remarks(record.data),
        "record": record.to_json(indent=None),
    }


def _remarks(data: Data) -> str:
    """Return the data that tables make remarks about, as JSON; empty if there is none (usual)."""
    notes = {key: data.notes[key] for key in REMARKED if data.notes.get(key)}
    if not (data.short or notes or data.pair):
        return ""
    told = {"test": data.test, "short": data.short, "notes": notes}
    told |= {"pair": asdict(data.pair)} if data.pair else {}
    return json.dumps(told, default=lambda value: value.item())
