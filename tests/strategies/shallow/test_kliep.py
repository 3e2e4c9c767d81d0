"""The likeliest density ratio: the published optimum, and another solver's."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.spatial.distance import cdist, pdist
from shallow_cells import given, spread
from sklearn.linear_model import LogisticRegression

from golden import golden
from transfergrid.strategies.shallow.kliep import KLIEP, WIDTHS, held_out, likeliest
from transfergrid.testing.bench import Bench


def squares(source, target, centres):
    return cdist(source, centres) ** 2, cdist(target, centres) ** 2


def by_slsqp(source, target, width):
    """Return alpha of the largest sum of log w(t), the constraint as the paper states it."""
    ours, theirs = (np.exp(-told / (2 * width**2)) for told in (source, target))
    means = ours.mean(0)

    def below(alpha):
        return -np.log(theirs @ alpha).sum()

    def slope(alpha):
        return -(theirs / (theirs @ alpha)[:, None]).sum(0)

    one = {"type": "eq", "fun": lambda alpha: alpha @ means - 1, "jac": lambda alpha: means}
    start = np.full(len(means), 1 / means.sum())
    told = {"ftol": 1e-13, "maxiter": 5000}
    bounds = [(0, None)] * len(means)
    return minimize(
        below, start, jac=slope, bounds=bounds, constraints=one, method="SLSQP", options=told
    ).x


@pytest.mark.proves("formula_exact", "kliep")
def test_the_published_optimum():
    told, expected, tolerance = golden("kliep", "optimum")
    source, target = np.array(told["source"]), np.array(told["target"])
    ours, theirs = squares(source, target, target)
    ratio = likeliest(ours, theirs, np.sqrt(1 / (2 * told["gamma"])))
    reached = np.log(ratio.at(theirs)).sum()
    assert reached == pytest.approx(expected["objective_sum_log_w_target"], abs=tolerance)
    assert ratio.at(ours) == pytest.approx(expected["source_weights"], abs=tolerance)
    assert ratio.at(ours).mean() == pytest.approx(expected["mean_source_weight"], abs=1e-9)


@pytest.mark.parametrize("width", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("apart", [0.5, 2.5])
def test_another_solver_finds_none_that_is_likelier(width, apart):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(60, 2)), apart + rng.normal(size=(40, 2))
    ours, theirs = squares(source, target, target[:20])
    ratio, other = likeliest(ours, theirs, width), by_slsqp(ours, theirs, width)
    theirs_by_other = np.exp(-theirs / (2 * width**2)) @ other
    assert np.log(ratio.at(theirs)).sum() >= np.log(theirs_by_other).sum() - 1e-4
    assert ratio.at(ours).mean() == pytest.approx(1.0, abs=1e-9)
    assert ratio.alpha.min() >= 0


def test_no_shift_is_a_ratio_of_about_one():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2000, 1)), rng.normal(size=(2000, 1))
    ratio = likeliest(*squares(source, target, target[:50]), 2.0)
    weights = ratio.at(cdist(source, target[:50]) ** 2)
    assert weights.mean() == pytest.approx(1.0)
    assert weights.std() < 0.1


def test_of_two_gaussians_it_comes_near_the_true_ratio():
    """Of N(0, 1) and N(1, 1) it is exp(x - 1/2)."""
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(3000, 1)), 1 + rng.normal(size=(3000, 1))
    ratio = likeliest(*squares(source, target, target[:100]), 0.8)
    at = np.array([[-1.0], [0.0], [1.0], [2.0]])
    found = ratio.at(cdist(at, target[:100]) ** 2)
    assert found == pytest.approx(np.exp(at[:, 0] - 0.5), rel=0.2)


def test_what_is_held_out_is_neither_fitted_to_nor_a_centre():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(50, 2)), rng.normal(size=(20, 2))
    rows, folds = np.arange(0, 20, 2), np.array_split(rng.permutation(20), 5)
    told = squares(source, target, target[rows])
    expected = []
    for fold in folds:
        kept = np.array([row for row in rows if row not in fold])
        rest = [row for row in range(20) if row not in fold]
        alpha = by_slsqp(*squares(source, target[rest], target[kept]), 0.7)
        expected += [np.log(np.exp(-(cdist(target[fold], target[kept]) ** 2) / 0.98) @ alpha)]
    found = held_out(*told, rows, 0.7, folds)
    assert found == pytest.approx(np.concatenate(expected).mean(), abs=1e-4)


def test_a_kernel_that_reaches_no_example_leaves_numbers():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(50, 3)), 100 + rng.normal(size=(30, 3))
    ratio = likeliest(*squares(source, target, target), 0.3)
    assert np.isfinite(ratio.at(cdist(source, target) ** 2)).all()


@pytest.mark.parametrize("labels", [0, 10])
def test_a_cell_is_a_logistic_regression_on_weighted_examples(labels):
    run = Bench(KLIEP, {"c": 0.5, "width": 0.5}).run(labels)
    seen = given(run)
    width = 0.5 * np.median(pdist(np.vstack([seen.source, seen.target])))
    ours, theirs = squares(seen.source, seen.target, seen.target)
    weights = np.exp(-ours / (2 * width**2)) @ by_slsqp(ours, theirs, width)
    scale, counts = spread(seen.pooled), np.append(weights, np.ones(len(seen.labelled)))
    solver = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000)
    solver.fit(seen.pooled / scale, seen.pooled_labels, counts)
    assert np.allclose(run.predictions, solver.predict_proba(seen.test / scale), atol=2e-3)
    told = run.setup.strategy.tells()
    assert told["effective_sample_size"] == pytest.approx(60**2 / (weights**2).sum(), rel=0.01)
    assert told["width"] == 0.5


def test_where_no_width_is_given_one_of_the_path_is_chosen_and_told():
    run = Bench(KLIEP).run(0)
    chosen = run.setup.strategy.tells()["width"]
    assert chosen in WIDTHS
    again = Bench(KLIEP, {"width": chosen}).run(0)
    assert torch.allclose(run.predictions, again.predictions, atol=1e-6)
