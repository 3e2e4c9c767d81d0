"""Heads of a grid on features in memory: all penalties at once, or scikit-learn one by one.

The problems are those of `probes.py`: MobileNetV2's features of photographs, 5 seeds x 8 penalties
x 2 label budgets, logistic regression with an L2 penalty. An arm solves all 80 and predicts the
test part. Beside its seconds stand what is left of the gradient (the worst of 80, as
`Heads.gradients` says it), how far probabilities of test examples are from those of the optimum
(the worst), and the mean accuracy. The optimum is the solver's at a tolerance of 1e-12. Run by
`run.py 1`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from probes import GRID, PENALTIES, _parts
from side_by_side import Arm, Experiment, Found, Told, Wanted, Watched

Floats = NDArray[np.float64]
Head: TypeAlias = tuple[Any, Any]
Solver: TypeAlias = Callable[[list["Problem"]], list[Head]]


@dataclass(frozen=True)
class Problem:
    """One set of rows: features and labels, and those of the test part."""

    features: Floats
    labels: NDArray[np.int64]
    test: Floats
    truth: NDArray[np.int64]

    @property
    def n(self) -> int:
        """How many rows there are."""
        return len(self.labels)


def problems(told: Told) -> list[Problem]:
    """Return the sets of rows of the grid, embedded once."""
    import torch

    backbone, images, (own, truth), blocks = _parts(told)
    with torch.no_grad():
        pool, test = (
            torch.cat([backbone.embed(part) for part in split.split(32)]).numpy()
            for split in images
        )
    return [
        Problem(pool[block.train], own.numpy()[block.train], test, truth.numpy())
        for block in blocks
    ]


def together(told: list[Problem], tolerance: float) -> list[Head]:
    """Solve all penalties of a set of rows at once."""
    from transfergrid.strategies.closed_form.softmax_regression import Rows, solve

    found: list[Head] = []
    for problem in told:
        heads = solve(
            Rows.of(problem.features),
            problem.labels,
            problem.labels.max() + 1,
            np.array(PENALTIES),
            tolerance,
        )
        assert heads.converged.all()
        found += zip(heads.weights, heads.biases, strict=True)
    return found


def alone(told: list[Problem]) -> list[Head]:
    """Solve one problem after another, as cells do."""
    from transfergrid.strategies.closed_form.softmax_regression import logistic_head

    return [
        logistic_head(problem.features, problem.labels, problem.labels.max() + 1, c)
        for problem, c in _each(told)
    ]


def scikit_learn(
    told: list[Problem], solver: str, tolerance: float, wide: bool = False
) -> list[Head]:
    """Let scikit-learn solve one after another, in float32 as the features come, or in float64."""
    from sklearn.linear_model import LogisticRegression

    found: list[Head] = []
    for problem, c in _each(told):
        rows = problem.features.astype(np.float64) if wide else problem.features
        model = LogisticRegression(C=c, solver=solver, tol=tolerance, max_iter=1000)
        model.fit(rows, problem.labels)
        found.append((model.coef_, model.intercept_))
    return found


def _each(told: list[Problem]) -> Iterator[tuple[Problem, float]]:
    for problem in told:
        for penalty in PENALTIES:
            yield problem, 1 / (penalty * problem.n)


def said(told: list[Problem], heads: list[Head]) -> list[Floats]:
    """Return probabilities of the test part for each head."""
    each = len(heads) // len(told)
    return [
        _softmax(told[number // each].test @ weights.T + biases)
        for number, (weights, biases) in enumerate(heads)
    ]


def _softmax(logits: Floats) -> Floats:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = odds / odds.sum(axis=1, keepdims=True)
    return found


def left(problem: Problem, c: float, head: Head) -> float:
    """Return the gradient's norm at a head, as a part of the rows' own gradients' mean norm."""
    weights, biases = (np.asarray(part, dtype=np.float64) for part in head)
    rows = problem.features.astype(np.float64)
    rows = np.c_[rows - rows.mean(axis=0), np.ones(problem.n)]
    off = _softmax(problem.features @ weights.T + biases)
    own = np.arange(problem.n), problem.labels
    off[own] = 0.0
    off[own] = -off.sum(axis=1)
    penalty = np.c_[weights, np.zeros(len(biases))] / (c * problem.n)
    each = (np.linalg.norm(rows, axis=1) * np.linalg.norm(off, axis=1)).mean()
    return float(np.linalg.norm(off.T @ rows / problem.n + penalty) / each)


def run(solver: Solver, told: Told) -> Found:
    """Solve all problems, and say how well that was done."""
    warnings.simplefilter("ignore")  # scikit-learn says that it has not converged
    own = problems(told)
    best = said(own, together(own, 1e-12))
    solver(own[:1])  # what is imported and set up once is no solving
    with Watched() as watched:
        heads = solver(own)
        found = said(own, heads)
    worst = max(left(*place, head) for place, head in zip(_each(own), heads, strict=True))
    off = max(abs(one - other).max() for one, other in zip(found, best, strict=True))
    score = float(np.mean([(part.argmax(1) == own[0].truth).mean() for part in found]))
    more = {"gradient left": worst, "off the optimum": float(off)}
    return {**watched.found, "cells": len(heads), "score": score, **more}


SOLVERS: dict[str, Solver] = {
    "all penalties at once": partial(together, tolerance=1e-8),
    "at once, loosely": partial(together, tolerance=0.1),
    "one by one, as cells do": alone,
    "scikit-learn as it comes": partial(scikit_learn, solver="lbfgs", tolerance=1e-4),
    "scikit-learn newton-cg": partial(scikit_learn, solver="newton-cg", tolerance=1e-4),
    "scikit-learn newton-cg, to 1e-8": partial(
        scikit_learn, solver="newton-cg", tolerance=1e-8, wide=True
    ),
}
ARMS = {name: partial(run, solver) for name, solver in SOLVERS.items()}


def experiment() -> Experiment:
    """Return it."""
    ours, loosely, *_ = ARMS
    compared = [
        ("scikit-learn as it comes", ours),
        ("scikit-learn newton-cg", loosely),
        ("scikit-learn newton-cg, to 1e-8", ours),
    ]
    wanted = [Wanted(f"heads: {name} / {own}", name, own, least=3) for name, own in compared]
    arms = {name: Arm(name, GRID) for name in ARMS}
    return Experiment(f"heads, {GRID} problems", "heads", arms, wanted, GRID)
