"""Transfer components: the published eigenvalues, and the unsymmetric problem they solve."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist
from shallow_cells import given, spread
from sklearn.linear_model import LogisticRegression, Ridge

from golden import golden
from transfergrid.strategies.shallow.tca import TCA, transfer_components
from transfergrid.testing.bench import MANY_NUMBERS, Bench


def matrices(n, m):
    e = np.r_[np.full(n, 1 / n), np.full(m, -1 / m)]
    return np.outer(e, e), np.eye(n + m) - 1 / (n + m)


@pytest.mark.proves("formula_exact", "tca")
def test_the_published_components_of_2009():
    told, expected, tolerance = golden("tca", "rbf")
    rows = np.vstack([told["source"], told["target"]])
    kernel = np.exp(-(cdist(rows, rows) ** 2) / 4)
    axes, values = transfer_components(kernel, len(told["source"]), told["mu"], told["components"])
    assert values == pytest.approx(expected["top_eigenvalues_2009_I_plus_muKLK"], abs=tolerance)
    wrong = np.array(expected["plain_eigh_on_the_product_WRONG"])
    assert abs(values - wrong).min() > 1e-3
    found = kernel @ axes
    assert abs(found) == pytest.approx(np.array(expected["projection_abs"]), abs=tolerance)
    apart = found[:3].mean(0) - found[3:].mean(0)
    assert apart**2 == pytest.approx(expected["mmd_of_components"], abs=tolerance)


@pytest.mark.proves("formula_exact", "tca")
def test_the_components_of_2011_are_those_of_one_over_its_mu():
    told, expected, tolerance = golden("tca", "rbf_2011")
    rows = np.vstack([told["source"], told["target"]])
    kernel = np.exp(-(cdist(rows, rows) ** 2) / 4)
    _, values = transfer_components(kernel, 3, 1 / told["mu"], told["components"])
    published = np.array(expected["top_eigenvalues_KLK_plus_muI"])
    assert values / told["mu"] == pytest.approx(published, abs=tolerance)


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("mu", [0.1, 10.0])
def test_they_solve_the_unsymmetric_problem(mu, linear):
    rng = np.random.default_rng(0)
    rows = np.vstack([rng.normal(size=(20, 3)), 1 + rng.normal(size=(15, 3))])
    kernel = rows @ rows.T if linear else np.exp(-(cdist(rows, rows) ** 2) / 6)
    apart, centring = matrices(20, 15)
    axes, values = transfer_components(kernel, 20, mu, 3)
    left = np.eye(35) + mu * kernel @ apart @ kernel
    right = kernel @ centring @ kernel
    assert np.allclose(np.linalg.solve(left, right) @ axes, axes * values, atol=1e-7)
    assert np.allclose(axes.T @ left @ axes, np.eye(3), atol=1e-7)
    largest = np.sort(np.linalg.eigvals(np.linalg.solve(left, right)).real)[::-1][:3]
    assert values == pytest.approx(largest, rel=1e-7)


def test_the_dearer_the_means_distance_the_smaller_it_is():
    rng = np.random.default_rng(0)
    rows = np.vstack([rng.normal(size=(30, 3)), 2 + rng.normal(size=(30, 3))])
    kernel = np.exp(-(cdist(rows, rows) ** 2) / 6)
    apart = []
    for mu in (1e-6, 1.0, 100.0):
        found = kernel @ transfer_components(kernel, 30, mu, 2)[0]
        apart.append(np.linalg.norm(found[:30].mean(0) - found[30:].mean(0)) / found.std())
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < 0.2 * apart[0]


def by_hand(seen, run, components, mu, width):
    """Return components of the rows that the head is fitted to, and of the test examples."""
    bank = np.vstack([seen.source, seen.target])
    width *= np.median(pdist(bank))
    kernel = np.exp(-(cdist(bank, bank) ** 2) / (2 * width**2))
    apart, centring = matrices(len(seen.source), len(seen.target))
    left = np.eye(len(bank)) + mu * kernel @ apart @ kernel
    values, axes = np.linalg.eig(np.linalg.solve(left, kernel @ centring @ kernel))
    axes = axes[:, np.argsort(-values.real)[:components]].real
    axes /= np.sqrt(np.sum(axes * (left @ axes), axis=0))
    rows, test = (
        np.exp(-(cdist(part, bank) ** 2) / (2 * width**2)) @ axes
        for part in (seen.pooled, seen.test)
    )
    return rows / spread(rows), test / spread(rows)


@pytest.mark.parametrize("labels", [0, 10])
def test_a_cell_is_a_logistic_regression_on_components(labels):
    run = Bench(TCA, {"c": 2.0, "components": 4, "mu": 3.0, "width": 0.7}).run(labels)
    seen = given(run)
    rows, test = by_hand(seen, run, 4, 3.0, 0.7)
    solver = LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000).fit(rows, seen.pooled_labels)
    assert np.allclose(run.predictions, solver.predict_proba(test), atol=2e-4)
    assert (run.fitted.steps, run.fitted.chosen_by) == (0, "closed_form")
    told = run.setup.strategy.tells()["eigenvalues"]
    assert told == sorted(told, reverse=True)


def test_of_numbers_it_is_ridge_on_components():
    run = Bench(TCA, {"c": 2.0, "components": 4}).on_numbers().run(MANY_NUMBERS)
    seen = given(run)
    rows, test = by_hand(seen, run, 4, 1.0, 1.0)
    solver = Ridge(alpha=0.5).fit(rows, seen.pooled_labels)
    expected = solver.predict(test)
    assert np.allclose(run.predictions.ravel(), expected.ravel(), atol=2e-3)


def test_more_components_than_there_are_examples_are_no_error():
    run = Bench(TCA, {"components": 200, "examples": 10}).run(0)
    strategy = run.setup.strategy
    assert strategy.bank.shape == (20, strategy.backbone.dim)
    assert (strategy.axes[:, 20:] == 0).all()
    assert torch.isfinite(run.predictions).all()
