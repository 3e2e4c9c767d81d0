"""The rule: does a gain's estimate show that transfer helped, hurt or made no difference?

In this order: *equivalent* if two one-sided tests (Schuirmann 1987) put the gain inside the margin;
*negative* or *positive* if the corrected two-sided test rejects that there is none; *harm ruled
out* if a loss of the margin or more is rejected, one-sided at half the level, *gain ruled out* if a
gain of it is; else *undecided*, with the smallest effect that could have been seen and the seeds
that would still be needed. Only the estimates of one family are decided together: see `judging`.

Inside one arm nothing is corrected: no gain, a loss and a gain of the margin exclude each other, so
that at most one of the three is true, and each may be tested at its own level.

With fewer than ten seeds a gain must stand against the seeds alone as well (a paired t test): when
three or five seeds happen to agree, the crossed estimate takes the item noise, which it knows well,
for all there is, and up to 18 % of families of eight showed a gain where there was none; with both
tests at most 6 % did. No such test of few seeds holds where seldom, very bad seeds are nearly all
the noise: then up to 24 % did (`experiments/calibration`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.statistics.correction import correction
from transfergrid.evidence.statistics.intervals import THIS_MODEL, Estimate
from transfergrid.evidence.statistics.skew import is_constant
from transfergrid.evidence.verdicts import rule
from transfergrid.evidence.verdicts.rule import Called, Estimates, Tested
from transfergrid.evidence.verdicts.standing import (
    NO_FORECAST,
    Forecast,
    Standing,
    forecast,
    is_ahead,
    seeds_needed,
    standings,
    why_none,
)
from transfergrid.records.errors import BadInputError

ALPHA, MARGIN, POWER = 0.05, 1.0, 0.8
NO_MORE = "no further seeds were declared"


class Kind(StrEnum):
    """What is said of a gain."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    EQUIVALENT = "equivalent"
    HARM_RULED_OUT = "harm ruled out"
    """No loss as large as the margin."""
    GAIN_RULED_OUT = "gain ruled out"
    """No gain as large as the margin."""
    UNDECIDED = "undecided"

    @property
    def key(self) -> str:
        """Return it as keys and style sheets take it, without spaces."""
        return self.value.replace(" ", "_")


CODES = {
    rule.POSITIVE: Kind.POSITIVE,
    rule.NEGATIVE: Kind.NEGATIVE,
    rule.EQUIVALENT: Kind.EQUIVALENT,
    rule.HARM_RULED_OUT: Kind.HARM_RULED_OUT,
    rule.GAIN_RULED_OUT: Kind.GAIN_RULED_OUT,
    rule.UNDECIDED: Kind.UNDECIDED,
}
"""What the codes of arrays stand for."""


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

    def __call__(self, family: object) -> Rules:
        """Return it: a family's rules, where all of them are decided alike; see `RulesOf`."""
        return self


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
    p_harm: float | None = None
    """Corrected, one-sided, of a loss of the margin or more."""
    p_gain: float | None = None
    """Corrected, one-sided, of a gain of the margin or more."""
    harm_ruled_out: bool = False
    """Whether such a loss is ruled out, be the kind a stronger one."""
    gain_ruled_out: bool = False
    seeds_range: tuple[int | None, int | None] = (None, None)
    """Ends of `seeds_needed` as far as so few seeds can tell; see `standing`."""
    seeds_for_harm: int | None = None
    """Further seeds until harm would be ruled out, if the gain is what it was seen to be."""

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
    ahead: bool = True,
) -> list[Decision]:
    """Decide the gains of one family.

    Args:
        estimates: of each gain, in points.
        gains: by block (n,), of each.
        rules: as declared.
        level: the error that the family may make at this look; by default `rules.alpha`.
        later: the error that it may make at a look with more seeds; by default the same.
        ahead: whether to tell what could have been found, and what further seeds would show.
    """
    allowed = rules.alpha if level is None else level
    all_of = standings(estimates, gains)
    crossed, seeds = (
        Estimates.of_one_family((*one.tests(), None)[which] for one in all_of) for which in (0, 1)
    )
    tested = rule.tested([crossed, seeds], rules.margin, correction(rules.correction))
    called = rule.called(crossed, tested, rules.margin, allowed)
    at = _levels(tested, rules, allowed, allowed if later is None else later)
    values = np.stack([each[0] for each in tested], axis=1).tolist()
    return [
        _decision(one, i, of, called, rules, at, ahead)
        for i, (one, of) in enumerate(zip(all_of, values, strict=True))
    ]


