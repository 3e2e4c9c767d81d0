"""Compact a ledger: make it smaller and faster to open, without changing any result."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfergrid.records.files import folders
from transfergrid.records.ledgers import index
from transfergrid.records.ledgers.checkup import SETTLED
from transfergrid.records.ledgers.claims import FOLDER as CLAIMS
from transfergrid.records.ledgers.claims import Claims, clear
from transfergrid.records.ledgers.ledger import Ledger, without_garbage_collection
from transfergrid.records.process.living import unique_name


@dataclass
class Compacted:
    """The outcome of a compaction."""

    segments: int = 0
    """Number of index segments that were merged into one."""
    drafts: int = 0
    """Number of removed drafts, which killed processes left under `tmp`."""
    claims: int = 0
    """Number of removed claims of done cells, whose processes are gone."""


def compact(ledger: Ledger) -> Compacted:
    """Merge the segments of the index, and remove what killed processes left behind.

    Other processes may read and write the ledger meanwhile. Only useless files are removed: drafts
    that were not touched for an hour, and the dead claims and checkpoints of done cells.

    Raises:
        BadInputError: there is no ledger.
        OSError: the index cannot be written; the old segments then stay.
    """
    ledger.check_exists()
    drafts, claims = _clear_drafts(ledger), _clear_claims(ledger)
    ledger.compact()
    return Compacted(_merge_segments(ledger), drafts, claims)


def _merge_segments(ledger: Ledger) -> int:
    """Write one segment with all valid rows; return how many segments it replaces."""
    import pyarrow
    import pyarrow.parquet

    found, place = ledger.listed(), ledger.root / "index"
    tables, read, seen = [], [], set[str]()
    for path in sorted(place.glob("*.parquet"))[::-1]:  # newest first: its row of a cell is kept
        try:
            table = pyarrow.parquet.read_table(path)
        except (OSError, pyarrow.ArrowException):
            continue  # damaged: readers warn about it
        if not set(table.column_names) >= index.HELD:
            read.append(path)  # of an earlier version: `ledger.compact` has indexed its cells again
        elif set(table.column_names) <= index.written():
            tables.append(_current(table, found, seen))
            read.append(path)
    if len(read) < 2 or not tables:
        return 0
    with ledger.draft() as draft, without_garbage_collection():
        merged = pyarrow.concat_tables(tables, promote_options="default")
        name = f"{time.time_ns():020d}-{unique_name()}.parquet"
        pyarrow.parquet.write_table(merged, draft / name, compression="zstd")
        (draft / name).replace(place / name)
    for path in read:
        path.unlink(missing_ok=True)
    return len(read)


def _current(table: Any, found: dict[str, int], seen: set[str]) -> Any:
    """Return the rows of cells that are unchanged and not in `seen` yet; add them to `seen`."""
    ids, times = table.column("id").to_pylist(), table.column("changed").to_pylist()
    rows = []
    for row, (identity, changed) in enumerate(zip(ids, times, strict=True)):
        if found.get(identity) == changed and identity not in seen:
            seen.add(identity)
            rows.append(row)
    return table if len(rows) == len(ids) else table.take(rows)


def _clear_drafts(ledger: Ledger) -> int:
    cleared = 0
    for name in folders.listed(ledger.root / "tmp"):
        path: Path = ledger.root / "tmp" / name
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > SETTLED:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
                cleared += 1
    return cleared


def _clear_claims(ledger: Ledger) -> int:
    """Remove dead claims of done cells; return how many.

    Dead claims of other cells stay, because the number of the next claim depends on them.
    """
    if not (ledger.root / CLAIMS).is_dir():
        return 0
    return clear(ledger.root, ledger.done(Claims(ledger.root).newest()))
