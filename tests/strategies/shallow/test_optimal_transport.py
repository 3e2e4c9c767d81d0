"""Optimal transport: published plans, other solvers', and what becomes of the examples."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.optimize import linprog
from scipy.spatial.distance import cdist
from shallow_cells import given, spread
from sklearn.linear_model import LogisticRegression, Ridge

from golden import golden
from transfergrid.strategies.shallow.optimal_transport import (
    OptimalTransport,
    barycentres,
    displaced,
    entropic_plan,
    exact_plan,
    gaussian_map,
)
from transfergrid.testing.bench import MANY_NUMBERS, Bench


def squared(source, target):
    return cdist(source, target) ** 2


@pytest.mark.proves("formula_exact", "optimal_transport")
def test_the_published_plan_and_map():
    told, expected, tolerance = golden("optimal_transport", "emd")
    source, target = np.array(told["source"]), np.array(told["target"])
    cost = squared(source, target)
    assert cost == pytest.approx(np.array(expected["cost_matrix"]), abs=tolerance)
    plan = exact_plan(cost)
    assert 3 * plan == pytest.approx(np.array(expected["plan_times_3"]), abs=tolerance)
    assert (plan * cost).sum() == pytest.approx(expected["emd2"], abs=tolerance)
    moved = np.array(expected["barycentric_map_of_source"])
    assert barycentres(plan, target) == pytest.approx(moved, abs=tolerance)


@pytest.mark.proves("formula_exact", "optimal_transport")
def test_the_published_entropic_plan():
    told, expected, tolerance = golden("optimal_transport", "sinkhorn")
    cost = squared(np.array(told["source"]), np.array(told["target"]))
    plan = entropic_plan(cost, told["reg"])
    assert plan == pytest.approx(np.array(expected["plan"]), abs=tolerance)
    assert (plan * cost).sum() == pytest.approx(expected["transport_cost"], abs=tolerance)


def by_linprog(cost):
    """Return the cheapest plan as a general linear programme."""
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    sums = np.r_[np.full(n, 1 / n), np.full(m, 1 / m)]
    return linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=sums).x.reshape(n, m)


def by_scaling(cost, regularisation):
    """Return the entropic plan by Sinkhorn's own iteration."""
    n, m = cost.shape
    kernel, right = np.exp(-cost / regularisation), np.ones(m)
    for _ in range(20_000):
        left = 1 / n / (kernel @ right)
        right = 1 / m / (kernel.T @ left)
    return left[:, None] * kernel * right


@pytest.mark.parametrize(("n", "m"), [(12, 12), (9, 14)])
def test_other_solvers_find_the_same_plans(n, m):
    rng = np.random.default_rng(0)
    cost = squared(rng.normal(size=(n, 3)), 1 + rng.normal(size=(m, 3)))
    assert np.allclose(exact_plan(cost), by_linprog(cost), atol=1e-9)
    for regularisation in (0.3, 2.0):
        expected = by_scaling(cost, regularisation)
        assert np.allclose(entropic_plan(cost, regularisation), expected, atol=1e-7)


def test_an_example_far_from_all_others_is_no_error_to_sinkhorn():
    rng = np.random.default_rng(0)
    source = np.vstack([rng.normal(size=(20, 2)), [[500.0, 0.0]]])
    cost = squared(source, rng.normal(size=(21, 2)))
    plan = entropic_plan(cost, 1.0)
    assert np.isfinite(plan).all()
    assert plan.sum(1) == pytest.approx(np.full(21, 1 / 21), abs=1e-6)


def test_a_source_that_is_the_target_in_another_order_does_not_move():
    rows = np.random.default_rng(0).normal(size=(30, 4))
    other = rows[np.random.default_rng(1).permutation(30)]
    assert np.allclose(barycentres(exact_plan(squared(rows, other)), other), rows)


def test_the_larger_the_regularisation_the_nearer_all_come_to_the_mean():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(30, 2)), rng.normal(size=(30, 2))
    cost = squared(source, target)
    spreads = [barycentres(entropic_plan(cost, r), target).std() for r in (0.1, 1.0, 100.0)]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] < 0.05


