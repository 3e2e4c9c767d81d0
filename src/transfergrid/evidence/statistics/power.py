"""The smallest gain that a t test finds with a given power, in standard errors."""

from __future__ import annotations

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
