"""False alarms and power of the verdict over many settings, and of three variations of its rule.

python experiments/calibration/levels.py > experiments/calibration/levels.csv
"""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np

from transfergrid.evidence.compared_rules import (
    OURS,
    POSITIVE,
    RULES,
    UNDECIDED,
    Codes,
    Families,
    families,
    holm,
    skewed,
)
from transfergrid.evidence.decisions import Rules
from transfergrid.evidence.intervals import wilson
from transfergrid.evidence.planted import Noise, Scenario, draw, run

SEEDS, ITEMS, SDS = (3, 5, 10), (156, 360, 797, 2_000), (0.5, 1.0, 2.0, 4.0)
GAIN, SIMULATIONS = 5.0, 4_000
SHAPES = (Scenario.NORMAL, Scenario.HEAVY_TAILS, Scenario.SKEW)
Rule = Callable[[Families], Codes]


def tested(seen: Families, also_seeds: bool, skew_rule: bool) -> Codes:
    """Return the verdict's signs if the paired t must reject as well, or without the skew rule."""
    p = seen.crossed.p()
    if also_seeds:
        p = np.fmax(p, seen.seeds().p())
    kinds = np.where(holm(p) <= 0.05, np.sign(seen.gains.mean(-1)), UNDECIDED).astype(np.int8)
    if skew_rule:
        kinds[skewed(seen.gains)] = UNDECIDED
    return kinds


def of(name: str) -> Rule:
    return lambda seen: RULES[name](seen, Rules(margin=1e-9)).kinds  # nothing is equivalent


COMPARED: dict[str, Rule] = {
    OURS: of(OURS),
    "verdict without the skew rule": lambda seen: tested(seen, False, False),
    "verdict where a paired t rejects too": lambda seen: tested(seen, True, True),
    "paired t over seeds": of("paired t over seeds"),
}


def main() -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    head = ["scenario", "items", "sd", "family", "seeds", "rule", "simulations"]
    out.writerow([*head, "false", "false_low", "false_high", f"found_at_{GAIN:g}"])
    for family in (1, 8):
        for items in ITEMS if family == 1 else ITEMS[:-1]:
            for (shape, sd, n, rule), found in counted(items, family).items():
                false = found["false"] / SIMULATIONS
                shares = [false, *wilson(false, SIMULATIONS), found["found"] / SIMULATIONS]
                numbers = [f"{share:.4f}" for share in shares]
                out.writerow([shape, items, sd, family, n, rule, SIMULATIONS, *numbers])
            sys.stdout.flush()


def counted(items: int, family: int) -> dict[tuple[Scenario, float, int, str], Counter[str]]:
    """Count false alarms without a gain, and gains of the first arm found; all of equal chance."""
    counts: dict[tuple[Scenario, float, int, str], Counter[str]] = {}
    for drawn in draw(Noise(items=items), family, max(SEEDS), SIMULATIONS, seed=items + family):
        for sd in SDS:
            noise = dataclasses.replace(Noise(items=items), sd=sd)
            for shape in SHAPES if sd > 1 else SHAPES[:1]:
                for gain in (0.0, GAIN):
                    right = run(noise, shape, gain, drawn)
                    for n in SEEDS:
                        seen = families(right[:, :, :n])
                        for name, rule in COMPARED.items():
                            kinds = rule(seen)
                            counter = counts.setdefault((shape, sd, n, name), Counter())
                            if gain:
                                counter["found"] += int((kinds[:, 0] == POSITIVE).sum())
                            else:
                                counter["false"] += int((kinds != UNDECIDED).any(axis=1).sum())
    return counts


if __name__ == "__main__":
    main()
