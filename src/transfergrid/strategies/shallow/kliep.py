"""Source examples weighted by a density ratio that maximises the target's likelihood (KLIEP)."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from transfergrid.strategies import Count, Positive, Range
from transfergrid.strategies.closed_form.softmax_regression import TINY, Floats
from transfergrid.strategies.shallow.frozen import C
from transfergrid.strategies.shallow.kernels import drawn, median_distance, squared_distances
from transfergrid.strategies.shallow.weighting import TOLD, InstanceWeights

Rows: TypeAlias = NDArray[np.int64]

WIDTHS = 2.0 ** np.arange(-2.0, 2.5, 0.5)
"""Kernel widths to choose from by held-out likelihood, as multiples of the median distance."""
STEPS, ENOUGH = 100, 1e-11
"""Newton's method ends after so many steps, or when its optimality gap is this small."""
FOLDS, FLAT = 5, 1e-300
"""Number of folds of the target that are held out in turn; lower bound of a kernel's mean."""


class Ratio(NamedTuple):
    """A density ratio w(x) = sum_l alpha_l exp(-|x - c_l|^2 / (2 width^2)).

    Attributes:
        alpha: coefficients, (L,), at least 0.
        width: width of the kernel.
    """

    alpha: Floats
    width: float

    def at(self, squares: Floats) -> Floats:
        """Return w, (n,), given the examples' squared distances to the centres, (n, L)."""
        return np.asarray(np.exp(-squares / (2 * self.width**2)) @ self.alpha)


def likeliest(source: Floats, target: Floats, width: float) -> Ratio:
    """Return the ratio w that maximises sum_t log w(t), with a mean of 1 over the source.

    With p_l = alpha_l mean_s k(s, c_l) this is the problem of finding a mixture's shares p.

    Args:
        source: squared distances of the source's examples to the centres, (n, L).
        target: squared distances of the target's examples to the centres, (m, L).
        width: width of the kernel.
    """
    means = np.maximum(np.exp(-source / (2 * width**2)).mean(axis=0), FLAT)
    parts = np.exp(-target / (2 * width**2)) / means
    largest = parts.max(axis=1, keepdims=True)  # scaling a row shifts the objective by a constant
    return Ratio(likeliest_shares(parts / np.maximum(largest, TINY)) / means, width)


def likeliest_shares(parts: Floats) -> Floats:
    """Return shares p (L,), nonnegative with sum 1, that maximise the mean of log(parts p).

    They minimise sum p - mean log(parts p), which needs no constraint on the sum. The solver is an
    interior point method: Newton steps on the optimality conditions, whose complementarity products
    p z go to 0.

    Args:
        parts: (m, L), nonnegative.
    """
    m, width = parts.shape
    shares, dual = np.full(width, 1.0 / width), np.ones(width)
    best, least = shares, np.inf
    for _ in range(STEPS):
        said = np.maximum(parts @ shares, TINY)
        sides = parts / said[:, None]
        surplus = float(sides.mean(axis=0).max() * shares.sum() - 1)  # the shares scaled to sum 1
        if surplus < least:
            best, least = shares, surplus
        if least <= ENOUGH:
            break
        slope, aim = 1.0 - sides.mean(axis=0), 0.1 * float(shares @ dual) / width
        inner = sides.T @ sides / m + np.diag(dual / shares)
        move = np.linalg.solve(inner, aim / shares - slope)
        turn = (aim - dual * move) / shares - dual
        shares = shares + _within(shares, move) * move
        dual = dual + _within(dual, turn) * turn
    return np.asarray(best / best.sum())


def _within(at: Floats, move: Floats) -> float:
    """Return the step length, up to 1, at which each entry stays above 0."""
    down = move < 0
    return float(0.95 * (-at[down] / move[down]).min(initial=1 / 0.95))


def held_out(
    source: Floats, target: Floats, centres: Rows, width: float, folds: Sequence[Rows]
) -> float:
    """Return the cross-validated mean of log w(t) over held-out target examples.

    Args:
        source: squared distances to the centres, as in `likeliest`.
        target: likewise.
        centres: rows of the target that are centres, (L,); held-out rows are not used as centres.
        width: width of the kernel.
        folds: for each fold the rows of the target that are held out together.
    """
    found = []
    for fold in folds:
        rest, kept = np.setdiff1d(np.arange(len(target)), fold), ~np.isin(centres, fold)
        ratio = likeliest(source[:, kept], target[rest][:, kept], width)
        found.append(np.log(np.maximum(ratio.at(target[fold][:, kept]), TINY)))
    return float(np.concatenate(found).mean())


class KLIEP(InstanceWeights):
    """Weights by the density ratio that makes the target likeliest, a sum of Gaussians.

    The ratio's mean over the source is 1. Centres are target examples, drawn by the seed without
    replacement. If no width is given, it is chosen from nine multiples of the median distance by
    held-out likelihood: a fifth of the target is held out at a time and not used as centres. With
    fewer than ten target examples the multiple is 1. Where the domains hardly overlap, the
    likelihood is unbounded as the width goes to 0: the narrowest width is chosen, and a handful of
    examples decide. The effective sample size (sum w)^2 / sum w^2 and the width, both told in the
    record, show this.

    Formula:
        max_alpha sum_t log w(t), w(x) = sum_l alpha_l exp(-|x - c_l|^2 / (2 width^2)), mean_s w(s)
        = 1, alpha >= 0; then a head on weighted source examples
    Try it:
        as `kmm`, where the source has many examples: the weight is a function of the example, so
        every source example gets one
    Cost:
        some fifty concave problems of `centres` numbers: seconds; nothing at prediction
    Source:
        Sugiyama et al. 2008, Direct Importance Estimation with Model Selection and Its Application
        to Covariate Shift Adaptation, NIPS 2007, figure 1 and equation 5

    Args:
        width: kernel width, as a multiple of the median distance; null: by held-out likelihood.
        centres: maximum number of target examples that are kernel centres.
        c: C of the head.
    """

    space = {"c": C, "width": Range(0.25, 4.0, default=None)}
    also_called = ("kullback_leibler_importance_estimation",)
    badges = ("formula_exact",)
    finds = (*TOLD, "width")

    def __init__(
        self, width: Positive | None = None, centres: Count = 100, c: Positive = 1.0
    ) -> None:
        super().__init__(c)
        self.width, self.centres = width, centres

    def weigh(self, source: Floats, target: Floats) -> Floats:
        rows = drawn(len(target), self.centres, self.draws("centres"))
        median = median_distance(source, target)
        ours, theirs = (
            squared_distances(seen, target[rows]) / median**2 for seen in (source, target)
        )
        width = self.width or _chosen(ours, theirs, rows, self.draws("folds"))
        self.note(width=width)
        return likeliest(ours, theirs, width).at(ours)


def _chosen(source: Floats, target: Floats, centres: Rows, rng: np.random.Generator) -> float:
    """Return the width of largest held-out likelihood, in random folds; 1 for few examples."""
    if len(target) < 2 * FOLDS:
        return 1.0
    folds = np.array_split(rng.permutation(len(target)), FOLDS)
    likely = [held_out(source, target, centres, float(width), folds) for width in WIDTHS]
    return float(WIDTHS[int(np.argmax(likely))])
