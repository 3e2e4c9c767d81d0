"""All records of a ledger as one table, readable without our code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfergrid.records.errors import writing
from transfergrid.records.ledgers.index import KINDS, Indexed, columns
from transfergrid.records.ledgers.ledger import Ledger, without_garbage_collection
from transfergrid.records.process.living import unique_name
from transfergrid.records.record import Status
from transfergrid.report.tables.escaping import CsvWriter

PARQUET, CSV = ".parquet", ".csv"
ENDINGS = (PARQUET, CSV)
COLUMNS = (
    *("id", "protocol", "source", "architecture", "strategy", "target", "training", "tuning"),
    *("labels", "fewest_labels", "most_labels", "seed", "metric", "higher_is_better", "score"),
    *("train_score", "validation_score", "ece", "floor", "baseline", "baseline_id", "exploratory"),
    *("collapsed", "underfit", "contaminated_by", "classes", "one_checkpoint", "placebo"),
    *("trials", "seconds", "source_seconds", "peak_memory_bytes", "parameters_trained"),
    *("flops_forward", "seconds_forward", "study", "commit", "code", "strategy_class"),
    *("source_part", "strategy_part", "target_part", "training_part", "tuning_part", "finished"),
)
"""The index columns that are useful to others."""
RECORD = "record"
"""The column with the whole record as JSON; left out of CSV, where it would be unreadable."""


def write_table(ledger: Ledger, file: Path) -> int:
    """Write a row for each done or failed cell, atomically, and return the number of rows.

    Args:
        ledger: the ledger.
        file: the output, which is replaced; its ending, one of `ENDINGS`, selects the format.

    Raises:
        BadInputError: there is no ledger, or the file cannot be written.
    """
    write = _write_parquet if file.suffix == PARQUET else _write_csv
    names = (*COLUMNS, RECORD) if file.suffix == PARQUET else COLUMNS
    rows = [(Status.DONE.value, None, *row) for row in ledger.columns(names)]
    with without_garbage_collection():
        for failed in ledger.failures():
            flat = columns(Indexed(failed, 0, None))
            rows.append((Status.FAILED.value, failed.reason, *(flat[name] for name in names)))
    draft = file.absolute().parent / f".{file.name}-{unique_name()}"
    try:
        with writing(file):
            write(draft, ("status", "reason", *names), rows)
            draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return len(rows)


def _write_parquet(file: Path, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema({name: KINDS.get(name, "string") for name in names})
    values = [*zip(*rows, strict=True)] or [()] * len(names)
    table = pyarrow.table(dict(zip(names, values, strict=True)), schema=schema)
    pyarrow.parquet.write_table(table, file, compression="zstd")


def _write_csv(file: Path, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = CsvWriter(stream)
        writer.row(names)
        writer.rows(rows)
