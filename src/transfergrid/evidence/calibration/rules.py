"""Decision rules that turn results into verdicts, for many simulated families at once.

Our rule is `decisions.decide` on the estimates of `intervals`, on arrays; a test checks that both
agree. The other rules are common in papers: none of them corrects for a family, and all but one
look at the seeds only, paired or unpaired.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfergrid.evidence.statistics.correction import holm
from transfergrid.evidence.statistics.skew import ENOUGH_SEEDS, is_skewed
from transfergrid.evidence.verdicts import rule
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.evidence.verdicts.rule import UNDECIDED, Codes, Estimates, Floats, signs

RESAMPLES = 400


@dataclass(frozen=True)
class Families:
    """The input of the rules: s simulated families of m arms over n blocks."""

    gains: Floats
    """(s, m, n) points."""
    scores: Floats
    """(s, 1 + m, n) per cent right, the baseline first."""
    crossed: Estimates
    """The estimates for new seeds and new test items."""
    first: Estimates
    """The estimates for new test items, from the first block alone."""

    def seeds(self) -> Estimates:
        """Return the estimates for new seeds on the same test items, as `over_blocks` does."""
        n = self.gains.shape[-1]
        return _estimates(self.gains.mean(-1), self.gains.var(-1, ddof=1) / n, n - 1.0)

    def tests(self) -> list[Estimates]:
        """Return the estimates that a gain must be tested by: with few seeds, over seeds too."""
        few = self.gains.shape[-1] < ENOUGH_SEEDS
        return [self.crossed, *([self.seeds()] if few else [])]


def families(right: NDArray[np.bool_]) -> Families:
    """Return the rules' input from what each run gets right (s, 1 + m, n, N), baseline first.

    `crossed` equals `over_blocks_and_items`; its residuals follow from the other sums of squares.
    """
    hits = right.view(np.int8)
    by_item = hits[:, 1:] - hits[:, :1]
    n, items = by_item.shape[2:]
    scores = 100.0 / items * hits.sum(axis=-1, dtype=np.int32)
    gains = scores[:, 1:] - scores[:, :1]
    mean = gains.mean(-1)
    item_means = 100.0 / n * by_item.sum(axis=2, dtype=np.int16)
    around = ((item_means - mean[..., None]) ** 2).sum(-1)
    total = 1e4 * (by_item != 0).sum(axis=(2, 3), dtype=np.int32) - n * items * mean**2
    left = total - n * around - items * ((gains - mean[..., None]) ** 2).sum(-1)
    a, b = gains.var(-1, ddof=1) / n, around / (items - 1) / items
    c = np.maximum(left, 0.0) / ((n - 1) * (items - 1)) / (n * items)
    spread = a**2 / (n - 1) + b**2 / (items - 1) + c**2 / ((n - 1) * (items - 1))
    variance = np.maximum(a + b - c, b)
    with np.errstate(invalid="ignore", divide="ignore"):
        crossed = _estimates(mean, variance, variance**2 / spread)
    disagree = (by_item[:, :, 0] != 0).mean(-1) * 1e4
    alone = (disagree - gains[..., 0] ** 2) / (items - 1)
    return Families(gains, scores, crossed, _estimates(gains[..., 0], alone, items - 1.0))


def _estimates(mean: Floats, variance: Floats, df: Floats | float) -> Estimates:
    known = variance > 1e-20
    se = np.where(known, np.maximum(variance, 0.0) ** 0.5, np.nan)
    return Estimates(mean, se, np.where(known, df, np.nan))


@dataclass(frozen=True)
class Called:
    """The verdicts of a rule on each arm (s, m), with its interval if it has one."""

    kinds: Codes
    low: NDArray[np.floating] | None = None
    high: NDArray[np.floating] | None = None


def decided(tests: Sequence[Estimates], gains: Floats, rules: Rules) -> Codes:
    """Return the verdicts of `decisions.decide` on each family, with Holm's correction.

    Args:
        tests: the estimates from `Families.tests`; the first is the gain's own estimate.
        gains: gains by block (s, m, n).
        rules: the declared rules; Holm's correction is used whatever they say.
    """
    kinds = said(tests, rules)
    kinds[np.isnan(tests[0].se) | is_skewed(gains)] = UNDECIDED
    return kinds


def said(tests: Sequence[Estimates], rules: Rules) -> Codes:
    """Return the verdicts by the larger p value of all tests, before reasons not to decide."""
    found = rule.tested(tests, rules.margin, holm)
    return rule.called(tests[0], found, rules.margin, rules.alpha).kinds


def _ours(seen: Families, rules: Rules) -> Called:
    return Called(decided(seen.tests(), seen.gains, rules), *seen.crossed.interval())


def _ours_without_items(seen: Families, rules: Rules) -> Called:
    seeds = seen.seeds()
    return Called(decided([seeds], seen.gains, rules), *seeds.interval())


def _paired_t(seen: Families, rules: Rules) -> Called:
    seeds = seen.seeds()
    return Called(signs(seeds.mean, seeds.p() <= rules.alpha), *seeds.interval())


def _unpaired_t(seen: Families, rules: Rules) -> Called:
    """Apply Welch's test, which treats the seeds of both arms as independent."""
    n = seen.scores.shape[-1]
    parts = seen.scores.var(-1, ddof=1) / n
    arm, base = parts[:, 1:], parts[:, :1]
    with np.errstate(invalid="ignore"):
        df = (arm + base) ** 2 / ((arm**2 + base**2) / (n - 1))
    apart = _estimates(seen.gains.mean(-1), arm + base, df)
    return Called(signs(apart.mean, apart.p() <= rules.alpha), *apart.interval())


