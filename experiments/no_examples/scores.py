"""Seen, unseen and harmonic scores of cells at labels=0, and prototypes beside them: a table.

python experiments/no_examples/scores.py RESULTS [FILE.csv]
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev

from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.metrics import ZERO_SHOT
from transfergrid.records.record import Record

SCORES = ("accuracy", "balanced_accuracy", *ZERO_SHOT)
Key = tuple[str, str, str, str]


def rows(records: Iterable[Record]) -> list[dict[str, str]]:
    """Return a row for each source, strategy, target and label budget: means and spreads, in %."""
    found: defaultdict[Key, list[Record]] = defaultdict(list)
    for record in records:
        names = record.names
        key = (names.target, str(record.labels), names.strategy, names.source or "")
        found[key].append(record)
    return [_row(key, own) for key, own in sorted(found.items())]


def _row(key: Key, records: list[Record]) -> dict[str, str]:
    target, labels, strategy, source = key
    told = {"target": target, "labels": labels, "strategy": strategy, "source": source}
    return {
        **told,
        "n": str(len(records)),
        **{name: _spread([(r.scores.test or {}).get(name) for r in records]) for name in SCORES},
    }


def _spread(values: list[float | None]) -> str:
    """Return mean and standard deviation over seeds in per cent; nothing where there is none."""
    there = [100 * value for value in values if value is not None]
    if not there:
        return ""
    return f"{mean(there):.1f}" + (f" ± {stdev(there):.1f}" if len(there) > 1 else "")


def main(results: str, file: str | None = None) -> None:
    """Print the table, and write it where a file is named."""
    table = rows(Ledger(Path(results)).records())
    for row in table:
        print(" | ".join(row.values()))
    if file is not None:
        with Path(file).open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, list(table[0]))
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main(*sys.argv[1:])
