"""The rule: does a gain's estimate show that transfer helped, hurt or made no difference?

In this order: *equivalent* if two one-sided tests (Schuirmann 1987) put the gain inside the margin;
*negative* or *positive* if the corrected two-sided test rejects that there is none; else
*undecided*, with the smallest effect that could have been seen and the seeds that would still be
needed. Only the estimates of one family are decided together: see `judging`.

With fewer than ten seeds a gain must stand against the seeds alone as well (a paired t test): when
three or five seeds happen to agree, the crossed estimate takes the item noise, which it knows well,
for all there is, and up to 18 % of families of eight showed a gain where there was none; with both
tests at most 6 % did. No such test of few seeds holds where seldom, very bad seeds are nearly all
the noise: then up to 24 % did (`experiments/calibration`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.errors import BadInputError
from transfergrid.evidence.correction import correction
from transfergrid.evidence.intervals import (
    THIS_MODEL,
    Estimate,
    over_blocks,
)

ALPHA, MARGIN, POWER = 0.05, 1.0, 0.8
ENOUGH_SEEDS = 10
"""With so many the crossed estimate alone decides, and a t test bears skewed gains."""
MOST_SEEDS = 1_000
"""More further seeds than that are not asked for."""
ENDLESS = 10**12
"""Seeds whose own error is nothing."""
SKEWED = {4: 1.111, 5: 1.311, 6: 1.388, 7: 1.407, 8: 1.399, 9: 1.376}
"""By number of blocks, the skewness, of either sign, that 2.5 % of normal samples exceed (400,000
simulated); three blocks cannot show any, and the t test bears it from ten on."""


NO_MORE = "no further seeds were declared"
MORE_ITEMS = "more seeds would not do: it takes more test items"
TOO_MANY = f"{MOST_SEEDS:,} more seeds would not show so small a gain, nor one of the margin"


class Kind(StrEnum):
    """What is said of a gain."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Rules:
    """What a verdict is decided by; declared before the results are looked at.

    Args:
        margin: the smallest gain of practical relevance, in points.
        alpha: the error that a family is allowed.
        power: with which `detectable` and `seeds_needed` are computed.
        correction: "holm", "bh" or "none".

    Raises:
        BadInputError: a value makes no sense.
    """

    margin: float = MARGIN
    alpha: float = ALPHA
    power: float = POWER
    correction: str = "holm"

    def __post_init__(self) -> None:
        correction(self.correction)
        if not 0 < self.margin < float("inf"):
            raise BadInputError(f"the margin must be a number of points above 0: {self.margin}")
        for name in ("alpha", "power"):
            if not 0 < getattr(self, name) < 1:
                raise BadInputError(f"{name} must lie between 0 and 1: {getattr(self, name)}")


@dataclass(frozen=True)
class Decision:
    """What one estimate of a family came to."""

    kind: Kind
    p: float | None
    """Two-sided, of no gain, for new seeds and test items; with fewer than ten seeds that of the
    seeds alone, if it is larger. None where the data cannot tell."""
    p_corrected: float | None
    p_equivalent: float | None
    """Corrected, of a gain outside the margin."""
    detectable: float | None
    """The smallest gain, in points, that would have been found at the corrected level: under Holm
    that of what is not rejected, under Benjamini-Hochberg the family's."""
    seeds_needed: int | None
    """Further seeds until a gain as large as the observed one, or as the margin, would be found;
    None where decided, or where no number of seeds would do."""
    why: str = ""
    """Why it is undecided, where that is not just for want of evidence."""

    @property
    def is_decided(self) -> bool:
        """Return whether it is more than undecided."""
        return self.kind is not Kind.UNDECIDED


def decide(
    estimates: Sequence[Estimate],
    gains: Sequence[NDArray[np.float64]],
    rules: Rules,
    level: float | None = None,
    later: float | None = None,
) -> list[Decision]:
    """Decide the gains of one family.

    Args:
        estimates: of each gain, in points.
        gains: by block (n,), of each.
        rules: as declared.
        level: the error that the family may make at this look; by default `rules.alpha`.
        later: the error that it may make at a look with more seeds; by default the same.
    """
    allowed = rules.alpha if level is None else level
    both = [_Both(*pair) for pair in zip(estimates, gains, strict=True)]
    p = [one.p() for one in both]
    outside = [one.p_outside(rules.margin) for one in both]
    corrected, equivalent = _corrected(p, rules), _corrected(outside, rules)
    rejected = sum(value is not None and value <= allowed for value in corrected)
    tested = sum(value is not None for value in p)
    among = max(tested - rejected, 1) if rules.correction == "holm" else 1
    at = _Levels(allowed, allowed / among, (allowed if later is None else later) / among)
    return [
        _decision(one, p[i], corrected[i], equivalent[i], rules, at) for i, one in enumerate(both)
    ]


class _Levels(NamedTuple):
    family: float
    """That the corrected p values are held against."""
    single: float
    """At which one that is not rejected was tested."""
    later: float
    """At which it would be with more seeds."""


