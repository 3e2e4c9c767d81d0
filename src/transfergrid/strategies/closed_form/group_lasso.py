"""Linear models with a group lasso: a feature is kept or dropped for all outputs together.

The objective, in float64, is the mean loss over rows plus lasso times the sum over features of
|w_i|, where w_i are the weights of feature i (Yuan & Lin 2006); the bias is free. The loss for
classes is cross-entropy, for numbers half the squared error. As |w| is the minimum over s of
w^2 / 2s + s / 2, reached at s = |w|, each round is a ridge regression on features multiplied by
sqrt(s) (Bach et al. 2012, Optimization with Sparsity-Inducing Penalties, section 5.4). It is solved
in the span of the rows, so many features cost little. Weights of dropped features come near 0 but
are never 0, so all features have an order. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from transfergrid.strategies.closed_form.softmax_regression import Floats, Rows, solve

ROUNDS = 60
ENOUGH = 1e-3
"""Relative decrease of the objective below which no further round follows."""
LEAST = 1e-9
"""Smallest s, relative to the largest: no s may become 0."""

Ridge: TypeAlias = Callable[[Rows], tuple[Floats, Floats, float]]
"""Returns weights (r, k), biases (k,) and the mean loss over the rows at the ridge's optimum."""


def of_classes(labels: NDArray[np.int64], classes: int, lasso: float) -> Ridge:
    """Return a function that fits classes; a class without examples has weights of 0.

    Args:
        labels: (n,).
        classes: number of classes.
        lasso: the ridge's penalty, beside the mean loss.
    """
    known, own = np.unique(labels, return_inverse=True)
    return partial(_classes, known, own, classes, lasso)


def _classes(
    known: NDArray[np.int64], own: NDArray[np.int64], classes: int, lasso: float, rows: Rows
) -> tuple[Floats, Floats, float]:
    weights, biases = np.zeros((rows.turned.shape[1] - 1, classes)), np.zeros(classes)
    if len(known) < 2:
        return weights, biases, 0.0
    found = solve(rows, own, len(known), np.array([lasso]), tolerance=1e-4)
    weights[:, known], biases[known] = found.weights[0].T, found.biases[0]
    said = rows.turned[:, :-1] @ weights[:, known] + biases[known]
    most = said.max(axis=1)
    total = np.log(np.exp(said - most[:, None]).sum(axis=1)) + most
    return weights, biases, float((total - said[np.arange(len(own)), own]).mean())


def of_numbers(answers: Floats, lasso: float) -> Ridge:
    """Return a function that fits numbers (n, k)."""
    return partial(_numbers, answers, lasso)


def _numbers(answers: Floats, lasso: float, rows: Rows) -> tuple[Floats, Floats, float]:
    sides, centre = rows.turned[:, :-1], answers.mean(axis=0)
    along = sides.T @ (answers - centre) / len(sides)
    weights = along / (rows.steepness[:-1] + lasso)[:, None]
    off = answers - centre - sides @ weights
    return weights, centre, float(np.square(off).sum(axis=1).mean() / 2)


def fit(features: Floats, lasso: float, ridge: Ridge) -> tuple[Floats, Floats]:
    """Return the weights (d, k) and biases (k,) of a group lasso.

    Args:
        features: (n, d).
        lasso: weight of the penalty, above 0.
        ridge: fits rows with the same penalty, `of_classes` or `of_numbers`.
    """
    centre = features.mean(axis=0)
    moved, sizes, before = features - centre, np.ones(features.shape[1]), np.inf
    for _ in range(ROUNDS):
        counted = moved * np.sqrt(sizes)
        rows, back = _turned(counted)
        inner, biases, loss = ridge(rows)
        weights = np.sqrt(sizes)[:, None] * (counted.T @ (back @ inner))
        lengths = np.linalg.norm(weights, axis=1)
        value = loss + lasso * float(lengths.sum())
        if before - value < ENOUGH * value:
            break
        sizes, before = np.maximum(lengths, LEAST * lengths.max(initial=0.0)), value
    return weights, biases - centre @ weights


def _turned(rows: Floats) -> tuple[Rows, Floats]:
    """Return centred rows (n, d) in a basis of their span, and (n, r), which maps weights back."""
    gram = rows @ rows.T
    values, vectors = np.linalg.eigh(gram)
    some = values > values.max(initial=0.0) * len(rows) * np.finfo(np.float64).eps
    sizes = np.sqrt(values[some])
    turned = np.hstack([vectors[:, some] * sizes, np.ones((len(rows), 1))])
    steepness = np.append(values[some] / len(rows), 1.0)
    lengths = np.linalg.norm(turned, axis=1)
    return Rows(turned, steepness, lengths, None, np.zeros(some.sum())), vectors[:, some] / sizes
