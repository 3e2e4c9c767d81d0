"""False alarms, power and equivalences of the verdict over many settings, and of two variations.

python experiments/calibration/levels.py > experiments/calibration/levels.csv

A gain of 5 points is planted as one to find and, for equivalence, as the margin itself: there
"equivalent" is an error.
"""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.calibration.planted import Noise, Scenario, draw, run
from transfergrid.evidence.calibration.rules import OURS, RULES, Families, decided, families, said
from transfergrid.evidence.statistics.intervals import wilson
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.evidence.verdicts.rule import EQUIVALENT, POSITIVE, UNDECIDED, Codes

SEEDS, ITEMS, SDS = (3, 5, 10, 20), (156, 360, 797, 2_000), (0.5, 1.0, 2.0, 4.0)
GAIN = 5.0
SIMULATIONS = {1: 4_000, 8: 2_000}
"""By arms in a family."""
SHAPES = (Scenario.NORMAL, Scenario.HEAVY_TAILS, Scenario.SKEW)
Rule = Callable[[Families, Rules], Codes]
COMPARED: dict[str, Rule] = {
    OURS: lambda seen, rules: RULES[OURS](seen, rules).kinds,
    "crossed test alone": lambda seen, rules: decided([seen.crossed], seen.gains, rules),
    "verdict without the skew rule": lambda seen, rules: said(seen.tests(), rules),
    "paired t over seeds": lambda seen, rules: RULES["paired t over seeds"](seen, rules).kinds,
}
NEVER, WITHIN = Rules(margin=1e-9), Rules(margin=GAIN)
COLUMNS = (
    "false",
    f"found_at_{GAIN:g}",
    *(f"equivalent_at_{gain:g}" for gain in (0.0, GAIN, -GAIN)),
)
Counts = dict[tuple[Scenario, float, int, str], Counter[str]]


def main() -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    head = ["scenario", "items", "sd", "family", "seeds", "rule", "simulations"]
    out.writerow([*head, *COLUMNS, "false_low", "false_high"])
    for family, total in SIMULATIONS.items():
        for items in ITEMS:
            for (shape, sd, n, rule), found in counted(family, items, total).items():
                shares = [found[name] / total for name in COLUMNS]
                numbers = [f"{x:.4f}" for x in (*shares, *wilson(shares[0], total))]
                out.writerow([shape, items, sd, family, n, rule, total, *numbers])
            sys.stdout.flush()


def counted(family: int, items: int, simulations: int) -> Counts:
    """Count what each rule says of families of one size on so many items, all of equal chance."""
    counts: Counts = {}
    usual = Noise(items=items)
    for drawn in draw(usual, family, max(SEEDS), simulations, seed=items + family):
        for sd in SDS:
            noise = dataclasses.replace(usual, sd=sd)
            for shape in SHAPES if sd > 1 else SHAPES[:1]:
                for gain in (0.0, GAIN, -GAIN):
                    _count(counts, (shape, sd), gain, run(noise, shape, gain, drawn))
    return counts


def _count(
    counts: Counts, at: tuple[Scenario, float], gain: float, right: NDArray[np.bool_]
) -> None:
    for n in SEEDS:
        seen = families(right[:, :, :n])
        for name, rule in COMPARED.items():
            counter = counts.setdefault((*at, n, name), Counter())
            equivalent = rule(seen, WITHIN)[:, 0] == EQUIVALENT
            counter[f"equivalent_at_{gain:g}"] += int(equivalent.sum())
            kinds = rule(seen, NEVER)
            if gain > 0:
                counter[f"found_at_{gain:g}"] += int((kinds[:, 0] == POSITIVE).sum())
            elif gain == 0:
                counter["false"] += int((kinds != UNDECIDED).any(axis=1).sum())


if __name__ == "__main__":
    main()
