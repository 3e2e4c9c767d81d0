"""Decide the committed verdicts of a study again by today's rule, from their own rows.

    python experiments/rejudge.py experiments/real_shift/verdicts.csv

A row keeps its mean gain, standard error, degrees of freedom and the gains of its seeds, which is
what the rule decides by; what has changed since the rows were printed is told.
"""

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from transfergrid.evidence.statistics.intervals import Estimate
from transfergrid.evidence.verdicts.decisions import Decision, Rules, decide

Row = dict[str, str]


def families(path: Path) -> list[list[Row]]:
    """Return the rows over primary baselines that have an error, family by family."""
    found = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["primary"] == "True" and row["se"]:
                found[row["family"]].append(row)
    return list(found.values())


def decided(rows: list[Row]) -> list[Decision]:
    """Return what the rule says of one family now."""
    estimates = [
        Estimate(
            float(row["gain"]),
            float(row["se"]),
            float(row["df"]),
            row["scope"],
            int(row["n"]),
            int(row["items"] or 1),
        )
        for row in rows
    ]
    gains = [np.array(json.loads(row["gains"])) for row in rows]
    rules = Rules(margin=float(rows[0]["margin"]))
    return decide(estimates, gains, rules, float(rows[0]["level"]))


def main(path: Path) -> None:
    """Print each row whose verdict is another one now, and how many are not."""
    same = 0
    for rows in families(path):
        for row, now in zip(rows, decided(rows), strict=True):
            if now.kind.value == row["verdict"]:
                same += 1
            else:
                arm = f"{row['source']} {row['strategy']} ({row['family']})"
                print(f"{arm}: {row['verdict']} -> {now.kind.value}")
    print(f"{same} as they were")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
