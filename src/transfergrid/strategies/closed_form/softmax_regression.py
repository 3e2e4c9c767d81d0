"""Softmax regression with a ridge penalty, solved to its one optimum, for many penalties at once.

The objective, in float64, is the mean over rows of -log softmax(W x + b)[y], plus ridge / 2 |W|^2;
the bias is not penalised. Newton's method takes about ten steps. Each is solved by conjugate
gradients (Nocedal & Wright 2006, algorithm 7.1), which need products with the rows but no Hessian
matrix. The rows are first rotated into a basis of their span, which has few columns and a diagonal
preconditioner. Penalties on the same rows are one batch, and each is solved as if it were alone.
Imports no torch.

Strategies call `logistic_head`, which has scikit-learn's objective and parameter names.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Matrix = Floats | Any
"""(n, d), dense or one of SciPy's sparse ones."""

TINY = np.finfo(np.float64).tiny
UNSEEN = -30.0
"""The bias of a class without examples: far below the highest logit, which is at least 0."""
TOLERANCE = 1e-8
"""Of the gradient's norm, relative to the mean norm of the rows' own gradients."""
STEPS = 200
PRODUCTS = 1000
"""Most conjugate gradient iterations in a step."""
HALVINGS = 30
STEEP, RISE = 0.8, 1e-6
"""Slope and rise that end a line search, relative to its start (Hager & Zhang 2005, section 4)."""


