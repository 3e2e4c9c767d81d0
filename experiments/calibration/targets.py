"""How often statements over several targets are wrong: `verdicts --show targets`.

    python experiments/calibration/targets.py > experiments/calibration/targets.csv

Every target has its own true gain, drawn from N(mu, tau²), and is measured with five seeds on 360
test items: gains vary over seeds by 1.7 points, over items as with 12 % of disagreements. A
statement is wrong where it claims a gain or loss of a mean of zero ("false"); where it says that
an arm hurts on more targets than it does ("too many"); where the prediction interval does not hold
a further target's true gain ("outside"). "found" is the share of true means of 3 points that are
found.
"""

from __future__ import annotations

import csv
import sys
from itertools import product

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.statistics.intervals import (
    Estimate,
    over_blocks,
    over_blocks_and_items,
)
from transfergrid.evidence.statistics.targets import (
    FEWEST,
    at_least,
    of_a_new_target,
    on_new,
    on_these,
)
from transfergrid.evidence.verdicts.rule import Estimates

SIMULATIONS, SEEDS, ITEMS, ALPHA = 1_000, 5, 360, 0.05
TARGETS, SPREADS, GAIN = (2, 3, 5, 6, 10, 20), (0.0, 2.0, 5.0), 3.0
Pair = tuple[Estimate, Estimate]
"""The gain on a target over seeds and items, and over seeds alone."""


def main() -> None:
    rng = np.random.default_rng(0)
    writer = csv.writer(sys.stdout)
    writer.writerow(("targets", "tau", "false", "found", "too_many", "outside"))
    for k, tau in product(TARGETS, SPREADS):
        if k < FEWEST and tau:
            continue  # with few targets the statement is about these, and they are fixed
        none = [simulated(k, 0.0, tau, rng) for _ in range(SIMULATIONS)]
        some = [simulated(k, GAIN, tau, rng) for _ in range(SIMULATIONS)]
        false, found = (np.mean([one[0] for one in all_of]) for all_of in (none, some))
        outside = np.mean([one[2] for one in none]) if k >= FEWEST else float("nan")
        rates = (false, found, np.mean([one[1] for one in none]), outside)
        writer.writerow((k, tau, *(f"{100 * rate:.1f}" for rate in rates)))


def simulated(k: int, mu: float, tau: float, rng: np.random.Generator) -> tuple[bool, bool, bool]:
    """Return whether a mean is claimed, too many losses are, and a new target lies outside."""
    true = rng.normal(mu, tau, k)
    pairs = [measured(gain, rng) for gain in true]
    claimed = p_of(pairs) <= ALPHA
    losses = [max(float(_one(e).p_gain(0.0).item()) for e in pair) for pair in pairs]
    too_many = at_least(losses, ALPHA) > int((true < 0).sum())
    if k < FEWEST:
        return claimed, too_many, False
    over, spread = on_new([crossed for crossed, _ in pairs])
    new = of_a_new_target(over, spread.tau, 1.0)
    return claimed, too_many, not new.low <= rng.normal(mu, tau) <= new.high


def measured(gain: float, rng: np.random.Generator) -> Pair:
    shared = rng.choice([-100.0, 0.0, 100.0], ITEMS, p=[0.06, 0.88, 0.06])
    own = rng.choice([-100.0, 0.0, 100.0], (SEEDS, ITEMS), p=[0.04, 0.92, 0.04])
    gains: NDArray[np.float64] = gain + rng.normal(0, 1.7, (SEEDS, 1)) + shared + own
    return over_blocks_and_items(gains), over_blocks(gains.mean(axis=1))


def p_of(pairs: list[Pair]) -> float:
    """Return the p value of no mean gain: the larger of both errors'."""
    over = on_these if len(pairs) < FEWEST else lambda gains: on_new(gains)[0]
    return max(float(_one(over(list(side))).p().item()) for side in zip(*pairs, strict=True))


def _one(estimate: Estimate) -> Estimates:
    return Estimates.of_one_family([estimate])


if __name__ == "__main__":
    main()
