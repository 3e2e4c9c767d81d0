"""Kernel mean matching: the published optimum, and another solver's."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.distance import cdist, pdist
from shallow_cells import given, spread
from sklearn.linear_model import LogisticRegression

from golden import golden
from transfergrid.strategies.shallow.kmm import KMM, matching
from transfergrid.strategies.shallow.source_probe import SourceProbe
from transfergrid.strategies.shallow.weighting import effective_sample_size
from transfergrid.testing.bench import Bench


def kernels(source, target, width):
    """Return the kernels within the source and across, from their definition."""
    return tuple(np.exp(-(cdist(source, rows) ** 2) / (2 * width**2)) for rows in (source, target))


def objective(weights, within, across):
    return weights @ within @ weights / 2 - len(within) * across.mean(1) @ weights


def by_slsqp(within, across, most, slack):
    n, linear = len(within), len(within) * across.mean(1)
    bounded = [
        {"type": "ineq", "fun": lambda w: w.sum() - n * (1 - slack), "jac": np.ones_like},
        {"type": "ineq", "fun": lambda w: n * (1 + slack) - w.sum(), "jac": lambda w: -np.ones(n)},
    ]
    return minimize(
        objective,
        np.ones(n),
        (within, across),
        jac=lambda w, *_: within @ w - linear,
        bounds=[(0, most)] * n,
        constraints=bounded,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 5000},
    ).x


@pytest.mark.proves("formula_exact", "kmm")
def test_the_published_weights():
    told, expected, tolerance = golden("kmm", "qp")
    source, target = np.array(told["source"]), np.array(told["target"])
    within, across = kernels(source, target, 1.0)
    weights = matching(within, across, told["B"], told["eps"])
    assert weights == pytest.approx(expected["weights"], abs=tolerance)
    assert weights.sum() == pytest.approx(expected["sum"], abs=tolerance)
    assert objective(weights, within, across) == pytest.approx(expected["objective"], abs=tolerance)
    assert effective_sample_size(weights) == pytest.approx(expected["ess"], abs=tolerance)
    least = matching(within, across, 1.5, told["eps"])
    assert least == pytest.approx(expected["weights_B_1_5"], abs=tolerance)
    assert np.array_equal(matching(within, across, told["B"]), weights)  # of four it is a half


@pytest.mark.parametrize(("most", "slack"), [(1000.0, 0.9), (2.0, 0.05), (1000.0, 0.001)])
@pytest.mark.parametrize("apart", [0.5, 3.0])
def test_another_solver_finds_no_less(most, slack, apart):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(40, 3)), apart + rng.normal(size=(25, 3))
    told = kernels(source, target, 1.0)
    found, other = matching(*told, most, slack), by_slsqp(*told, most, slack)
    least = objective(other, *told)
    assert objective(found, *told) <= least + 1e-6 * abs(least)
    assert np.allclose(found, other, atol=2e-3 * other.max())
    assert -1e-9 <= found.min() <= found.max() <= most + 1e-9
    assert abs(found.mean() - 1) <= slack + 1e-7


def test_a_kernel_without_an_inverse_has_an_optimum_too():
    source = np.repeat(np.random.default_rng(0).normal(size=(10, 2)), 5, axis=0)
    told = kernels(source, source[:20] + 0.3, 1.0)
    found = matching(*told, 1000.0)
    assert np.isfinite(found).all()
    assert objective(found, *told) <= objective(by_slsqp(*told, 1000.0, 0.85), *told) + 1e-5


def test_the_mean_of_the_kernel_comes_nearer_to_the_targets():
    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(300, 1)), 1 + rng.normal(size=(300, 1))
    weights = matching(*kernels(source, target, 0.7), 1000.0)
    assert np.average(source, weights=weights[:, None], axis=0) == pytest.approx(1.0, abs=0.15)
    assert effective_sample_size(weights) < 200


def test_the_effective_sample_size_by_hand():
    assert effective_sample_size(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    assert effective_sample_size(np.array([0.0, 3.0, 3.0])) == pytest.approx(2.0)
    assert effective_sample_size(np.zeros(3)) == 0.0


@pytest.mark.parametrize("labels", [0, 10])
def test_a_cell_is_a_logistic_regression_on_weighted_examples(labels):
    run = Bench(KMM, {"c": 0.5, "width": 0.5}).run(labels)
    seen = given(run)
    width = 0.5 * np.median(pdist(np.vstack([seen.source, seen.target])))
    slack = (np.sqrt(60) - 1) / np.sqrt(60)
    weights = by_slsqp(*kernels(seen.source, seen.target, width), 1000.0, slack)
    scale, counts = spread(seen.pooled), np.append(weights, np.ones(len(seen.labelled)))
    solver = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000)
    solver.fit(seen.pooled / scale, seen.pooled_labels, counts)
    assert np.allclose(run.predictions, solver.predict_proba(seen.test / scale), atol=5e-3)
    told = run.setup.strategy.tells()
    assert told["effective_sample_size"] == pytest.approx(effective_sample_size(weights), rel=0.01)
    assert told["largest_weight"] == pytest.approx(weights.max(), rel=0.01)


def test_weights_that_must_all_be_one_are_the_source_probe():
    own = Bench(KMM, {"most": 1.0, "slack": 1e-9}).run(0)
    assert np.allclose(own.predictions, Bench(SourceProbe).run(0).predictions, atol=1e-6)
    assert own.setup.strategy.tells()["effective_sample_size"] == pytest.approx(60)
    assert not np.allclose(own.predictions, Bench(KMM).run(0).predictions, atol=1e-3)


def test_of_a_large_source_so_many_are_drawn_and_the_others_count_nothing():
    one, again = (Bench(KMM, {"examples": 20}).run(0) for _ in range(2))
    assert one.setup.strategy.tells()["source_examples"] <= 20
    assert np.array_equal(one.predictions, again.predictions)
