"""From a gain on each of several targets to what holds for these targets, or for new ones.

With five targets or more, the true gains are taken as draws from a normal distribution over
targets, N(μ, τ²), and each is measured with its own error: a random-effects meta-analysis. It
assumes that the targets are exchangeable, which no test can show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfergrid.evidence.statistics.intervals import CONFIDENCE, Estimate

THESE_TARGETS = "these targets"
NEW_TARGETS = "new targets"
FEWEST = 5
"""With fewer targets than this nothing is said about new ones."""
ROUGH = 10
"""With fewer targets than this a statement about a new target is rough."""
RANKS_NEED = 6
"""The smallest number of targets with which a rank or sign test can reach 5 %."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How gains differ between targets, beyond what their own errors explain."""

    tau: float
    """Standard deviation of the true gains over targets (Paule and Mandel 1982)."""
    low: float
    """Lower end of the 95 % interval of `tau`, by the Q-profile method (Viechtbauer 2007)."""
    high: float
    q: float
    """Cochran's Q."""
    p: float
    """P value of the hypothesis that all true gains are equal."""
    i2: float
    """The share of the variance between measured gains that their own errors do not explain."""


@dataclass(frozen=True)
class NewTarget:
    """What is expected of a further target, drawn as these were."""

    low: float
    """Lower end of the 95 % prediction interval of its true gain."""
    high: float
    harm: float
    """The probability that its true gain is below zero."""
    harm_past_margin: float
    """The probability that it loses the margin or more."""


def on_these(gains: Sequence[Estimate]) -> Estimate:
    """Return the mean gain on these targets, each with the same weight.

    SE = √ΣSE²/K with the degrees of freedom of Satterthwaite, (ΣSE²)² / Σ(SE⁴/df).

    Args:
        gains: the gain on each target, with its standard error; the errors are independent.
    """
    mean = float(np.mean([one.mean for one in gains]))
    squares = [_se(one) ** 2 for one in gains]
    spread = sum(v**2 / (one.df or math.inf) for v, one in zip(squares, gains, strict=True))
    df = sum(squares) ** 2 / spread if spread else math.inf
    return Estimate(mean, math.sqrt(sum(squares)) / len(gains), df, THESE_TARGETS, len(gains))


def on_new(gains: Sequence[Estimate]) -> tuple[Estimate, Spread]:
    """Return the mean gain over targets like these, and its spread over them.

    With weights w = 1/(SE² + τ²), μ = Σwy/Σw and SE² = max(1, Q(τ²)/(K−1))/Σw (Hartung and Knapp
    2001, never below the plain error), with K − 1 degrees of freedom.

    Args:
        gains: the gain on each of at least `FEWEST` targets, with its standard error.

    Raises:
        ValueError: there are fewer targets.
    """
    k = len(gains)
    if k < FEWEST:
        raise ValueError(f"{k} targets tell nothing about new ones: it takes {FEWEST}")
    y, v = np.array([one.mean for one in gains]), np.array([_se(one) ** 2 for one in gains])
    spread = _spread(y, v)
    weights = 1 / (v + spread.tau**2)
    mean = float(np.average(y, weights=weights))
    inflated = max(1.0, _q(y, v, spread.tau**2) / (k - 1))
    return Estimate(mean, math.sqrt(inflated / weights.sum()), k - 1.0, NEW_TARGETS, k), spread


def of_a_new_target(over: Estimate, tau: float, margin: float) -> NewTarget:
    """Return what a further target is expected to gain (Higgins, Thompson, Spiegelhalter 2009).

    Args:
        over: the mean gain over targets, from `on_new`.
        tau: the standard deviation of the true gains over targets.
        margin: the loss that matters, in the unit of the gains.
    """
    from scipy.stats import t

    df, reach = over.n - 1, math.hypot(tau, _se(over))
    half = float(t.ppf(0.5 + CONFIDENCE / 2, df)) * reach
    harm, past = (float(t.cdf((edge - over.mean) / reach, df)) for edge in (0.0, -margin))
    return NewTarget(over.mean - half, over.mean + half, harm, past)


def partial_conjunction(p: ArrayLike) -> Floats:
    """Return the p value of "on fewer than u of these targets", for u = 1, …, K.

    p(u) = (K − u + 1)·p₍ᵤ₎ with the p values in ascending order, made monotone (Benjamini and
    Heller 2008, with Bonferroni). The largest u with p(u) ≤ α is a lower bound, at level α, of the
    number of targets on which the effect is there; it holds for all u at once.

    Args:
        p: (K,), the one-sided p value of each target.
    """
    ordered = np.sort(np.asarray(p, dtype=np.float64))
    stepped = ordered * np.arange(len(ordered), 0, -1)
    return np.minimum(np.maximum.accumulate(stepped), 1.0)


def at_least(p: ArrayLike, alpha: float) -> int:
    """Return the number of targets on which the effect is there at least, at level `alpha`."""
    return int((partial_conjunction(p) <= alpha).sum())


def rank_test(gains: ArrayLike) -> tuple[float, float] | None:
    """Return two-sided p values of the exact signed-rank (Wilcoxon) and sign tests over targets.

    None with fewer than `RANKS_NEED` gains other than zero, where neither test can reach 5 %.

    Args:
        gains: (K,), the gain on each target.
    """
    from scipy.stats import binomtest, wilcoxon

    y = np.asarray(gains, dtype=np.float64)
    y = y[y != 0]
    if len(y) < RANKS_NEED:
        return None
    ranks = float(wilcoxon(y, method="exact").pvalue)
    return ranks, float(binomtest(int((y > 0).sum()), len(y)).pvalue)


def _spread(y: Floats, v: Floats) -> Spread:
    from scipy.stats import chi2

    df = len(y) - 1
    q = _q(y, v, 0.0)
    low, high = (float(chi2.ppf(0.5 + sign * CONFIDENCE / 2, df)) for sign in (1, -1))

    def tau(wanted: float) -> float:
        return math.sqrt(_solved(lambda tau2: _q(y, v, tau2) - wanted, float(np.ptp(y)) ** 2))

    return Spread(
        tau=tau(df),
        low=tau(low),
        high=tau(high),
        q=q,
        p=float(chi2.sf(q, df)),
        i2=max(0.0, 1 - df / q) if q else 0.0,
    )


def _q(y: Floats, v: Floats, tau2: float) -> float:
    """Return the weighted sum of squares Σw(y − μ)²; it falls as τ² grows."""
    weights = 1 / (v + tau2)
    return float((weights * (y - np.average(y, weights=weights)) ** 2).sum())


def _solved(falling: Callable[[float], float], start: float) -> float:
    """Return the root of a falling function, or 0 if it is not above 0 there."""
    from scipy.optimize import brentq

    if falling(0.0) <= 0:
        return 0.0
    high = start
    while falling(high) > 0:
        high *= 4
    return float(brentq(falling, 0.0, high, xtol=1e-14, rtol=1e-14))


def _se(one: Estimate) -> float:
    if one.se is None:
        raise ValueError("a gain has no standard error")
    return one.se