class _Both:
    """An estimate and, with few seeds, that of the seeds alone, which it must stand against too."""

    def __init__(self, estimate: Estimate, gains: NDArray[np.float64]) -> None:
        self.estimate, self.gains = estimate, gains
        few = 1 < estimate.n < ENOUGH_SEEDS
        self.seeds = over_blocks(gains) if estimate.is_crossed and few else None

    def tests(self) -> list[Estimate]:
        """Return the estimates that decide now."""
        few = self.estimate.n < ENOUGH_SEEDS
        return [self.estimate, *([self.seeds] if few and self.seeds and self.seeds.se else [])]

    def p(self) -> float | None:
        """Return the larger p value of no gain."""
        return _largest(map(_two_sided, self.tests()))

    def p_outside(self, margin: float) -> float | None:
        """Return the larger p value of a gain outside the margin."""
        return _largest(_outside(one, margin) for one in self.tests())

    def detectable(self, level: float, power: float) -> float | None:
        """Return the smallest gain that would have been found."""
        return _largest(_reach(one.se, one.df, level, power) for one in self.tests())

    def reach(self, n: int, level: float, power: float) -> float | None:
        """Return the smallest gain that would be found with `n` seeds."""
        few = [self.seeds] if n < ENOUGH_SEEDS and self.seeds and self.seeds.se else []
        return _largest(_reach(*one.se_with(n), level, power) for one in [self.estimate, *few])


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _decision(
    both: _Both,
    p: float | None,
    corrected: float | None,
    equivalent: float | None,
    rules: Rules,
    at: _Levels,
) -> Decision:
    why = _undecidable(both.estimate, both.gains)
    kind = Kind.UNDECIDED if why else _kind(both.estimate, corrected, equivalent, at.family)
    detectable = needed = None
    if p is not None:
        detectable = both.detectable(at.single, rules.power)
        if kind is Kind.UNDECIDED:
            needed = seeds_needed(both.estimate, both.gains, rules, at.later)
            if needed is None and not why:
                why = NO_MORE if at.later <= 0 else _why_none(both, rules, at.later)
    return Decision(kind, p, corrected, equivalent, detectable, needed, why)


def _kind(
    estimate: Estimate, corrected: float | None, equivalent: float | None, allowed: float
) -> Kind:
    if equivalent is not None and equivalent <= allowed:
        return Kind.EQUIVALENT
    if corrected is None or corrected > allowed:
        return Kind.UNDECIDED
    low, high = estimate.interval()  # which an error of more than 5 % may leave over zero
    if low is not None and high is not None and low <= 0 <= high:
        return Kind.UNDECIDED
    return Kind.NEGATIVE if estimate.mean < 0 else Kind.POSITIVE


def _undecidable(estimate: Estimate, gains: NDArray[np.float64]) -> str:
    """Return why the data cannot decide whatever they say, if so."""
    if estimate.scope == THIS_MODEL:
        return "one seed: it speaks of these two models only"
    if estimate.se is None:
        return "no variation between seeds: nothing tells how sure it is"
    if is_skewed(gains):
        return f"skewed: one of {len(gains)} seeds stands apart, and a t test would mislead"
    return ""


def is_skewed(gains: NDArray[np.float64]) -> bool:
    """Return whether so few gains (n,) lie so unevenly that a t test of them would mislead."""
    limit = SKEWED.get(len(gains))
    if limit is None:
        return False
    centred = gains - gains.mean()
    spread = float((centred**2).mean())
    if spread < 1e-20:
        return False
    return bool(abs((centred**3).mean()) / spread**1.5 > limit)


def seeds_needed(
    estimate: Estimate, gains: NDArray[np.float64], rules: Rules, level: float
) -> int | None:
    """Return how many further seeds would show a gain as large as the observed one.

    Or as the margin, if the observed one is smaller. None if even `MOST_SEEDS` would not. Skewed
    gains take as many as a t test bears them with.
    """
    effect, both = max(abs(estimate.mean), rules.margin), _Both(estimate, gains)
    least = ENOUGH_SEEDS if is_skewed(gains) else 0

    def enough(n: int) -> bool:
        if n < least:
            return False
        reach = both.reach(n, level, rules.power)
        return reach is not None and reach <= effect

    low, high = max(estimate.n, 1), estimate.n + MOST_SEEDS  # not enough, enough
    if not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - estimate.n


def _why_none(both: _Both, rules: Rules, level: float) -> str:
    """Return why no number of seeds that is asked for would do.

    For want of test items only where endless seeds would leave too much, which comes of items.
    """
    effect = max(abs(both.estimate.mean), rules.margin)
    left = both.reach(ENDLESS, level, rules.power)
    return MORE_ITEMS if left is not None and left > effect else TOO_MANY


def _two_sided(estimate: Estimate) -> float | None:
    if estimate.se is None or estimate.df is None or estimate.scope == THIS_MODEL:
        return None
    from scipy.special import stdtr  # a third of a second that other commands do not pay

    return float(2 * stdtr(estimate.df, -abs(estimate.mean) / estimate.se))


def _outside(estimate: Estimate, margin: float) -> float | None:
    """Return the p value of a gain that is not inside the margin: the larger of two tests."""
    if estimate.se is None or estimate.df is None or estimate.scope == THIS_MODEL:
        return None
    from scipy.special import stdtr

    return float(stdtr(estimate.df, -(margin - abs(estimate.mean)) / estimate.se))


def _reach(se: float | None, df: float | None, level: float, power: float) -> float | None:
    """Return (t of the level + t of the power) times the standard error."""
    if se is None or df is None or level <= 0:
        return None
    from scipy.special import stdtrit

    return float(stdtrit(df, 1 - level / 2) + stdtrit(df, power)) * se


def _corrected(p: Sequence[float | None], rules: Rules) -> list[float | None]:
    """Correct those p values that there are."""
    there = {i: value for i, value in enumerate(p) if value is not None}
    found: list[float | None] = [None] * len(p)
    if there:
        values = correction(rules.correction)(list(there.values()))
        for i, value in zip(there, values, strict=True):
            found[i] = float(value)
    return found
