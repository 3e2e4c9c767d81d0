"""Source examples weighted by a density ratio under which the target is likeliest."""

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
"""Multiples of the median distance of which the likelihood of what is held out chooses."""
STEPS, ENOUGH = 100, 1e-11
"""At most so many; how far from the largest mean of logs is near enough."""
FOLDS, FLAT = 5, 1e-300
"""Parts of the target that are held out in turn; a kernel's mean below which it is as good as 0."""


class Ratio(NamedTuple):
    """A density ratio w(x) = sum_l alpha_l exp(-|x - c_l|^2 / (2 width^2)).

    Attributes:
        alpha: (L,), from 0.
        width: of the kernel.
    """

    alpha: Floats
    width: float

    def at(self, squares: Floats) -> Floats:
        """Return w of examples whose squared distances to the centres are (n, L): (n,)."""
        return np.asarray(np.exp(-squares / (2 * self.width**2)) @ self.alpha)


def likeliest(source: Floats, target: Floats, width: float) -> Ratio:
    """Return the ratio of largest sum of log w(t), whose mean over the source is 1.

    With p_l = alpha_l mean_s k(s, c_l) it is a mixture of which the shares p are sought.

    Args:
        source: squared distances of the source's examples to the centres, (n, L).
        target: of the target's, (m, L).
        width: of the kernel.
    """
    means = np.maximum(np.exp(-source / (2 * width**2)).mean(axis=0), FLAT)
    parts = np.exp(-target / (2 * width**2)) / means
    largest = parts.max(axis=1, keepdims=True)  # of a row: it moves the objective alone
    return Ratio(likeliest_shares(parts / np.maximum(largest, TINY)) / means, width)


def likeliest_shares(parts: Floats) -> Floats:
    """Return shares p (L,) from 0, of sum 1, for which the mean of log(parts p) is largest.

    It is where sum p - mean log(parts p) is least, which holds the sum at 1 by itself. An interior
    point method: Newton's steps on the optimum's conditions, whose products p z go to 0.

    Args:
        parts: (m, L), from 0.
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
    """Return the part of a move, up to 1, that leaves each number above 0."""
    down = move < 0
    return float(0.95 * (-at[down] / move[down]).min(initial=1 / 0.95))


def held_out(
    source: Floats, target: Floats, centres: Rows, width: float, folds: Sequence[Rows]
) -> float:
    """Return the mean of log w(t) over target examples that the ratio was not fitted to.

    Args:
        source: as in `likeliest`.
        target: likewise.
        centres: (L,) rows of the target; one that is left out is no centre.
        width: of the kernel.
        folds: rows of the target that are left out together.
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
    replacement. Where no width is given it is the one of nine multiples of the median distance
    under which what is held out is likeliest: a fifth of the target at a time, no centre then; 1
    where the target has fewer than ten examples. Where the domains hardly overlap the likelihood
    has no upper bound as the width goes to 0, the narrowest is chosen and a handful of examples
    decide: the effective sample size (sum w)^2 / sum w^2 tells, and the width.

    Formula:
        max_alpha sum_t log w(t), w(x) = sum_l alpha_l exp(-|x - c_l|^2 / (2 width^2)), mean_s w(s)
        = 1, alpha >= 0; then a head on weighted source examples
    Try it:
        as `kmm`, where the source has many examples: the weights are a function, so each has one
    Cost:
        some fifty concave problems of `centres` numbers: seconds; nothing at prediction
    Source:
        Sugiyama et al. 2008, Direct Importance Estimation with Model Selection and Its Application
        to Covariate Shift Adaptation, NIPS 2007, figure 1 and equation 5

    Args:
        width: of the kernel, as a multiple of the median distance; null: what is held out chooses.
        centres: target examples that kernels are about, at most.
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
    """Return the width under which what is held out, in folds that are drawn, is likeliest."""
    if len(target) < 2 * FOLDS:
        return 1.0
    folds = np.array_split(rng.permutation(len(target)), FOLDS)
    likely = [held_out(source, target, centres, float(width), folds) for width in WIDTHS]
    return float(WIDTHS[int(np.argmax(likely))])
