"""False alarms of gains in macro F1, whose error over items comes from resampling them.

    python experiments/calibration/resampled.py > experiments/calibration/resampled.csv

Arm and baseline are drawn alike, so there is no gain in any metric. Wrong items are given a random
other class. The functions are those that verdicts use.
"""

from __future__ import annotations

import csv
import sys

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.calibration.planted import Noise, Scenario, draw, run
from transfergrid.evidence.measured.scoring import item_variances, macro_f1
from transfergrid.evidence.statistics.intervals import (
    Estimate,
    over_blocks,
    over_blocks_and_resamples,
    wilson,
)
from transfergrid.evidence.verdicts.decisions import Kind, Rules, decide
from transfergrid.records.files.arrays import Predictions

SIMULATIONS, ITEMS = 1_000, 360
CLASSES = np.array([0.4, 0.3, 0.2, 0.1])
"""Shares of the classes: macro F1 is then no mean over items."""
NEVER_EQUIVALENT = Rules(margin=1e-9)


def main() -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["items", "sd", "seeds", "rule", "simulations", "false", "low", "high"])
    for sd in (1.0, 3.0):
        for n in (3, 5, 10):
            alarms = {"verdict": 0, "paired t over seeds": 0}
            noise = Noise(items=ITEMS, sd=sd, classes=len(CLASSES))
            studies = simulated(noise, n)
            for crossed, gains in studies:
                (verdict,) = decide([crossed], [gains], NEVER_EQUIVALENT)
                low, high = over_blocks(gains).interval()
                alarms["verdict"] += verdict.kind in (Kind.POSITIVE, Kind.NEGATIVE)
                alarms["paired t over seeds"] += not (low or 0.0) <= 0 <= (high or 0.0)
            for name, count in alarms.items():
                shares = [count / len(studies), *wilson(count / len(studies), len(studies))]
                out.writerow([ITEMS, sd, n, name, len(studies), *(f"{x:.4f}" for x in shares)])
            sys.stdout.flush()


def simulated(noise: Noise, n: int) -> list[tuple[Estimate, NDArray[np.float64]]]:
    """Return each simulated study's estimate over seeds and items, and its gains by seed (n,)."""
    rng = np.random.default_rng(n)
    found = []
    for drawn in draw(noise, 1, n, SIMULATIONS, seed=17):
        for right in run(noise, Scenario.NORMAL, 0.0, drawn):
            labels = rng.choice(len(CLASSES), noise.items, p=CLASSES)
            pairs = [
                (said(right[1, block], labels, rng), said(right[0, block], labels, rng))
                for block in range(n)
            ]
            once = np.ones((noise.items, 1), dtype=np.float32)
            gains = np.array([float(macro_f1(a, once)[0] - macro_f1(b, once)[0]) for a, b in pairs])
            variances = item_variances([pairs], "macro_f1")
            if variances is not None:
                found.append(
                    (over_blocks_and_resamples(100 * gains, variances.scaled(1e4)), 100 * gains)
                )
    return found


def said(
    right: NDArray[np.bool_], labels: NDArray[np.int64], rng: np.random.Generator
) -> Predictions:
    """Return one run's predictions, certain of a random other class where it is wrong."""
    other = (labels + rng.integers(1, len(CLASSES), len(labels))) % len(CLASSES)
    predicted = np.where(right, labels, other)
    return Predictions(np.eye(len(CLASSES), dtype=np.float32)[predicted], labels)


if __name__ == "__main__":
    main()