def test_other_examples_move_as_the_nearest_that_is_known_does():
    known, moved = np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([[1.0, 1.0], [10.0, -5.0]])
    found = displaced(np.array([[1.0, 0.0], [9.0, 2.0]]), known, moved)
    assert found.tolist() == [[2.0, 1.0], [9.0, -3.0]]


def test_a_gaussian_map_is_the_closed_form_and_gives_the_targets_moments():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3))
    target = 4 + rng.normal(size=(150, 3)) @ rng.normal(size=(3, 3))
    found = gaussian_map(source, target, 1e-12)
    one, other = (np.cov(rows.T, bias=True) for rows in (source, target))
    root = sqrtm(one)
    inverse = np.linalg.inv(root)
    matrix = inverse @ sqrtm(root @ other @ root) @ inverse
    expected = target.mean(0) + (source - source.mean(0)) @ matrix
    assert np.allclose(found, expected, atol=1e-6)
    assert np.allclose(np.cov(found.T, bias=True), other, atol=1e-6)


def probabilities(seen, moved, c):
    rows = np.vstack([moved, seen.labelled])
    solver = LogisticRegression(C=c, tol=1e-10, max_iter=10_000)
    return solver.fit(rows / spread(rows), seen.pooled_labels).predict_proba(
        seen.test / spread(rows)
    )


@pytest.mark.parametrize("plan", ["exact", "entropic"])
@pytest.mark.parametrize("labels", [0, 10])
def test_a_cell_is_a_logistic_regression_on_moved_examples(labels, plan):
    run = Bench(OptimalTransport, {"plan": plan, "c": 2.0, "regularisation": 0.3}).run(labels)
    seen = given(run)
    cost = squared(seen.source, seen.target)
    plan = by_linprog(cost) if plan == "exact" else by_scaling(cost, 0.3 * np.median(cost))
    moved = len(seen.source) * plan @ seen.target
    assert np.allclose(run.predictions, probabilities(seen, moved, 2.0), atol=1e-4)
    way = np.sqrt(((moved - seen.source) ** 2).sum(1).mean())
    told = run.setup.strategy.tells()["moved"]
    assert told == pytest.approx(way / spread(np.vstack([seen.source, seen.target])), rel=1e-4)


def test_a_cell_of_numbers_is_ridge_on_moved_examples():
    run = Bench(OptimalTransport, {"c": 2.0}).on_numbers().run(MANY_NUMBERS)
    seen = given(run)
    moved = len(seen.source) * by_linprog(squared(seen.source, seen.target)) @ seen.target
    rows = np.vstack([moved, seen.labelled])
    solver = Ridge(alpha=0.5).fit(rows / spread(rows), seen.pooled_labels)
    expected = solver.predict(seen.test / spread(rows))
    assert np.allclose(run.predictions.ravel(), expected.ravel(), atol=1e-3)


def test_a_gaussian_cell_moves_all_examples_by_one_affine_map():
    run = Bench(OptimalTransport, {"plan": "gaussian"}).run(0)
    seen = given(run)
    unit = spread(np.vstack([seen.source, seen.target]))
    width = seen.source.shape[1]
    ridge = 1e-3 / width * np.eye(width)
    one, other = (np.cov(rows.T / unit, bias=True) + ridge for rows in (seen.source, seen.target))
    inverse = np.linalg.inv(root := sqrtm(one))
    matrix = inverse @ sqrtm(root @ other @ root) @ inverse
    moved = seen.target.mean(0) + (seen.source - seen.source.mean(0)) @ matrix
    assert np.allclose(run.predictions, probabilities(seen, moved, 1.0), atol=1e-3)


def test_of_a_large_source_so_many_are_in_the_plan_and_the_others_move_along():
    one, again = (Bench(OptimalTransport, {"examples": 20}).run(0) for _ in range(2))
    seen, strategy = given(one), one.setup.strategy
    taken = np.sort(strategy.draws("source").permutation(60)[:20])
    target = seen.target[np.sort(strategy.draws("target").permutation(len(seen.target))[:20])]
    known = seen.source[taken]
    moved = 20 * by_linprog(squared(known, target)) @ target
    nearest = squared(seen.source, known).argmin(1)
    expected = probabilities(seen, seen.source + (moved - known)[nearest], 1.0)
    assert np.allclose(one.predictions, expected, atol=1e-4)
    assert np.array_equal(one.predictions, again.predictions)
