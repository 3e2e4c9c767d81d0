"""Source examples weighted by the odds of a classifier that tells the domains apart."""

import numpy as np

from transfergrid.strategies import Positive, Range
from transfergrid.strategies.closed_form.softmax_regression import TINY, Floats, logistic_head
from transfergrid.strategies.shallow.frozen import C, spread
from transfergrid.strategies.shallow.weighting import TOLD, InstanceWeights

FOLDS = 5
FURTHEST = 700.0
"""Log-odds are clipped here, so that their exponential does not overflow."""


def ratio(log_odds: Floats, n_source: int, n_target: int) -> Floats:
    """Return the density ratios n_s / n_t * p / (1 - p), p = p(target | example).

    Args:
        log_odds: a classifier's log-odds of the target, (n,).
        n_source: n_s, number of source examples that the classifier was fitted to.
        n_target: n_t, number of target examples likewise.
    """
    odds = np.exp(np.clip(log_odds, -FURTHEST, FURTHEST))
    return np.asarray(n_source / n_target * odds)


def told_apart(
    source: Floats, target: Floats, c: float, rng: np.random.Generator
) -> tuple[Floats, float]:
    """Return the density ratio of each source example, (n,), and the share of ratios below 1.

    Ratios are cross-fitted: an example's classifier is fitted to other examples, with a fifth of
    each domain left out at a time.

    Args:
        source: features, (n, d).
        target: features, (m, d).
        c: inverse strength of the classifier's penalty.
        rng: draws the folds.
    """
    found = np.empty(len(source))
    ours, theirs = (rng.permutation(len(rows)) % FOLDS for rows in (source, target))
    for fold in np.unique(ours):
        parts = source[ours != fold], target[theirs != fold]
        rows = np.vstack(parts)
        labels = np.repeat([0, 1], [len(part) for part in parts])
        weights, biases = logistic_head(rows, labels, 2, c)
        left_out = source[ours == fold]
        log_odds = left_out @ (weights[1] - weights[0]) + biases[1] - biases[0]
        found[ours == fold] = ratio(log_odds, len(parts[0]), len(parts[1]))
    return found, float((found < 1).mean())


class DensityRatio(InstanceWeights):
    """Weights by the odds of a classifier that tells target from source examples.

    The classifier is a logistic regression on features scaled to unit spread. An example's odds
    come from a classifier that was fitted to other examples, with a fifth of both domains left out
    at a time: a classifier fitted to the example itself would be overconfident. Ratios are clipped
    at `most` and then divided by their mean. The record tells the effective sample size
    (sum w)^2 / sum w^2, and the share of source examples whose ratio is below 1; where that is 1,
    the domains do not overlap and no weight is right.

    Formula:
        w(x) = n_s / n_t p(target | x) / p(source | x), clipped, over its mean; then a head on
        weighted source examples
    Try it:
        first of the weighting methods: it is quick, and tells how far apart the domains are
    Cost:
        five logistic regressions for the weights and one for the head: seconds; nothing at
        prediction
    Source:
        Bickel, Brueckner & Scheffer 2009, Discriminative Learning Under Covariate Shift, JMLR 10,
        section 3; Qin 1998, Biometrika 85

    Args:
        domain_c: inverse strength of the domain classifier's penalty.
        most: value at which ratios are clipped.
        c: C of the head.
    """

    space = {"c": C, "domain_c": Range(1e-3, 1e3, default=1.0)}
    also_called = ("classifier_weights", "importance_weighting", "discriminative_weights")
    badges = ("formula_exact",)
    finds = (*TOLD, "told_apart")

    def __init__(self, domain_c: Positive = 1.0, most: Positive = 100.0, c: Positive = 1.0) -> None:
        super().__init__(c)
        self.domain_c, self.most = domain_c, most

    def weigh(self, source: Floats, target: Floats) -> Floats:
        scale = spread(np.vstack([source, target]))
        told = told_apart(source / scale, target / scale, self.domain_c, self.draws("folds"))
        self.note(told_apart=told[1])
        clipped = np.minimum(told[0], self.most)
        return np.asarray(clipped / max(clipped.mean(), TINY))
