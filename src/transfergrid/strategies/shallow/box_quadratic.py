"""A quadratic programme over a box with bounds on the sum, solved by an interior point method.

It is Mehrotra's predictor-corrector method (Nocedal & Wright 2006, algorithm 16.4): some twenty
steps, each with a Cholesky factorisation of the matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from transfergrid.strategies.closed_form.softmax_regression import Floats

STEPS, ENOUGH, PATIENCE = 100, 1e-11, 3
"""The iteration ends after this many steps, or at this error relative to the largest |c|, or after
so many steps without a lower error, when only rounding errors are left."""
JITTER = 1e-12
"""Added to the matrix's diagonal, relative to its mean: a kernel of equal rows is singular."""


def least_in_box(matrix: Floats, linear: Floats, most: float, sums: tuple[float, float]) -> Floats:
    """Return the x that minimises x'Mx / 2 - c'x, with 0 <= x <= most and a sum within `sums`.

    Args:
        matrix: M, (n, n), positive semidefinite.
        linear: c, (n,).
        most: upper bound of each entry.
        sums: lower and upper bound of the sum; the lower one must be less than the upper one, and
            the box must contain such sums.
    """
    n = len(linear)
    side = _Side(n, most, sums)
    matrix = matrix + JITTER * np.trace(matrix) / n * np.eye(n)
    size = max(1.0, float(np.abs(linear).max()))
    x = np.full(n, np.clip(np.mean(sums) / n, 0.01 * most, 0.99 * most))
    slack = np.maximum(side.bounds - side.forth(x), 0.1)
    dual = np.full(len(slack), size)
    best, least, since = x, np.inf, 0
    for _ in range(STEPS):
        gap = float(slack @ dual) / len(slack)
        off = matrix @ x - linear + side.back(dual)
        short = side.forth(x) + slack - side.bounds
        error = max(gap, float(np.abs(off).max()), float(np.abs(short).max()))
        best, least, since = (x, error, 0) if error < least else (best, least, since + 1)
        if least <= ENOUGH * size or since == PATIENCE:
            break
        newton = _Newton(matrix, side, slack, dual, off, short)
        ahead = newton.step(slack * dual)
        length = min(_furthest(slack, ahead.slack), _furthest(dual, ahead.dual))
        then = float((slack + length * ahead.slack) @ (dual + length * ahead.dual)) / len(slack)
        centring = (then / gap) ** 3 * gap
        move = newton.step(slack * dual + ahead.slack * ahead.dual - centring)
        length = 0.99 * min(_furthest(slack, move.slack), _furthest(dual, move.dual))
        length = min(1.0, length)
        x, slack = x + length * move.x, slack + length * move.slack
        dual = dual + length * move.dual
    return np.asarray(np.clip(best, 0.0, most))


class _Side(NamedTuple):
    """All constraints as G x <= bounds; the rows of G x are -x, x, minus the sum, the sum."""

    n: int
    most: float
    sums: tuple[float, float]

    @property
    def bounds(self) -> Floats:
        low, high = self.sums
        return np.concatenate([np.zeros(self.n), np.full(self.n, self.most), [-low, high]])

    def forth(self, x: Floats) -> Floats:
        """Return G x."""
        return np.concatenate([-x, x, [-x.sum(), x.sum()]])

    def back(self, dual: Floats) -> Floats:
        """Return G' dual."""
        n = self.n
        return np.asarray(dual[n : 2 * n] - dual[:n] + dual[-1] - dual[-2])


class _Move(NamedTuple):
    x: Floats
    slack: Floats
    dual: Floats


class _Newton:
    """Newton's equations at one point, for any right-hand side of complementary slackness."""

    def __init__(
        self, matrix: Floats, side: _Side, slack: Floats, dual: Floats, off: Floats, short: Floats
    ) -> None:
        self.side, self.slack, self.dual, self.off, self.short = side, slack, dual, off, short
        n, steep = side.n, dual / slack
        self.factor = cho_factor(matrix + np.diag(steep[:n] + steep[n : 2 * n]), lower=True)
        self.even = cho_solve(self.factor, np.ones(n))
        tight = float(steep[-2:].sum())  # the sum's part: added in, it would swamp the matrix
        self.taken = tight / (1 + tight * float(self.even.sum()))

    def step(self, apart: Floats) -> _Move:
        """Return the Newton move that lowers the products slack * dual by `apart`, to first order.

        Args:
            apart: the part of each product that should vanish, one per constraint.
        """
        pushed = (self.dual * self.short - apart) / self.slack
        x = cho_solve(self.factor, -self.off - self.side.back(pushed))
        x -= self.taken * x.sum() * self.even
        slack = -self.short - self.side.forth(x)
        return _Move(x, slack, -(apart + self.dual * slack) / self.slack)


def _furthest(at: Floats, move: Floats) -> float:
    """Return the largest step length up to 1 at which no entry becomes negative."""
    down = move < 0
    return float(min(1.0, (-at[down] / move[down]).min(initial=1.0)))
