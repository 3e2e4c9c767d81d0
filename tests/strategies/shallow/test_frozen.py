"""The linear head of shallow methods, and the features that they are given."""

import numpy as np
import pytest
import torch
from shallow_cells import given, spread
from sklearn.linear_model import LogisticRegression, Ridge

from transfergrid.data.regression import task_of
from transfergrid.strategies.shallow.frozen import linear_head, ridge_head
from transfergrid.strategies.shallow.source_probe import SourceProbe
from transfergrid.testing.bench import MANY_NUMBERS, Bench

CLASSES = task_of(("a", "b", "c"), ())
NUMBERS = task_of((), ("height", "width"))


def table(n=50, width=7, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    features = 4 + 3 * (rng.normal(size=(3, width))[labels] + rng.normal(size=(n, width)))
    return features, labels, rng.exponential(size=n)


@pytest.mark.parametrize("counted", [False, True])
def test_of_classes_it_is_scikit_learns_logistic_regression_on_features_of_unit_spread(counted):
    features, labels, counts = table()
    told = counts if counted else None
    weights, biases = linear_head(CLASSES, features, labels, 0.8, told)
    scaled = features / spread(features)
    solver = LogisticRegression(C=0.8, solver="newton-cg", tol=1e-10).fit(scaled, labels, told)
    found = torch.from_numpy(features @ weights.T + biases).softmax(1)
    assert np.allclose(found, solver.predict_proba(scaled), atol=1e-6)


@pytest.mark.parametrize("counted", [False, True])
def test_of_numbers_it_is_scikit_learns_ridge(counted):
    features, labels, counts = table()
    numbers = np.stack([2.0 * labels + features[:, 0], 100.0 * features[:, 1] ** 2], axis=1)
    told = counts if counted else None
    weights, biases = linear_head(NUMBERS, features, numbers, 0.8, told)
    scaled = features / spread(features)
    solver = Ridge(alpha=1 / 0.8, solver="cholesky").fit(scaled, numbers, told)
    assert np.allclose(features @ weights.T + biases, solver.predict(scaled), atol=1e-6)
    assert np.allclose(ridge_head(scaled, numbers, 1.25, told)[0], solver.coef_, atol=1e-6)


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_the_unit_of_features_plays_no_part(unit):
    features, labels, _ = table()
    one = linear_head(CLASSES, features, labels, 1.0)
    other = linear_head(CLASSES, unit * features, labels, 1.0)
    assert np.allclose(one[0], unit * other[0], rtol=1e-5, atol=1e-7)


def test_features_that_do_not_vary_are_no_error():
    weights, _ = linear_head(CLASSES, np.ones((6, 4)), np.arange(6) % 3, 1.0)
    assert np.allclose(weights, 0)


@pytest.mark.proves("formula_exact", "source_probe")
@pytest.mark.parametrize("labels", [0, 10])
@pytest.mark.parametrize("texts", [False, True])
def test_a_source_probe_predicts_what_scikit_learn_does_of_the_pooled_features(labels, texts):
    bench = Bench(SourceProbe, {"c": 2.0})
    run = (bench.on_texts() if texts else bench).run(labels)
    seen = given(run)
    assert len(seen.labelled) == (24 if labels else 0)
    scale = spread(seen.pooled)
    solver = LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000)
    solver.fit(seen.pooled / scale, seen.pooled_labels)
    assert np.allclose(run.predictions, solver.predict_proba(seen.test / scale), atol=1e-4)
    assert (run.fitted.steps, run.fitted.chosen_by) == (0, "closed_form")


@pytest.mark.parametrize("labels", [0, MANY_NUMBERS])
def test_of_numbers_a_source_probe_is_ridge(labels):
    run = Bench(SourceProbe, {"c": 2.0}).on_numbers().run(labels)
    seen = given(run)
    scale = spread(seen.pooled)
    solver = Ridge(alpha=0.5).fit(seen.pooled / scale, seen.pooled_labels)
    expected = solver.predict(seen.test / scale)
    assert np.allclose(run.predictions.ravel(), expected.ravel(), atol=1e-3)
