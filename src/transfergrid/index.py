"""Copies of records in immutable Parquet segments, so that a hundred thousand of them open at once.

A row holds the columns that tables are made of, for readers with no code of ours, and the whole
record. An index is never the truth: a row counts only while the cell's folder stands unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transfergrid.record import Record

Warn = Callable[[Path, object], None]


def save(path: Path, rows: Sequence[tuple[Record, int]]) -> None:
    """Write one or more records, each with its folder's time of change (ns), as one segment."""
    import pyarrow  # a third of a second that commands which read no ledger do not pay
    import pyarrow.parquet

    kinds = {"changed": "int64", "seed": "int64", "score": "float64", "seconds": "float64"}
    kinds |= {"collapsed": "bool", "underfit": "bool"}
    flat = [columns(record, changed) for record, changed in rows]
    # types spelled out, for a column of nulls alone would get another type than its neighbours'
    schema = pyarrow.schema({key: kinds.get(key, "string") for key in flat[0]})
    table = pyarrow.Table.from_pylist(flat, schema=schema)
    pyarrow.parquet.write_table(table, path, compression="zstd")


def load(
    folder: Path, found: Mapping[str, int], names: Sequence[str], warn: Warn
) -> dict[str, dict[str, Any]]:
    """Return the named columns of each indexed cell whose folder is still as it was, by id.

    Args:
        folder: where the segments lie; it need not exist.
        found: id and time of change (ns) of the folders there are.
        names: the columns to read.
        warn: told of segments that cannot be read; their cells are read one by one instead.
    """
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.parquet")):
        try:
            rows.update(_current(path, found, names))
        except (OSError, ValueError) as error:
            warn(path, str(error).splitlines()[0])
    return rows


def _current(
    path: Path, found: Mapping[str, int], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    import pyarrow.parquet

    wanted = list(dict.fromkeys(("id", "changed", *names)))
    read = pyarrow.parquet.ParquetFile(path).read(wanted).to_pydict()
    rows = zip(*(read[name] for name in wanted), strict=True)
    return {
        row[0]: dict(zip(wanted, row, strict=True)) for row in rows if found.get(row[0]) == row[1]
    }


def columns(record: Record, changed: int) -> dict[str, Any]:
    """Return a record as one flat row, ready for Parquet."""
    names, parts, baseline = record.names, record.parts, record.baseline
    return {
        "id": record.id,
        "changed": changed,
        "source": names.source,
        "architecture": names.architecture,
        "strategy": names.strategy,
        "target": names.target,
        "labels": str(record.labels),
        "seed": record.seed,
        "source_part": parts.source,
        "strategy_part": parts.strategy,
        "target_part": parts.target,
        "training_part": parts.training,
        "baseline": baseline.name if baseline else None,
        "baseline_id": baseline.id if baseline else None,
        "metric": record.metric.name,
        "score": record.score,
        "collapsed": record.flags.collapsed,
        "underfit": record.flags.underfit,
        "seconds": record.cost.seconds.total,
        "study": record.study,
        "commit": record.commit,
        "finished": record.finished,
        "record": record.to_json(indent=None),
    }
