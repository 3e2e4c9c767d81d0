"""The smallest gain that a t test detects with a given power, in standard errors."""

from __future__ import annotations

import math
from functools import lru_cache

FAR = 30.0
"""From this critical value on, the noise of the mean is negligible beside the noise of its
estimated error."""


@lru_cache(maxsize=4096)
def multiplier(df: float, level: float, power: float) -> float:
    """Return how many standard errors large a gain must be to be detected with this power.

    It solves P(T > c) = power for the noncentrality of Student's t, where c is the two-sided
    critical value at the level. The common formula c + t_power takes the estimated error for the
    true one: at two degrees of freedom and a level of .00625 it gives 13.7 instead of 16.0, which
    has a power of only 69 %.
    """
    from scipy.special import chdtri, nctdtrinc, stdtrit  # imported late: slow

    critical = float(stdtrit(df, 1 - level / 2))
    if critical < FAR:
        found = float(nctdtrinc(df, 1 - power, critical))
    else:
        found = critical * float(chdtri(df, 1 - power) / df) ** 0.5
    return max(found, 0.0)


RUNGS = 16
"""Number of grid points per doubling of the degrees of freedom; two neighbours bound all values
between them."""
ROUNDING = 1e-6
"""Larger than the numerical error of the multiplier."""


def finds(se: float, df: float, level: float, power: float, effect: float) -> bool:
    """Return whether a test with this error detects a gain of this effect: see `multiplier`.

    The multiplier decreases with the degrees of freedom. So most answers follow from the two
    nearest grid points, whose multipliers are cached.
    """
    if 0 < df < 1e6 and se > 0:
        rung = math.floor(math.log2(df) * RUNGS)
        most, least = (multiplier(2 ** (k / RUNGS), level, power) for k in (rung, rung + 1))
        if most * (1 + ROUNDING) * se <= effect:
            return True
        if least * (1 - ROUNDING) * se > effect:
            return False
    return multiplier(df, level, power) * se <= effect
