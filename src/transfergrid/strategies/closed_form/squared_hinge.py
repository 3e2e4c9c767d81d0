"""Linear support vector machines, one class against the rest, solved to their optimum.

For each class the objective, in float64, is |w|^2 / 2 + C sum of max(0, 1 - y (w x + b))^2, with b
free. It is quadratic as long as the same rows are inside their margin, so Newton's method ends
after about ten steps (Keerthi & DeCoste 2005, JMLR 6). Each is solved by conjugate gradients, for
all classes in parallel. Imports no torch.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfergrid.strategies.closed_form.softmax_regression import TINY, Floats, Rows

TOLERANCE = 1e-9
"""Of the gradient's norm, relative to its norm at the start, where all weights are 0."""
STEPS, PRODUCTS, HALVINGS = 100, 1000, 40
NEVER = -1e9
"""The bias of a class without examples."""


def one_against_rest(
    features: Floats, labels: NDArray[np.int64], classes: int, c: float
) -> tuple[Floats, Floats]:
    """Return weights (classes, d) and biases (classes,); warn if the optimum is not reached.

    Features are centred and divided by one number, the root mean squared distance from their mean:
    so a C means the same for every source.

    Args:
        features: (n, d).
        labels: (n,).
        classes: number of classes; one without examples is never predicted.
        c: C.
    """
    rows = Rows.of(features)
    scale = float(np.sqrt(rows.steepness[:-1].sum())) or 1.0
    turned = rows.turned / np.append(np.full(rows.turned.shape[1] - 1, scale), 1.0)
    signs = 2.0 * np.eye(classes)[labels] - 1.0
    found, left = Machines(turned, signs, c).solved()
    if (left > TOLERANCE).any():
        warnings.warn(f"svm with c={c:g} is not at its optimum. Take a smaller c", stacklevel=2)
    found[:-1] /= scale
    weights, biases = rows.weights(found[:, None])
    known = np.bincount(labels, minlength=classes) > 0
    return np.where(known[:, None], weights[0], 0.0), np.where(known, biases[0], NEVER)


@dataclass(frozen=True)
class Machines:
    """K machines on the same rows, each with its own signs.

    Args:
        rows: (n, r + 1), the last column of ones.
        signs: (n, K) of -1 and 1.
        c: C.
    """

    rows: Floats
    signs: Floats
    c: float

    def solved(self) -> tuple[Floats, Floats]:
        """Return weights (r + 1, K), biases last, and relative norms of the gradients, (K,)."""
        at = np.zeros((self.rows.shape[1], self.signs.shape[1]))
        value, slope, inside = self._look(at)
        first = np.maximum(_norm(slope), TINY)
        for _ in range(STEPS):
            left = _norm(slope) / first
            if (left <= TOLERANCE).all():
                break
            way = self._way(slope, inside, np.minimum(1e-2, left) * _norm(slope))
            at, value, slope, inside = self._moved(at, value, slope, way)
        return at, _norm(slope) / first

    def _look(self, at: Floats) -> tuple[Floats, Floats, Floats]:
        """Return values (K,), gradients (r + 1, K) and the mask of rows inside a margin, (n, K)."""
        short = np.maximum(0.0, 1.0 - self.signs * (self.rows @ at))
        value = (self._pulled(at) * at).sum(axis=0) / 2 + self.c * np.square(short).sum(axis=0)
        slope = self._pulled(at) - 2 * self.c * self.rows.T @ (self.signs * short)
        return value, slope, np.asarray(short > 0, dtype=np.float64)

    def _way(self, slope: Floats, inside: Floats, enough: Floats) -> Floats:
        """Return the step to the minimum of the local quadratic, up to a residual of `enough`."""
        way, left = np.zeros_like(slope), -slope
        towards, size = left, np.square(left).sum(axis=0)
        for _ in range(PRODUCTS):
            bent = self._pulled(towards) + 2 * self.c * self.rows.T @ (
                inside * (self.rows @ towards)
            )
            curve = (towards * bent).sum(axis=0)
            length = np.where(np.sqrt(size) > enough, size / np.maximum(curve, TINY), 0.0)
            way, left = way + length * towards, left - length * bent
            before, size = np.maximum(size, TINY), np.square(left).sum(axis=0)
            if (np.sqrt(size) <= enough).all():
                break
            towards = left + size / before * towards
        return way

    def _moved(
        self, at: Floats, value: Floats, slope: Floats, way: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the state after a step, halved for each machine until its value falls enough."""
        down, length = (slope * way).sum(axis=0), np.ones(len(value))
        for _ in range(HALVINGS):
            found = self._look(at + length * way)
            high = found[0] > value + 1e-4 * length * down + 1e-15 * np.abs(value)
            if not high.any():
                break
            length[high] /= 2
        return at + length * way, *found

    def _pulled(self, at: Floats) -> Floats:
        """Return the gradient of |w|^2 / 2, which is 0 for the bias."""
        return np.vstack([at[:-1], np.zeros_like(at[-1:])])


def _norm(vectors: Floats) -> Floats:
    return np.asarray(np.linalg.norm(vectors, axis=0))