def logistic_head(
    features: Matrix,
    labels: NDArray[np.int64],
    classes: int,
    c: float,
    most: int = STEPS,
    counts: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Return weights (classes, d) and biases (classes,) of scikit-learn's logistic regression.

    It minimises c times the sum of losses plus |w|^2 / 2. For two classes w is the difference of
    their weights; for more it has a row for each class. A class without examples is never
    predicted.

    Args:
        features: (n, d).
        labels: (n,) class indices.
        classes: number of classes, with examples or without.
        c: inverse strength of the penalty.
        most: most steps of Newton's method; if they are not enough, there is a warning.
        counts: (n,) how often each example counts, from 0; None: once.
    """
    if counts is not None:
        some = counts > 0
        features, labels, counts = features[some], labels[some], counts[some]
    weights, biases = np.zeros((classes, features.shape[1])), np.full(classes, UNSEEN)
    known, own = np.unique(labels, return_inverse=True)
    biases[known] = 0.0
    if len(known) < 2:  # with a single class there is nothing to fit
        return weights, biases
    # For w and -w the sum of squares is half that of their difference.
    ridge = (2.0 if len(known) == 2 else 1.0) / (c * len(labels))
    found = solve(Rows.of(features), own, len(known), np.array([ridge]), most=most, counts=counts)
    if not found.converged.all():
        warnings.warn(
            f"logistic regression with c={c:g} is not at its optimum after {found.steps[0]} steps: "
            f"{found.gradients[0]:.1e} of the gradient is left. Take a smaller c",
            stacklevel=2,
        )
    weights[known], biases[known] = found.weights[0], found.biases[0]
    return weights, biases


@dataclass(frozen=True)
class Rows:
    """Examples in a form that all penalties share.

    Attributes:
        turned: (n, r + 1), the features, if dense in a basis of their span, and a column of ones.
        steepness: (r + 1,) mean squares of its columns.
        lengths: (n,) norms of its rows.
        back: (d, r), maps weights of the columns to weights of features; None: they are the same.
        centre: (d,), the mean that was subtracted from the features; the bias accounts for it.
    """

    turned: Matrix
    steepness: Floats
    lengths: Floats
    back: Floats | None
    centre: Floats

    @classmethod
    def of(cls, features: Matrix) -> Self:
        """Prepare features (n, d) for any number of penalties; sparse ones are not rotated."""
        if not isinstance(features, np.ndarray):
            return cls._sparse(features)
        rows = features.astype(np.float64)
        centre = rows.mean(axis=0)
        rows -= centre
        wide = rows.shape[0] < rows.shape[1]
        small = np.asarray(np.linalg.qr(rows.T if wide else rows, mode="r"))
        left, sizes, right = np.linalg.svd(small.T if wide else small, full_matrices=False)
        some = sizes > sizes.max(initial=0) * max(rows.shape) * np.finfo(np.float64).eps
        back = rows.T @ (left[:, some] / sizes[some]) if wide else right[some].T
        turned = _with_ones(left[:, some] * sizes[some] if wide else rows @ back)
        lengths = np.linalg.norm(turned, axis=1)
        return cls(turned, _steepness(sizes[some], len(rows)), lengths, back, centre)

    @classmethod
    def _sparse(cls, features: Any) -> Self:
        from scipy.sparse import hstack, linalg

        rows = features.astype(np.float64)
        n, width = rows.shape
        turned = hstack([rows, np.ones((n, 1))]).tocsr()
        sizes, lengths = linalg.norm(rows, axis=0), linalg.norm(turned, axis=1)
        return cls(turned, _steepness(sizes, n), lengths, None, np.zeros(width))

    def weights(self, found: Floats) -> tuple[Floats, Floats]:
        """Return solutions as weights (P, classes, d) and biases (P, classes) for features.

        Args:
            found: (r + 1, P, classes), weights of the columns; the last row are biases.
        """
        inner = found[:-1]
        whole = inner if self.back is None else np.tensordot(self.back, inner, axes=1)
        moved = found[-1] - np.tensordot(self.centre, whole, axes=1)
        return np.moveaxis(whole, 0, -1), moved


def _with_ones(rows: Floats) -> Floats:
    return np.hstack([rows, np.ones((len(rows), 1))])


def _steepness(sizes: Floats, n: int) -> Floats:
    return np.append(sizes**2 / n, 1.0)


@dataclass(frozen=True)
class Heads:
    """One head for each of P penalties, and how near its optimum it is.

    Attributes:
        weights: (P, classes, d).
        biases: (P, classes), which sum to 0 over the classes, as the weights do.
        steps: (P,) number of steps of Newton's method.
        gradients: (P,) norm of the gradient, relative to the mean norm of the rows' own gradients.
            With a weak penalty every row's gradient is small, so an absolute norm would not show
            the optimum.
        converged: (P,) whether that is within the tolerance.
    """

    weights: Floats
    biases: Floats
    steps: NDArray[np.int64]
    gradients: Floats
    converged: NDArray[np.bool_]


def solve(
    rows: Rows,
    labels: NDArray[np.int64],
    classes: int,
    ridges: Floats,
    tolerance: float = TOLERANCE,
    most: int = STEPS,
    counts: Floats | None = None,
) -> Heads:
    """Return one head for each penalty.

    Args:
        rows: the examples.
        labels: (n,) from 0; each class should have examples, or its bias has no optimum.
        classes: number of classes.
        ridges: (P,) penalties beside the mean loss, above 0: weight decay, or 1 / (n C) with
            scikit-learn's C.
        tolerance: of the gradient, see `Heads.gradients`.
        most: most steps of Newton's method; a head that needs more is returned as not converged.
        counts: (n,) how often each row counts, above 0; None: once. Means still divide by n.
    """
    problem = _Problem(rows, labels, counts)
    found = np.zeros((rows.turned.shape[1], len(ridges), classes))
    steps, gradients = np.zeros(len(ridges), dtype=np.int64), np.zeros(len(ridges))
    now = problem.begin(found, ridges)
    for step in range(most + 1):
        left = _norm(now.slope) / np.maximum(now.scale, TINY)
        ended = (left <= tolerance) | now.stuck | (step == most)
        which = now.which[ended]
        found[:, which], gradients[which], steps[which] = now.at[:, ended], left[ended], step
        now = now.among(~ended)
        if not len(now.which):
            break
        with np.errstate(all="ignore"):  # a step to nan is not taken, and the problem is stuck
            now = problem.step(now, np.minimum(0.1, np.sqrt(left[~ended])))
    return Heads(*rows.weights(found), steps, gradients, gradients <= tolerance)


@dataclass(frozen=True)
class _State:
    """The state of the P problems that have not ended; their axis is the one before classes."""

    which: NDArray[np.int64]
    ridge: Floats
    stuck: NDArray[np.bool_]
    at: Floats
    value: Floats
    scale: Floats
    """(P,) mean norm of the rows' own gradients."""
    slope: Floats
    said: Floats
    """(n, P, classes) probabilities."""

    def among(self, some: NDArray[np.bool_]) -> _State:
        """Return the state of a subset of the problems."""
        if some.all():
            return self
        told = [getattr(self, field.name) for field in fields(self)]
        return _State(*(part[some] if part.ndim == 1 else part[:, some] for part in told))

    def back_at(self, before: _State) -> _State:
        """Return this state, with stuck problems set back to where they were before."""
        for name in ("at", "value", "scale", "slope", "said"):
            found, old = getattr(self, name), getattr(before, name)
            places = self.stuck if found.ndim == 1 else (slice(None), self.stuck)
            found[places] = old[places]
        return self


class _Problem:
    """The loss of the rows, its gradient and Hessian products, for a batch of weights."""

    def __init__(self, rows: Rows, labels: NDArray[np.int64], counts: Floats | None = None) -> None:
        self.counts = None if counts is None else counts[:, None]
        self.rows, self.labels, self.n = rows.turned, labels, len(labels)
        self.columns = rows.turned.T.copy()
        self.steepness = rows.steepness[:, None, None]
        self.lengths = rows.lengths[:, None]

    def begin(self, at: Floats, ridge: Floats) -> _State:
        """Return the state at the initial weights, which are all 0."""
        stuck, which = np.zeros(len(ridge), dtype=bool), np.arange(len(ridge))
        return _State(which, ridge, stuck, at, *self._look(at, ridge))

    def _look(self, at: Floats, ridge: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return value (P,), scale (P,), gradient (r + 1, P, classes) and probabilities."""
        logits = self._forth(at)
        own = np.arange(self.n), slice(None), self.labels
        highest = logits.max(axis=2)
        right = logits[own] - highest
        said = np.exp(logits - highest[..., None])
        total = said.sum(axis=2)
        said /= total[..., None]
        off = said.copy()
        off[own] = 0.0
        wrong = off.sum(axis=2)
        off[own] = -wrong  # not p - 1, which is inexact where p is nearly 1
        losses = np.where(wrong < 0.5, -np.log1p(-np.minimum(wrong, 0.5)), np.log(total) - right)
        if self.counts is not None:
            losses, off = self.counts * losses, self.counts[..., None] * off
        scale = (self.lengths * np.sqrt(np.square(off).sum(axis=2))).mean(axis=0)
        pulled = _penalty(ridge, at) * at
        value = losses.mean(axis=0) + _dot(pulled, at) / 2
        return value, scale, _centred(self._back(off) + pulled), said

    def _forth(self, at: Floats) -> Floats:
        found: Floats = self.rows @ at.reshape(len(at), -1)
        return found.reshape(self.n, *at.shape[1:])

    def _back(self, off: Floats) -> Floats:
        found: Floats = self.columns @ off.reshape(self.n, -1)
        return found.reshape(-1, *off.shape[1:]) / self.n

    def step(self, now: _State, enough: Floats) -> _State:
        """Return the state after a Newton step, halved until it neither rises nor overshoots."""
        way = self._way(now, enough)
        down = _dot(now.slope, way)
        length = np.ones(len(down))
        for _ in range(HALVINGS):
            at = now.at + length[:, None] * way
            value, scale, slope, said = self._look(at, now.ridge)
            steep = _dot(slope, way) <= -STEEP * down
            far = ~(steep & (value <= now.value + RISE * abs(now.value)))
            if not far.any():
                break
            length[far] /= 2
        found = _State(now.which, now.ridge, far, at, value, scale, slope, said)
        return found if not far.any() else found.back_at(now)

    def _way(self, now: _State, enough: Floats) -> Floats:
        """Return the step to the minimum of the local quadratic model, by conjugate gradients.

        Args:
            now: the state.
            enough: (P,) residual, relative to the gradient, at which to stop.
        """
        penalty = _penalty(now.ridge, now.at)
        moving = self._counted(now.said * (1 - now.said)).mean(axis=0)
        scale = 1 / np.maximum(self.steepness * moving + penalty, TINY)
        way, left = np.zeros_like(now.slope), -now.slope
        good = enough * _norm(left)
        ahead = towards = _centred(scale * left)
        size = _dot(left, ahead)
        live = np.ones(len(size), dtype=bool)
        for _ in range(PRODUCTS):
            curved = self._curvature(now.said, towards) + penalty * towards
            bent = _dot(towards, curved)
            live &= bent > 0
            length = np.where(live, size / np.where(live, bent, 1), 0)[:, None]
            way, left = way + length * towards, left - length * curved
            live &= _norm(left) > good
            if not live.any():
                break
            ahead = _centred(scale * left)
            before, size = np.maximum(size, TINY), _dot(left, ahead)
            towards = ahead + np.where(live, size / before, 0)[:, None] * towards
        return way

    def _curvature(self, said: Floats, way: Floats) -> Floats:
        """Return the Hessian of the loss times a direction."""
        moved = self._forth(way)
        moved -= np.einsum("npc,npc->np", said, moved)[..., None]
        moved *= said
        return self._back(self._counted(moved))

    def _counted(self, rows: Floats) -> Floats:
        """Return rows (n, P, classes), each multiplied by its count."""
        return rows if self.counts is None else self.counts[..., None] * rows


def _penalty(ridge: Floats, at: Floats) -> Floats:
    """Return the ridge of each weight, (r + 1, P, 1): 0 for the bias, which is the last."""
    penalised = np.ones((len(at), 1, 1))
    penalised[-1] = 0.0
    return penalised * ridge[:, None]


def _centred(way: Floats) -> Floats:
    """Return a direction minus its mean over classes, which does not change the softmax."""
    found: Floats = way - way.mean(axis=2, keepdims=True)
    return found


def _dot(one: Floats, other: Floats) -> Floats:
    found: Floats = np.einsum("rpc,rpc->p", one, other)
    return found


def _norm(vector: Floats) -> Floats:
    return np.sqrt(_dot(vector, vector))
