"""The arms that are not distinguishable from the best one (multiple comparisons with the best).

For each ordered pair of arms, on the seed blocks and test items that both have, p is one-sided that
the first is worse; with fewer than ten blocks the larger of that for new seeds and items and of the
seeds alone. An arm is thrown out if the smallest of its K − 1 p values, times K − 1, is at most
alpha. The true best, which only its own comparisons can throw out, stays in with 1 − alpha.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from transfergrid.evidence.measured.gains import block_gains, estimated
from transfergrid.evidence.measured.outcomes import Read
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.statistics.intervals import THIS_MODEL, Estimate, over_blocks
from transfergrid.evidence.statistics.skew import ENOUGH_SEEDS
from transfergrid.evidence.verdicts.decisions import ALPHA

MOST_PAIRS = 5_000
"""Pairs of arms that are compared while somebody waits."""


def best_set(
    arms: Sequence[Mapping[int, Result]], read: Read | None, alpha: float = ALPHA
) -> list[bool]:
    """Return of each arm whether it may be the best.

    Args:
        arms: scored cells by seed, of each arm of one family, its baseline among them.
        read: gives a cell's predictions.
        alpha: the error with which the best arm may be thrown out.
    """
    others = max(len(arms) - 1, 1)
    pairs = p_worse(arms, read, alpha / others)
    least = [min((p for (a, _), p in pairs.items() if a == i), default=1.0)
             for i in range(len(arms))]  # fmt: skip
    return [others * p > alpha for p in least]


def p_worse(
    arms: Sequence[Mapping[int, Result]], read: Read | None, above: float = 1.0
) -> dict[tuple[int, int], float]:
    """Return by ordered pair the one-sided p that the first is worse than the second.

    A pair is absent where nothing can be told: no block in common, or a single one.

    Args:
        arms: as for `best_set`.
        read: as for `best_set`.
        above: a p that is larger need not be exact: test items, which are dear, could only make it
            larger still.
    """
    found = {}
    for a, b in combinations(range(len(arms)), 2):
        shared = sorted(arms[a].keys() & arms[b].keys())
        tests = _tests([(arms[a][seed], arms[b][seed]) for seed in shared], read, above)
        if tests:
            found[a, b] = max(_below(one, 1.0) for one in tests)
            found[b, a] = max(_below(one, -1.0) for one in tests)
    return found


def _tests(
    pairs: Sequence[tuple[Result, Result]], read: Read | None, above: float
) -> list[Estimate]:
    """Return the estimates of the difference that can tell anything."""
    if not pairs:
        return []
    few = [over_blocks(block_gains(pairs))] if 1 < len(pairs) < ENOUGH_SEEDS else []
    few = [one for one in few if one.se is not None]
    if few and min(_below(few[0], 1.0), _below(few[0], -1.0)) > above:
        return few
    whole = estimated(pairs, read)
    return [*few, *([whole] if whole.se is not None and whole.scope != THIS_MODEL else [])]


def _below(estimate: Estimate, sign: float) -> float:
    from scipy.special import stdtr

    assert estimate.se is not None
    assert estimate.df is not None
    return float(stdtr(estimate.df, sign * estimate.mean / estimate.se))
