"""A group lasso is at its optimum, whichever way it is solved."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, MultiTaskLasso

from transfergrid.strategies.closed_form.group_lasso import fit, of_classes, of_numbers


def table(n=40, width=120, seed=0):
    rng = np.random.default_rng(seed)
    return rng, rng.normal(size=(n, width)) + 2


def penalty(weights, lasso):
    return lasso * np.linalg.norm(weights, axis=1).sum()


@pytest.mark.parametrize("lasso", [0.3, 0.05])
@pytest.mark.parametrize(("n", "width"), [(40, 120), (90, 20)])
def test_of_numbers_it_is_scikit_learns_multi_task_lasso(lasso, n, width):
    rng, rows = table(n, width)
    answers = rows[:, :3] @ rng.normal(size=(3, 2)) + rng.normal(size=(n, 2))

    def objective(weights, biases):
        errors = ((answers - rows @ weights - biases) ** 2).sum(axis=1).mean() / 2
        return errors + penalty(weights, lasso)

    solver = MultiTaskLasso(alpha=lasso, tol=1e-9, max_iter=100_000).fit(rows, answers)
    least = objective(solver.coef_.T, solver.intercept_)
    weights, biases = fit(rows, lasso, of_numbers(answers, lasso))
    assert least - 1e-9 <= objective(weights, biases) <= 1.01 * least
    strongest = np.argsort(-np.linalg.norm(weights, axis=1))[:3]
    assert set(strongest) == set(np.argsort(-np.linalg.norm(solver.coef_.T, axis=1))[:3])


@pytest.mark.parametrize("lasso", [0.1, 0.02])
def test_of_two_classes_it_is_scikit_learns_lasso(lasso):
    rng, rows = table(width=25)
    rows = rows - 2  # or the other solver takes its time
    labels = (rows[:, :2].sum(axis=1) + rng.normal(size=40) > 0).astype(np.int64)

    def objective(weights, biases):
        said = rows @ weights + biases
        wrong = said[np.arange(40), 1 - labels] - said[np.arange(40), labels]
        return np.logaddexp(0, wrong).mean() + penalty(weights, lasso)

    # Of two rows that are each other's negative the norm is sqrt(2) / 2 of their difference.
    c = np.sqrt(2) / (lasso * 40)
    solver = LogisticRegression(C=c, l1_ratio=1, solver="saga", tol=1e-7, max_iter=20_000)
    solver.fit(rows, labels)
    half = np.stack([-solver.coef_[0], solver.coef_[0]], axis=1) / 2
    least = objective(half, np.array([-1, 1]) * solver.intercept_ / 2)
    found = fit(rows, lasso, of_classes(labels, 2, lasso))
    assert least * (1 - 1e-5) <= objective(*found) <= 1.01 * least


def test_a_class_without_examples_and_one_class_alone_have_no_weights():
    _, rows = table()
    weights, _ = fit(rows, 0.01, of_classes(np.arange(40) % 2 * 2, 3, 0.01))
    assert np.all(weights[:, 1] == 0)
    assert np.any(weights[:, 0] != 0)
    weights, _ = fit(rows, 0.01, of_classes(np.ones(40, dtype=np.int64), 3, 0.01))
    assert np.all(weights == 0)


def test_features_that_never_vary_get_no_weight():
    rng, rows = table()
    rows[:, 7] = 3.0
    answers = rng.normal(size=(40, 1))
    weights, biases = fit(rows, 0.05, of_numbers(answers, 0.05))
    assert weights[7] == pytest.approx(0, abs=1e-9)
    assert np.isfinite(weights).all()
    assert np.allclose((rows @ weights + biases).mean(0), answers.mean(0))