class _Levels(NamedTuple):
    single: float
    """At which one that is not rejected was tested."""
    later: float
    """At which it would be with more seeds."""
    harm: float
    """At which harm that is not ruled out would be tested with more seeds, both sides together."""


def _levels(tested: Tested, rules: Rules, allowed: float, later: float) -> _Levels:
    tests = int((~np.isnan(tested.p)).sum())
    stepped = rules.correction == "holm"
    among = max(tests - int((tested.corrected <= allowed).sum()), 1) if stepped else 1
    of_harm = max(tests - int((tested.harm <= allowed / 2).sum()), 1) if stepped else 1
    return _Levels(allowed / among, later / among, later / of_harm)


def _decision(
    standing: Standing,
    arm: int,
    tested: Sequence[float],
    called: Called,
    rules: Rules,
    at: _Levels,
    ahead: bool,
) -> Decision:
    p, corrected, outside, p_harm, p_gain = map(_known, tested)
    estimate = standing.estimate
    why = _undecidable(standing)
    kind = Kind.UNDECIDED if why else CODES[called.kinds[0, arm]]
    detectable, needed, for_harm = None, NO_FORECAST, None
    ruled_out = not why and bool(called.harm[0, arm]), not why and bool(called.gain[0, arm])
    if p is not None:
        if ahead:
            detectable = standing.detectable(at.single, rules.power)
        if kind is Kind.UNDECIDED:
            needed, for_harm = _further(standing, rules, at) if ahead else (NO_FORECAST, None)
            why = why or _hopeless(standing, max(abs(estimate.mean), rules.margin), rules, at)
    return Decision(
        kind,
        p,
        corrected,
        outside,
        detectable,
        needed.seeds,
        why,
        p_harm,
        p_gain,
        *ruled_out,
        (needed.low, needed.high),
        for_harm,
    )


def _hopeless(standing: Standing, effect: float, rules: Rules, at: _Levels) -> str:
    """Return why no number of further seeds would show a gain of this effect, if so."""
    if is_ahead(standing, effect, at.later, rules.power):
        return ""
    return NO_MORE if at.later <= 0 else why_none(standing, effect, at.later, rules.power)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _further(standing: Standing, rules: Rules, at: _Levels) -> tuple[Forecast, int | None]:
    """Return the seeds that a gain as large as the observed one takes, or one of the margin.

    And those that it takes to rule out harm, if the gain is what it was seen to be.
    """
    mean, margin = standing.estimate.mean, rules.margin
    needed = forecast(standing, max(abs(mean), margin), at.later, rules.power)
    if mean <= -margin:
        return needed, None
    return needed, seeds_needed(standing, mean + margin, at.harm, rules.power)


def _undecidable(standing: Standing) -> str:
    """Return why the data cannot decide whatever they say, if so."""
    estimate, gains = standing.estimate, standing.gains
    if estimate.scope == THIS_MODEL:
        return "one seed: it speaks of these two models only"
    if estimate.se is None and not is_constant(gains):
        return "no variation between test items: nothing tells how sure it is"
    if estimate.se is None:
        return f"{constant(len(gains))}: a fact of this test set, and nothing tells of another one"
    if standing.is_skewed:
        return f"skewed: one of {len(gains)} seeds stands apart, and a t test would mislead"
    return ""


def constant(seeds: int) -> str:
    """Say that all seeds gain the same, as deterministic models do."""
    return f"constant, the same gain in {'both' if seeds == 2 else f'all {seeds}'} seeds"
