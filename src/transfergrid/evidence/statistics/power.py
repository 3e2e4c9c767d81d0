"""The smallest gain that a t test finds with a given power, in standard errors."""

from __future__ import annotations

import math
from functools import lru_cache

FAR = 30.0
"""Critical values from which on the noise of the mean is nothing beside that of its error."""


@lru_cache(maxsize=4096)
def multiplier(df: float, level: float, power: float) -> float:
    """Return how many standard errors a gain must be large to be found with this power.

    It solves P(T > c) = power for the noncentrality of Student's t, with c its two-sided critical
    value at the level. The usual c + t_power takes the estimated error for the true one: at two
    degrees of freedom and a level of .00625, 13.7 instead of 16.0, which has a power of 69 %.
    """
    from scipy.special import chdtri, nctdtrinc, stdtrit  # time that other commands do not pay

    critical = float(stdtrit(df, 1 - level / 2))
    if critical < FAR:
        found = float(nctdtrinc(df, 1 - power, critical))
    else:
        found = critical * float(chdtri(df, 1 - power) / df) ** 0.5
    return max(found, 0.0)


RUNGS = 16
"""Rungs, in which degrees of freedom double, of a ladder that bounds what lies between two."""
ROUNDING = 1e-6
"""Beyond what the multiplier is computed to."""


def finds(se: float, df: float, level: float, power: float, effect: float) -> bool:
    """Return whether a test with this error finds a gain of this effect: see `multiplier`.

    The multiplier falls with the degrees of freedom. So most answers are known from those of the
    nearest rounder numbers, which are asked for again and again.
    """
    if 0 < df < 1e6 and se > 0:
        rung = math.floor(math.log2(df) * RUNGS)
        most, least = (multiplier(2 ** (k / RUNGS), level, power) for k in (rung, rung + 1))
        if most * (1 + ROUNDING) * se <= effect:
            return True
        if least * (1 - ROUNDING) * se > effect:
            return False
    return multiplier(df, level, power) * se <= effect
