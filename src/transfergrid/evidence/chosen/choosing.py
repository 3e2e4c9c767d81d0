"""The gain of the arm with the best validation score, when the same runs choose and score it.

The lucky seeds that made an arm look best on validation are also in its test gain. Leaving one
block out separates them: for each block an arm is chosen by the other blocks, and its gain is read
in this block. The mean over blocks is unbiased for choosing with one block fewer. The printed
interval of the best of m arms is simultaneous over them (Bonferroni).
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transfergrid.evidence.statistics.intervals import CONFIDENCE, Estimate
from transfergrid.evidence.verdicts.verdict import Verdict


@dataclass(frozen=True)
class Candidate:
    """An arm that can be chosen."""

    name: str
    validation: Mapping[int, float]
    """Validation score by block, more is better."""
    gains: Mapping[int, float]
    """Test gain by block over its own baseline, in points; zeros for a baseline."""


@dataclass(frozen=True)
class LeftOut:
    """The result of choosing by all blocks but one, and reading the gain in that one."""

    gain: float
    """Mean gain over blocks, in points."""
    blocks: int
    chosen: tuple[tuple[str, int], ...]
    """How often each arm was chosen, the most frequent first."""


def leave_one_out(candidates: Sequence[Candidate]) -> LeftOut | None:
    """Return the mean gain when each block is left out and the arm chosen by the other blocks.

    Among arms with equal mean validation scores the first is chosen.

    Returns:
        None if the arms have fewer than two common blocks: the same run would choose and score.
    """
    shared = [candidate.validation.keys() & candidate.gains.keys() for candidate in candidates]
    blocks = sorted(set.intersection(*map(set, shared))) if shared else []
    if len(blocks) < 2:
        return None
    picks = {block: _best(candidates, [b for b in blocks if b != block]) for block in blocks}
    gain = statistics.fmean(pick.gains[block] for block, pick in picks.items())
    counted = Counter(pick.name for pick in picks.values())
    return LeftOut(gain, len(blocks), tuple(counted.most_common()))


def _best(candidates: Sequence[Candidate], blocks: Sequence[int]) -> Candidate:
    return max(candidates, key=lambda c: statistics.fmean(c.validation[b] for b in blocks))


def simultaneous(chosen: Verdict, among: int) -> tuple[float | None, float | None]:
    """Return the ends of the gain's interval that holds simultaneously for all `among` arms.

    That is m ± t(1 − .05 / (2 among), df) · SE; None if the data cannot tell.
    """
    if chosen.gain is None:
        return None, None
    estimate = Estimate(chosen.gain, chosen.se, chosen.df, chosen.scope or "", chosen.n)
    return estimate.interval(1 - (1 - CONFIDENCE) / max(among, 1))