def _bootstrap(seen: Families, rules: Rules) -> Called:
    """Apply the percentile bootstrap of paired gains, resampling seeds."""
    means = seen.gains.astype(np.float32) @ _weights(seen.gains.shape[-1])
    outside = int(rules.alpha / 2 * RESAMPLES)  # resamples outside, on each side
    means.partition([outside, RESAMPLES - 1 - outside], axis=-1)
    low, high = means[..., outside], means[..., RESAMPLES - 1 - outside]
    return Called(signs(seen.gains.mean(-1), (low > 0) | (high < 0)), low, high)


@functools.lru_cache(maxsize=8)
def _weights(n: int) -> NDArray[np.float32]:
    """Return the resamples (n, resamples) used for all families, as a weight per seed."""
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    return (drawn.T / n).astype(np.float32)


def _one_seed(seen: Families, rules: Rules) -> Called:
    """Apply a paired test over the items of one seed, which is in effect McNemar's test."""
    return Called(signs(seen.first.mean, seen.first.p() <= rules.alpha), *seen.first.interval())


def _bars(seen: Families, rules: Rules) -> Called:
    """Decide if mean ± sd of the arm and of its baseline do not overlap."""
    mean, sd = seen.gains.mean(-1), seen.scores.std(-1, ddof=1)
    return Called(signs(mean, np.abs(mean) > sd[:, 1:] + sd[:, :1]))


def _mean(seen: Families, rules: Rules) -> Called:
    """Decide by which mean is higher; a tie is undecided."""
    mean = seen.gains.mean(-1)
    return Called(signs(mean, mean != 0))


OURS = "verdict"
RULES: dict[str, Callable[[Families, Rules], Called]] = {
    OURS: _ours,
    "verdict, seeds only": _ours_without_items,
    "paired t over seeds": _paired_t,
    "unpaired t over seeds": _unpaired_t,
    "bootstrap over seeds": _bootstrap,
    "one seed, its items": _one_seed,
    "mean ± sd apart": _bars,
    "mean differs": _mean,
}
"""The rules by their names in tables."""
