"""The records of an arm and its baseline at several label budgets, made up for tests."""

from dataclasses import replace

import numpy as np

from ledger_factory import made, predicted
from transfergrid.records.record import Data, Scores

ITEMS = 50
SHARES = {2: (0.9, 0.6), 20: (0.94, 0.9), "all": (0.94, 0.96)}
CARD = {"steps": 400, "train_examples": 3200, "seconds": 9.0}


def study(labels=(2, 20), seeds=3, **changes):
    """Return the records of an arm and scratch, and their predictions."""
    records, kept = [], {}
    rng = np.random.default_rng(0)
    for k in labels:
        for seed in range(seeds):
            arm, base = _cells(k, seed, rng, **changes)
            for cell, right in (arm, base):
                records.append(cell)
                kept[cell.id] = predicted(right)
    return records, kept


def _cells(k, seed, rng, **changes):
    right = [rng.random(ITEMS) < share for share in SHARES[k]]
    about = {"data": Data(train=200, classes=("a", "b"), test=ITEMS), **changes}

    def scored(cell, mine):
        scores = Scores(train={"accuracy": 1.0}, test={"accuracy": float(mine.mean())})
        return replace(cell, scores=scores, **about), mine

    base = scored(made("scratch", labels=k, seed=seed), right[1])
    arm = made("full_finetuning", "glyphs", labels=k, seed=seed, baseline=base[0])
    arm = replace(arm, source=CARD, config={**arm.config, "source": {"start": None}})
    return scored(arm, right[0]), base
