"""The decision rule on arrays of shape (families, arms).

It decides one family of a ledger (`decisions`), or thousands of simulated families at once
(`calibration`). NaN marks what the data cannot tell.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.statistics.correction import Correction
from transfergrid.evidence.statistics.intervals import (
    CONFIDENCE,
    ENDLESS,
    THIS_MODEL,
    Estimate,
)

NEGATIVE, UNDECIDED, POSITIVE, EQUIVALENT, HARM_RULED_OUT, GAIN_RULED_OUT = -1, 0, 1, 2, 3, 4

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]


@dataclass(frozen=True)
class Estimates:
    """Means with their standard errors, each (s, m), in points; NaN where `Estimate` has None."""

    mean: Floats
    se: Floats
    df: Floats

    @classmethod
    def of_one_family(cls, estimates: Iterable[Estimate | None]) -> Estimates:
        """Return the estimates (1, m) of a family; NaN for a single model (one seed)."""
        known = [
            (one.mean, one.se, one.df)
            if one is not None and one.scope != THIS_MODEL and one.se is not None
            else (np.nan, np.nan, np.nan)
            for one in estimates
        ]
        mean, se, df = np.array(known, dtype=np.float64).reshape(-1, 3).T[:, None, :]
        return cls(mean, se, df)

    def interval(self) -> tuple[Floats, Floats]:
        """Return the ends of the two-sided t intervals, as `Estimate.interval` does."""
        from scipy.special import stdtrit

        reach = stdtrit(self.df, 0.5 + CONFIDENCE / 2) * self.se
        reach = np.where(reach < ENDLESS, reach, np.nan)
        return self.mean - reach, self.mean + reach

    def p(self) -> Floats:
        """Return the two-sided p value of the hypothesis of a mean of zero."""
        return 2 * self._tail(-np.abs(self.mean))

    def p_outside(self, margin: float) -> Floats:
        """Return the larger of both one-sided p values of a mean outside the margin."""
        return self._tail(np.abs(self.mean) - margin)

    def p_harm(self, margin: float) -> Floats:
        """Return the one-sided p value of a loss of the margin or more."""
        return self._tail(-margin - self.mean)

    def p_gain(self, margin: float) -> Floats:
        """Return the one-sided p value of a gain of the margin or more."""
        return self._tail(self.mean - margin)

    def _tail(self, at: Floats) -> Floats:
        """Return the probability that a mean errs by at most `at`, which is mostly negative."""
        from scipy.special import stdtr  # imported here: takes a third of a second

        return np.asarray(stdtr(self.df, at / self.se))


class Tested(NamedTuple):
    """The p values (s, m), the largest of several tests; all but `p` are corrected."""

    p: Floats
    corrected: Floats
    outside: Floats
    harm: Floats
    gain: Floats


def tested(tests: Sequence[Estimates], margin: float, correct: Correction) -> Tested:
    """Return the p values of means that must pass the tests of all these estimates."""

    def largest(p: Iterable[Floats]) -> Floats:
        return functools.reduce(np.fmax, p)

    p = largest(test.p() for test in tests)
    return Tested(
        p,
        correct(p),
        correct(largest(test.p_outside(margin) for test in tests)),
        correct(largest(test.p_harm(margin) for test in tests)),
        correct(largest(test.p_gain(margin) for test in tests)),
    )


class Called(NamedTuple):
    """The verdicts (s, m), and whether harm and gain are ruled out, even under a stronger one."""

    kinds: Codes
    harm: NDArray[np.bool_]
    gain: NDArray[np.bool_]


def called(crossed: Estimates, found: Tested, margin: float, allowed: float) -> Called:
    """Return the verdicts that follow from the tests, before any reason not to decide an arm.

    No verdict contradicts the printed 95 % interval. With an allowed error above 5 % a test could
    reject although the interval contains zero, or reaches beyond the margin.

    Args:
        crossed: the estimates whose intervals are printed.
        found: the p values.
        margin: the smallest gain of practical relevance, in points.
        allowed: the error rate of each family.
    """
    low, high = crossed.interval()
    harm = (found.harm <= allowed / 2) & ~(low <= -margin)
    gain = (found.gain <= allowed / 2) & ~(high >= margin)
    kinds = np.where(gain, GAIN_RULED_OUT, UNDECIDED).astype(np.int8)
    kinds[harm] = HARM_RULED_OUT
    rejects = (found.corrected <= allowed) & ~((low <= 0) & (high >= 0))
    kinds = np.where(rejects, signs(crossed.mean, rejects), kinds)
    kinds[found.outside <= allowed] = EQUIVALENT
    return Called(kinds, harm, gain)


def signs(mean: Floats, where: NDArray[np.bool_]) -> Codes:
    """Return the code of positive or negative by the sign of the mean, and undecided elsewhere."""
    return np.where(where, np.where(mean < 0, NEGATIVE, POSITIVE), UNDECIDED).astype(np.int8)
