"""Outlier seeds: a t test of few seeds does not tolerate them, and a mean over more hides them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

ENOUGH_SEEDS = 10
"""From this many seeds on the crossed estimate alone decides, and a t test tolerates skewed
gains."""
SKEWED = {4: 1.111, 5: 1.311, 6: 1.388, 7: 1.407, 8: 1.399, 9: 1.376}
"""By number of blocks, the absolute skewness that 2.5 % of normal samples exceed (400,000
simulated); three blocks cannot show any."""
Z = 2.241403
"""Two-sided 2.5 % point of the normal distribution."""
NO_SPREAD = 1e-20
APART = 1e-3
"""Two gains of at most 10^13 that differ by more than this have a variance above `NO_SPREAD`."""


def is_skewed(gains: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether few gains (..., n) are so skewed that a t test of them would mislead."""
    limit = SKEWED.get(gains.shape[-1])
    if limit is None:
        return np.zeros(gains.shape[:-1], dtype=np.bool_)
    return np.asarray(np.abs(skewness(gains)) > limit)


def is_constant(gains: NDArray[np.float64]) -> bool:
    """Return whether two or more gains (n,) are all the same, up to rounding."""
    if len(gains) < 2 or abs(float(gains[0] - gains[-1])) > APART:
        return False
    return float(gains.var()) < NO_SPREAD


def stands_apart(gains: NDArray[np.float64]) -> int | None:
    """Return the index of the gain (n,) farthest from the median, if the gains are skewed."""
    limit = skewness_limit(len(gains))
    if limit is None or abs(skewness(gains)) <= limit:
        return None
    return int(np.abs(gains - np.median(gains)).argmax())


def skewness(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the third standardised moment of the gains (..., n); 0 if they have no spread."""
    centred = gains - gains.mean(-1, keepdims=True)
    spread = (centred**2).mean(-1)
    known = spread >= NO_SPREAD
    third = np.where(known, (centred**3).mean(-1), 0.0)
    return np.asarray(third / np.where(known, spread, 1.0) ** 1.5)


def skewness_limit(n: int) -> float | None:
    """Return the absolute skewness that 2.5 % of normal samples of size n exceed.

    From n = 10 on it is computed by the transformation of D'Agostino (1970) to a normal variable;
    at n = 10, 2.8 % exceed it.
    """
    if n < ENOUGH_SEEDS:
        return SKEWED.get(n)
    kurtosis = 3.0 * (n * n + 27 * n - 70) * (n + 1) * (n + 3)
    kurtosis /= (n - 2) * (n + 5) * (n + 7) * (n + 9)
    w2 = math.sqrt(2 * (kurtosis - 1)) - 1
    reach = math.sqrt(2 / (w2 - 1)) * math.sinh(Z * math.sqrt(math.log(w2) / 2))
    return reach * math.sqrt(6 * (n - 2) / ((n + 1) * (n + 3)))
