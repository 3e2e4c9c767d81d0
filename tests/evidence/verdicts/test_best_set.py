"""Which arms may be the best, against values computed independently."""

import numpy as np
import pytest

from ledger_factory import made, predicted
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.verdicts.best_set import best_set, p_worse

ACCURACY = (0.7, 0.74, 0.9, 0.95, 0.62)
P_WORSE = (
    (None, 0.013912297044805955, 0.02710816371972779, 0.9750992356472507),
    (0.9889323855784297, None, 0.9477300001108123, 0.9987710784000317),
    (0.9732710972589188, 0.10897600738420768, None, 0.9989394194655723),
    (0.026173098649211947, 0.003011019579393973, 0.0032424693949302708, None),
)
"""That the arm of the row is worse than that of the column; arms 1 to 4 of the golden data."""


def right(a):
    """Return which of 60 items arm `a` got right in each of 5 blocks; no random numbers."""
    i, b = np.arange(60)[None, :], np.arange(5)[:, None]
    value = (
        ((i * 37) % 60) / 60
        + 0.35 * ((i * (a * a + 3 * a + 5)) % 29) / 29
        + 0.25 * ((7 * i + 13 * b + 5 * a * i + 3 * a * b + 11 * (i // 7)) % 23) / 23
    )
    return value < ACCURACY[a] + 0.04 * ((3 * a + 5 * b + a * b * b) % 7)


@pytest.fixture
def golden():
    """Return the arms by seed, and what reads their predictions."""
    records, said = [], {}
    for a in range(1, 5):
        for seed, hits in enumerate(right(a)):
            record = made(f"arm{a}", "net", seed=seed, score=float(hits.mean()))
            records.append(record)
            said[record.id] = predicted(hits)
    results = results_from(records)
    arms = [{r.seed: r for r in results if r.names.strategy == f"arm{a}"} for a in range(1, 5)]
    return arms, said.__getitem__


def test_the_golden_p_values_and_the_set(golden):
    arms, read = golden
    found = p_worse(arms, read)
    for (a, b), p in found.items():
        assert p == pytest.approx(P_WORSE[a][b])
    assert len(found) == 12
    assert best_set(arms, read, 0.05) == [False, True, True, False]  # .0417 is out
    assert best_set(arms, read, 0.04) == [True, True, True, False]


def test_what_cannot_be_compared_stays_in(golden):
    arms, read = golden
    alone = {9: arms[3][0]}  # no block in common
    assert best_set([*arms[:3], alone], read) == [False, True, True, True]  # .0139 times 3
    assert best_set([{0: arm[0]} for arm in arms], read) == [True] * 4  # one block tells nothing
    assert best_set(arms[:1], read) == [True]
    assert best_set([], read) == []
