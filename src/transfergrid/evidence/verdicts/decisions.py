"""The decision rule: does a gain's estimate show that transfer helped, hurt or made no difference?

The verdicts are checked in this order. *Equivalent*: two one-sided tests (Schuirmann 1987) show
that the gain lies inside the margin. *Negative* or *positive*: the corrected two-sided test rejects
that there is no gain. *Harm ruled out*: a loss of the margin or more is rejected, one-sided, at
half the level. *Gain ruled out*: the same for a gain of the margin or more. Otherwise *undecided*,
with the smallest effect that could have been detected and the number of further seeds needed. All
estimates of one family, and only these, are decided together: see `judging`.

The hypotheses about one arm are not corrected against each other: no gain, a loss of the margin and
a gain of the margin exclude each other, so at most one of the three is true, and each may be tested
at its own level.

With fewer than ten seeds a gain must also pass a test over the seeds alone (a paired t test). When
three or five seeds happen to agree, the crossed standard error contains little but the item noise,
which is known well, and is too small: up to 18 % of families of eight arms showed a gain where
there was none. With both tests at most 6 % did. No such test with few seeds holds its level when
rare, very bad seeds are nearly all of the noise: then up to 24 % did (`experiments/calibration`).
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
    """The possible verdicts on a gain."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    EQUIVALENT = "equivalent"
    HARM_RULED_OUT = "harm ruled out"
    """There is no loss as large as the margin."""
    GAIN_RULED_OUT = "gain ruled out"
    """There is no gain as large as the margin."""
    UNDECIDED = "undecided"

    @property
    def key(self) -> str:
        """Return the value without spaces, for use as a key or CSS class."""
        return self.value.replace(" ", "_")


CODES = {
    rule.POSITIVE: Kind.POSITIVE,
    rule.NEGATIVE: Kind.NEGATIVE,
    rule.EQUIVALENT: Kind.EQUIVALENT,
    rule.HARM_RULED_OUT: Kind.HARM_RULED_OUT,
    rule.GAIN_RULED_OUT: Kind.GAIN_RULED_OUT,
    rule.UNDECIDED: Kind.UNDECIDED,
}
"""The verdict that each code in an array stands for."""


@dataclass(frozen=True)
class Rules:
    """The parameters that decide a verdict; declared before the results are looked at.

    Args:
        margin: the smallest gain of practical relevance, in points.
        alpha: the error rate that a family is allowed.
        power: the power that `detectable` and `seeds_needed` are computed with.
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
        """Return these rules for every family, so that an instance can serve as `RulesOf`."""
        return self


@dataclass(frozen=True)
class Decision:
    """The decision on one estimate of a family."""

    kind: Kind
    p: float | None
    """Two-sided p value of no gain, for new seeds and test items. With fewer than ten seeds, the p
    value over seeds alone if it is larger. None if the data cannot tell."""
    p_corrected: float | None
    p_equivalent: float | None
    """Corrected p value of the hypothesis that the gain lies outside the margin."""
    detectable: float | None
    """The smallest gain, in points, that would have been detected at the corrected level. Under
    Holm this is the level for the arms that are not rejected; under Benjamini-Hochberg it is the
    family's."""
    seeds_needed: int | None
    """Further seeds until a gain as large as the observed one, or as the margin, would be detected.
    None if it is decided already, or if no number of seeds is enough."""
    why: str = ""
    """The reason if it is undecided for more than a lack of evidence."""
    p_harm: float | None = None
    """Corrected, one-sided p value of a loss of the margin or more."""
    p_gain: float | None = None
    """Corrected, one-sided p value of a gain of the margin or more."""
    harm_ruled_out: bool = False
    """Whether such a loss is ruled out, also if `kind` is a stronger verdict."""
    gain_ruled_out: bool = False
    seeds_range: tuple[int | None, int | None] = (None, None)
    """Lower and upper end of `seeds_needed`, as far as so few seeds can tell; see `standing`."""
    seeds_for_harm: int | None = None
    """Further seeds until harm would be ruled out, if the true gain equals the observed one."""

    @property
    def is_decided(self) -> bool:
        """Return whether the verdict is any other than undecided."""
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
        estimates: of each arm's gain, in points.
        gains: of each arm, by seed block (n,).
        rules: the declared rules.
        level: the error rate that the family may use at this look; by default `rules.alpha`.
        later: the error rate that it may use at a later look with more seeds; by default the same.
        ahead: whether to compute what could have been detected and what further seeds would show.
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
    """The level at which an arm that is not rejected was tested."""
    later: float
    """The level at which it would be tested with more seeds."""
    harm: float
    """The level, of both sides together, at which harm that is not ruled out would be tested with
    more seeds."""


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
    """Return why no number of further seeds would show such a gain; empty if some number would."""
    if is_ahead(standing, effect, at.later, rules.power):
        return ""
    return NO_MORE if at.later <= 0 else why_none(standing, effect, at.later, rules.power)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _further(standing: Standing, rules: Rules, at: _Levels) -> tuple[Forecast, int | None]:
    """Return the further seeds needed to detect the gain or the margin, and to rule out harm.

    The first is for the larger of the observed gain and the margin. The second, for ruling out
    harm, assumes that the true gain equals the observed one; None if that is a loss of the margin
    or more.
    """
    mean, margin = standing.estimate.mean, rules.margin
    needed = forecast(standing, max(abs(mean), margin), at.later, rules.power)
    if mean <= -margin:
        return needed, None
    return needed, seeds_needed(standing, mean + margin, at.harm, rules.power)


def _undecidable(standing: Standing) -> str:
    """Return why these data cannot support any decision; empty if they can."""
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
    """Return the words for "all seeds have the same gain", as with deterministic models."""
    return f"constant, the same gain in {'both' if seeds == 2 else f'all {seeds}'} seeds"
