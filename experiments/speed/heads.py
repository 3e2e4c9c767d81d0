"""Heads of a grid on features in memory: all solved by one solver, or by scikit-learn one by one.

    OMP_NUM_THREADS=1 python experiments/speed/heads.py [--rounds 5]

The problems are those of `probes.py`: MobileNetV2's features of photographs, 5 seeds x 8 penalties
x 2 label budgets, logistic regression with an L2 penalty. Every arm solves all 80 and predicts the
test part, round by round. Prints seconds of the processor, what is left of the gradient (the worst
of 80, as `Heads.gradients` says it), how far probabilities of test examples are from those of the
optimum, and the mean accuracy. The optimum is the solver's at a tolerance of
1e-12. scikit-learn's `newton-cholesky` takes minutes here and is asked for two problems.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from probes import PENALTIES, _parts

Floats = NDArray[np.float64]
Head: TypeAlias = tuple[Any, Any]
Arm: TypeAlias = Callable[[list["Problem"]], list[Head]]


@dataclass(frozen=True)
class Problem:
    """One row set: its features and labels, and those of the test part."""

    features: Floats
    labels: NDArray[np.int64]
    test: Floats
    truth: NDArray[np.int64]

    @property
    def n(self) -> int:
        """How many rows there are."""
        return len(self.labels)


def problems() -> list[Problem]:
    """Return the row sets of the grid, embedded once."""
    import torch

    backbone, images, (own, truth), blocks = _parts()
    torch.set_num_threads(1)
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
    """Solve all penalties of a row set at once."""
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


ARMS: dict[str, Arm] = {
    "all penalties at once": partial(together, tolerance=1e-8),
    "at once, loosely (1e-4)": partial(together, tolerance=1e-4),
    "one by one, as cells do": alone,
    "scikit-learn, as it comes": partial(scikit_learn, solver="lbfgs", tolerance=1e-4),
    "scikit-learn, newton-cg": partial(scikit_learn, solver="newton-cg", tolerance=1e-4),
    "scikit-learn, lbfgs, 1e-8": partial(scikit_learn, solver="lbfgs", tolerance=1e-8, wide=True),
    "scikit-learn, newton-cg, 1e-8": partial(
        scikit_learn, solver="newton-cg", tolerance=1e-8, wide=True
    ),
}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")  # scikit-learn says that it has not converged
    told = problems()
    best = said(told, together(told, 1e-12))
    seconds: dict[str, list[float]] = {name: [] for name in ARMS}
    kept: dict[str, list[Head]] = {}
    for name, arm in [*ARMS.items()] * rounds:
        begun = time.process_time()
        kept[name] = arm(told)
        said(told, kept[name])
        seconds[name].append(time.process_time() - begun)
    print(f"{'':<31}{'cpu s':>8}{'ratio':>7}{'gradient':>10}{'off':>9}{'accuracy':>10}")
    own = statistics.median(seconds["all penalties at once"])
    for name, heads in kept.items():
        took, found = statistics.median(seconds[name]), said(told, heads)
        worst = max(left(*place, head) for place, head in zip(_each(told), heads, strict=True))
        off = max(abs(one - other).max() for one, other in zip(found, best, strict=True))
        right = np.mean([(part.argmax(1) == told[0].truth).mean() for part in found])
        print(f"{name:<31}{took:>8.3f}{took / own:>7.1f}{worst:>10.0e}{off:>9.0e}{right:>10.4f}")
    for number in (0, len(told) - 1):
        begun = time.process_time()
        scikit_learn([told[number]], "newton-cholesky", 1e-4)
        took = (time.process_time() - begun) / len(PENALTIES)
        print(f"newton-cholesky, {told[number].n} rows: {took:.2f} s a problem")


if __name__ == "__main__":
    main()
