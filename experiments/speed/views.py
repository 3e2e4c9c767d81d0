"""Writes the runs of a grid over `training.views` or `training.group_by` as a table for verdicts.

    python experiments/speed/views.py RESULTS views|group_by > runs.csv
    transfergrid verdicts runs.csv --baseline "views=null" --max-seeds 5

One setting of training is one row's strategy: a grid judges strategies, not settings.
"""

from __future__ import annotations

import csv
import sys

from transfergrid.records.ledgers.ledger import Ledger


def main(results: str, key: str) -> None:
    rows = csv.writer(sys.stdout)
    rows.writerow(["target", "labels", "seed", "strategy", "score", "seconds"])
    for record in Ledger(results).records():
        value = record.config["training"].get(key)
        told = f"{key}={'null' if value is None else value}"
        seconds = round(record.cost.seconds.total, 2)
        parts = (record.names.target, record.labels, record.seed)
        rows.writerow([*parts, told, record.score, seconds])


if __name__ == "__main__":
    main(*sys.argv[1:])
