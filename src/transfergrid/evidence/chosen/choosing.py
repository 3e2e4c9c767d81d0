"""What the arm with the best validation score is worth, when the same runs choose and score it.

The lucky seeds that made an arm look best on validation are in its test gain as well. Leaving one
block out takes them apart: for each block an arm is chosen by the others, and its gain read there;
the mean over blocks is unbiased for what choosing by one block fewer gives. The printed interval of
the best of m arms is simultaneous over them (Bonferroni).
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
    """An arm that may be chosen."""

    name: str
    validation: Mapping[int, float]
    """Score by block, more is better."""
    gains: Mapping[int, float]
    """Test gain by block over its own baseline, in points; a baseline's are zero."""


@dataclass(frozen=True)
class LeftOut:
    """What choosing by all blocks but one gives in that one."""

    gain: float
    """Mean over blocks, in points."""
    blocks: int
    chosen: tuple[tuple[str, int], ...]
    """How often each arm was chosen, the most frequent first."""


def leave_one_out(candidates: Sequence[Candidate]) -> LeftOut | None:
    """Choose by mean validation over all blocks but one, read the gain in that one, and so on.

    Of arms whose means are equal the first is chosen.

    Returns:
        None where the arms have fewer than two blocks in common: the same run chose and scored.
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
    """Return the ends of the gain's interval that holds for all `among` arms at once.

    That is m ± t(1 − .05 / (2 among), df) · SE; None where the data cannot tell.
    """
    if chosen.gain is None:
        return None, None
    estimate = Estimate(chosen.gain, chosen.se, chosen.df, chosen.scope or "", chosen.n)
    return estimate.interval(1 - (1 - CONFIDENCE) / max(among, 1))
