"""False alarms of the verdict where a collapse is seen, and where it is not.

    python experiments/calibration/collapses.py > experiments/calibration/collapses.csv

One run in ten predicts one class, the others make up for it: there is no gain in the mean.
"""

from __future__ import annotations

import csv
import sys

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.calibration.planted import Noise, Scenario, draw, run
from transfergrid.evidence.calibration.rules import OURS, RULES, families
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.evidence.verdicts.rule import UNDECIDED

SIMULATIONS, SEEDS = 4_000, (3, 5, 10)


def main() -> None:
    noise, rules = Noise(), Rules(margin=1e-9)
    seen: dict[int, list[NDArray[np.bool_]]] = {n: [] for n in SEEDS}
    called: dict[int, list[NDArray[np.bool_]]] = {n: [] for n in SEEDS}
    for drawn in draw(noise, 1, max(SEEDS), SIMULATIONS, seed=5):
        right = run(noise, Scenario.COLLAPSE, 0.0, drawn)
        for n in SEEDS:
            seen[n].append(drawn.collapses[:, 1, :n].min(axis=1) < noise.collapse)
            kinds = RULES[OURS](families(right[:, :, :n]), rules).kinds
            called[n].append(kinds[:, 0] != UNDECIDED)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["seeds", "collapse", "arms", "false"])
    for n in SEEDS:
        shown, false = np.concatenate(seen[n]), np.concatenate(called[n])
        for name, arms in (("seen", shown), ("not seen", ~shown)):
            out.writerow([n, name, int(arms.sum()), f"{false[arms].mean():.4f}"])


if __name__ == "__main__":
    main()
