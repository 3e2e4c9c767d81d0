"""Weights by a classifier of domains: the published ratio, and the true one of two Gaussians."""

import numpy as np
import pytest
from shallow_cells import given, spread
from sklearn.linear_model import LogisticRegression

from golden import golden
from transfergrid.strategies.shallow.density_ratio import DensityRatio, ratio, told_apart
from transfergrid.strategies.shallow.source_probe import SourceProbe
from transfergrid.strategies.shallow.weighting import effective_sample_size
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "density_ratio")
def test_the_published_weights_and_their_effective_sample_size():
    told, expected, tolerance = golden("density_ratio", "ratio")
    p = np.array(told["p_target_given_x"])
    weights = ratio(np.log(p / (1 - p)), told["n_source"], told["n_target"])
    assert weights == pytest.approx(expected["weights"], abs=tolerance)
    assert effective_sample_size(weights) == pytest.approx(expected["ess"], abs=tolerance)
    assert ratio(np.array([0.0]), 100, 100) == pytest.approx([1.0])


@pytest.mark.parametrize("many", [1, 3])
def test_of_two_gaussians_log_weights_have_slope_one_and_an_intercept_of_minus_a_half(many):
    """Whatever the numbers of examples: N(0, 1) to N(1, 1), an effective sample size of n / e."""
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(6000 * many, 1)), 1 + rng.normal(size=(6000, 1))
    weights, apart = told_apart(source, target, 1e3, np.random.default_rng(1))
    slope, intercept = np.polyfit(source[:, 0], np.log(weights), 1)
    assert (slope, intercept) == pytest.approx((1.0, -0.5), abs=0.05)
    share = effective_sample_size(weights) / len(source)
    assert share == pytest.approx(1 / np.e, abs=0.04)
    assert apart == pytest.approx((source < 0.5).mean(), abs=0.02)


def by_scikit_learn(source, target, c, rng):
    """Return each source example's ratio by a classifier that has not seen it."""
    found = np.empty(len(source))
    ours, theirs = rng.permutation(len(source)) % 5, rng.permutation(len(target)) % 5
    for fold in range(5):
        one, other = source[ours != fold], target[theirs != fold]
        labels = np.r_[np.zeros(len(one)), np.ones(len(other))]
        solver = LogisticRegression(C=c, solver="newton-cg", tol=1e-12)
        solver.fit(np.vstack([one, other]), labels)
        p = solver.predict_proba(source[ours == fold])[:, 1]
        found[ours == fold] = len(one) / len(other) * p / (1 - p)
    return found


def test_an_example_is_weighed_by_classifiers_that_have_not_seen_it():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(43, 30)), 0.3 + rng.normal(size=(31, 30))
    found, apart = told_apart(source, target, 10.0, np.random.default_rng(3))
    assert np.allclose(found, by_scikit_learn(source, target, 10.0, np.random.default_rng(3)))
    assert apart == (found < 1).mean()
    both = np.vstack([source, target])
    seen = LogisticRegression(C=10.0, solver="newton-cg").fit(both, np.arange(74) >= 43)
    assert (found >= 1).mean() > (seen.predict(source)).mean() + 0.1


def test_domains_that_are_far_apart_leave_numbers():
    source, target = np.zeros((10, 2)) + np.arange(10)[:, None], np.full((10, 2), 1e5)
    found, apart = told_apart(source, target, 1e3, np.random.default_rng(0))
    assert np.isfinite(found).all()
    assert apart == 1.0


@pytest.mark.parametrize("labels", [0, 10])
def test_a_cell_is_a_logistic_regression_on_weighted_examples(labels):
    run = Bench(DensityRatio, {"c": 0.5, "domain_c": 3.0, "most": 1.5}).run(labels)
    seen, strategy = given(run), run.setup.strategy
    scale = spread(np.vstack([seen.source, seen.target]))
    rows = seen.source / scale, seen.target / scale
    weights = by_scikit_learn(*rows, 3.0, strategy.draws("folds"))
    assert weights.max() > 1.5
    weights = np.minimum(weights, 1.5)
    weights /= weights.mean()
    scale, counts = spread(seen.pooled), np.append(weights, np.ones(len(seen.labelled)))
    solver = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000)
    solver.fit(seen.pooled / scale, seen.pooled_labels, counts)
    assert np.allclose(run.predictions, solver.predict_proba(seen.test / scale), atol=1e-4)
    told = strategy.tells()["effective_sample_size"]
    assert told == pytest.approx(effective_sample_size(weights), rel=1e-4)


def test_a_classifier_that_may_not_tell_anything_leaves_the_source_probe():
    own = Bench(DensityRatio, {"domain_c": 1e-12}).run(0)
    assert np.allclose(own.predictions, Bench(SourceProbe).run(0).predictions, atol=1e-5)
    assert own.setup.strategy.tells()["effective_sample_size"] == pytest.approx(60)
    assert not np.allclose(own.predictions, Bench(DensityRatio).run(0).predictions, atol=1e-4)
