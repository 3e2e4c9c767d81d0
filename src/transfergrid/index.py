"""Copies of records in immutable Parquet segments, so that a hundred thousand of them open at once.

A row holds the columns that tables and verdicts are made of, for readers with no code of ours, and
the whole record. An index is never the truth: a row counts only while the cell's folder stands
unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transfergrid.arrays import Packed
from transfergrid.origins import is_one_checkpoint, is_placebo
from transfergrid.record import Record

Warn = Callable[[Path, object], None]

KINDS = {
    **dict.fromkeys(("changed", "seed", "items_n"), "int64"),
    **dict.fromkeys(("score", "train_score", "validation_score", "ece"), "float64"),
    **dict.fromkeys(("seconds", "source_seconds"), "float64"),
    **dict.fromkeys(("collapsed", "underfit", "higher_is_better"), "bool"),
    **dict.fromkeys(("one_checkpoint", "placebo"), "bool"),
    "right": "binary",
}
"""Types of the columns that hold no text."""


NEWEST = "one_checkpoint"
"""A column that all segments of this version have, and none of an earlier one."""


class Indexed(NamedTuple):
    """What is kept of a cell in an index."""

    record: Record
    changed: int
    """Time at which its folder was changed, ns."""
    right: Packed | None
    """The test items that it got right; None if no predictions were kept."""


def save(path: Path, rows: Sequence[Indexed]) -> None:
    """Write one or more records as one segment."""
    import pyarrow  # a third of a second that commands which read no ledger do not pay
    import pyarrow.parquet

    flat = [columns(row) for row in rows]
    # types spelled out, for a column of nulls alone would get another type than its neighbours'
    schema = pyarrow.schema({key: KINDS.get(key, "string") for key in flat[0]})
    table = pyarrow.Table.from_pylist(flat, schema=schema)
    pyarrow.parquet.write_table(table, path, compression="zstd")


def load(
    folder: Path, found: Mapping[str, int], names: Sequence[str], warn: Warn
) -> dict[str, tuple[Any, ...]]:
    """Return the named columns of each indexed cell whose folder is still as it was, by id.

    Args:
        folder: where the segments lie; it need not exist.
        found: id and time of change (ns) of the folders there are.
        names: the columns to read.
        warn: told of segments that cannot be read; their cells are read one by one instead.
    """
    rows: dict[str, tuple[Any, ...]] = {}
    for path in sorted(folder.glob("*.parquet")):
        try:
            rows.update(_current(path, found, names))
        except (OSError, ValueError) as error:
            warn(path, str(error).splitlines()[0])
    return rows


def _current(
    path: Path, found: Mapping[str, int], names: Sequence[str]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    if not set(names) <= set(file.schema_arrow.names):
        return  # written before there were these columns
    table = file.read(list(dict.fromkeys(("id", "changed", *names))))
    values = zip(*(table.column(name).to_pylist() for name in names), strict=True)
    ids, changed = table.column("id").to_pylist(), table.column("changed").to_pylist()
    for identity, time, row in zip(ids, changed, values, strict=True):
        if found.get(identity) == time:
            yield identity, row


def columns(row: Indexed) -> dict[str, Any]:
    """Return a record as one flat row, ready for Parquet."""
    record, right = row.record, row.right
    names, parts, baseline = record.names, record.parts, record.baseline
    train, validation, test = record.scores.train, record.scores.validation, record.scores.test
    metric, seconds = record.metric, record.cost.seconds
    return {
        "id": record.id,
        "changed": row.changed,
        "source": names.source,
        "architecture": names.architecture,
        "strategy": names.strategy,
        "target": names.target,
        "training": names.training,
        "labels": str(record.labels),
        "seed": record.seed,
        "source_part": parts.source,
        "strategy_part": parts.strategy,
        "target_part": parts.target,
        "training_part": parts.training,
        "baseline": baseline.name if baseline else None,
        "baseline_id": baseline.id if baseline else None,
        "exploratory": json.dumps([[other.name, other.id] for other in record.exploratory]),
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "score": record.score,
        "train_score": (train or {}).get(metric.name),
        "validation_score": (validation or {}).get(metric.name),
        "ece": (test or {}).get("ece"),
        "items_n": right.n if right else None,
        "items": right.items if right else None,
        "right": right.bits if right else None,
        "collapsed": record.flags.collapsed,
        "underfit": record.flags.underfit,
        "contaminated_by": json.dumps(record.flags.contaminated_by),
        "one_checkpoint": is_one_checkpoint(record),
        "placebo": is_placebo(record),
        "seconds": seconds.total,
        "source_seconds": seconds.source,
        "study": record.study,
        "commit": record.commit,
        "code": record.code,
        "strategy_class": (record.config.get("strategy") or {}).get("_target_"),
        "finished": record.finished,
        "record": record.to_json(indent=None),
    }
