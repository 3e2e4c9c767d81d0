"""The arms that are not distinguishable from the best one (multiple comparisons with the best).

For each ordered pair of arms, on the seed blocks and test items that both have, p is the one-sided
p value for the first being worse. With fewer than ten blocks it is the larger of two: for new seeds
and items, and for seeds alone. An arm is excluded if the smallest of its K − 1 p values, times K −
1, is at most alpha. The true best arm can be excluded only by its own comparisons, so it stays with
probability 1 − alpha.
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
"""The largest number of pairs of arms that is compared while the user waits."""


def best_set(
    arms: Sequence[Mapping[int, Result]], read: Read | None, alpha: float = ALPHA
) -> list[bool]:
    """Return for each arm whether it may be the best.

    Args:
        arms: for each arm of one family, including its baseline, the scored cells by seed.
        read: returns a cell's predictions.
        alpha: the probability with which the best arm may be excluded.
    """
    others = max(len(arms) - 1, 1)
    pairs = p_worse(arms, read, alpha / others)
    least = [min((p for (a, _), p in pairs.items() if a == i), default=1.0)
             for i in range(len(arms))]  # fmt: skip
    return [others * p > alpha for p in least]


def p_worse(
    arms: Sequence[Mapping[int, Result]], read: Read | None, above: float = 1.0
) -> dict[tuple[int, int], float]:
    """Return, for each ordered pair, the one-sided p value for the first arm being worse.

    A pair is missing if the data cannot tell: it has no common block, or only one.

    Args:
        arms: as for `best_set`.
        read: as for `best_set`.
        above: p values above this need not be exact: the test over items is expensive and could
            only make them larger.
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
    """Return the estimates of the difference that have an error to test with."""
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
