"""False alarms where test items come in clusters: patients, authors, frames of one film.

    python experiments/calibration/clusters.py > experiments/calibration/clusters.csv

Arm and baseline are alike over all clusters that there are. Items of one cluster share a part of
what makes them easy for one of the arms (`correlation`); seeds vary by a point. The verdict's rule
takes them for independent ("items"), or is told of the clusters ("clusters").
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.statistics.intervals import over_blocks_and_clusters, wilson
from transfergrid.evidence.verdicts.decisions import Kind, Rules, decide

SIMULATIONS, ITEMS = 1_000, 360
NEVER_EQUIVALENT = Rules(margin=1e-9)
LAYOUTS = ("36 of 10", "36 unequal", "10 of 36", "5 of 72")


def main() -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(
        ["clusters", "correlation", "seeds", "told", "simulations", "false", "low", "high"]
    )
    for layout, correlation, n in product(LAYOUTS, (0.0, 0.5, 0.9), (3, 5, 10)):
        clusters = laid_out(layout)
        alarms = {"items": 0, "clusters": 0}
        for gains in studies(clusters, correlation, n):
            for told, of in (("items", None), ("clusters", clusters)):
                estimate = over_blocks_and_clusters(gains, of)
                by_seed = gains.mean(axis=1)
                (verdict,) = decide([estimate], [by_seed], NEVER_EQUIVALENT, later=0.0)
                alarms[told] += verdict.kind in (Kind.POSITIVE, Kind.NEGATIVE)
        for told, count in alarms.items():
            shares = [count / SIMULATIONS, *wilson(count / SIMULATIONS, SIMULATIONS)]
            row = [layout, correlation, n, told, SIMULATIONS, *(f"{x:.4f}" for x in shares)]
            out.writerow(row)
        sys.stdout.flush()


def laid_out(layout: str) -> NDArray[np.int32]:
    """Return the cluster (items,) of each item."""
    count = int(layout.split()[0])
    if layout.endswith("unequal"):  # from 1 item to 46
        weights = np.arange(1, count + 1) ** 2.0
        sizes = 1 + np.floor(weights / weights.sum() * (ITEMS - count)).astype(int)
        sizes[-1] += ITEMS - sizes.sum()
    else:
        sizes = np.full(count, ITEMS // count)
    return np.arange(count, dtype=np.int32).repeat(sizes)


def studies(
    clusters: NDArray[np.int32], correlation: float, n: int
) -> Iterator[NDArray[np.float64]]:
    """Yield the gains in accuracy (n, items) of each simulated study, in points."""
    rng = np.random.default_rng(17 + n)
    for _ in range(SIMULATIONS):
        shared = rng.normal(size=(2, 1, clusters.max() + 1))[:, :, clusters]
        own = rng.normal(size=(2, 1, len(clusters)))
        easy = correlation**0.5 * shared + (1 - correlation) ** 0.5 * own
        luck = 0.04 * rng.normal(size=(2, n, 1))
        right = 0.7 * easy + luck + 0.7 * rng.normal(size=(2, n, len(clusters))) > -1
        yield 100.0 * (right[0].astype(np.float64) - right[1])


if __name__ == "__main__":
    main()
