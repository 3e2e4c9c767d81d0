"""Shallow CORAL: the published map, and scikit-learn on the mapped features."""

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power
from shallow_cells import given, spread
from sklearn.linear_model import LogisticRegression, Ridge

from golden import golden
from transfergrid.strategies.shallow.linear_coral import (
    LinearCoral,
    covariances_apart,
    recolouring,
)
from transfergrid.strategies.shallow.source_probe import SourceProbe
from transfergrid.testing.bench import MANY_NUMBERS, Bench


@pytest.mark.proves("formula_exact", "linear_coral")
def test_the_published_map():
    told, expected, tolerance = golden("linear_coral", "shallow_whitening")
    source, target = np.array(told["source"]), np.array(told["target"])
    found = recolouring(source, target, 1.0)
    assert found == pytest.approx(np.array(expected["transform"]), abs=tolerance)
    mapped = np.array(expected["source_mapped_uncentred"])
    assert source @ found == pytest.approx(mapped, abs=tolerance)


def test_the_distance_is_the_published_one_of_the_deep_kind():
    told, expected, tolerance = golden("coral", "deep")
    found = covariances_apart(np.array(told["source"]), np.array(told["target"]))
    assert found == pytest.approx(expected["paper"], abs=tolerance)


def two(n=80, m=50, width=4, seed=0):
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(n, width)) @ rng.normal(size=(width, width))
    return source, 3 + rng.normal(size=(m, width)) @ rng.normal(size=(width, width))


def test_without_a_ridge_the_covariance_becomes_the_targets():
    source, target = two()
    moved = source @ recolouring(source, target, 1e-9)
    assert np.allclose(np.cov(moved.T), np.cov(target.T), atol=1e-6)


def test_a_large_ridge_and_a_target_like_the_source_move_nothing():
    source, target = two()
    assert np.allclose(recolouring(source, target, 1e9), np.eye(4), atol=1e-6)
    assert np.allclose(recolouring(source, source + 5.0, 1.0), np.eye(4))


def test_more_features_than_examples_are_no_error():
    source, target = two(5, 6, 4)
    wide = np.hstack([source, source, source])
    found = recolouring(wide, np.hstack([target, target, target]), 1.0)
    assert np.isfinite(found).all()


def by_hand(seen, ridge, centred):
    """Return the rows that the head is fitted to, and the test examples as it sees them."""
    width = seen.source.shape[1]
    unit = spread(np.vstack([seen.source, seen.target])) / width**0.5
    source, target = seen.source / unit, seen.target / unit
    whiten = fractional_matrix_power(np.cov(source.T) + ridge * np.eye(width), -0.5)
    colour = fractional_matrix_power(np.cov(target.T) + ridge * np.eye(width), 0.5)
    ours, theirs = (source.mean(0), target.mean(0)) if centred else (0.0, 0.0)
    rows = np.vstack([(source - ours) @ whiten @ colour, seen.labelled / unit - theirs])
    return rows, seen.test / unit - theirs


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("labels", [0, 10])
def test_a_cell_is_a_logistic_regression_on_recoloured_features(labels, centred):
    run = Bench(LinearCoral, {"c": 2.0, "ridge": 0.1, "centred": centred}).run(labels)
    seen = given(run)
    rows, test = by_hand(seen, 0.1, centred)
    solver = LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000)
    solver.fit(rows / spread(rows), seen.pooled_labels)
    assert np.allclose(run.predictions, solver.predict_proba(test / spread(rows)), atol=1e-4)
    told = run.setup.strategy.tells()
    assert 0 <= told["distance_after"] < told["distance_before"]


def test_of_numbers_it_is_ridge_on_recoloured_features():
    run = Bench(LinearCoral, {"c": 2.0}).on_numbers().run(MANY_NUMBERS)
    seen = given(run)
    rows, test = by_hand(seen, 1.0, True)
    solver = Ridge(alpha=0.5).fit(rows / spread(rows), seen.pooled_labels)
    expected = solver.predict(test / spread(rows))
    assert np.allclose(run.predictions.ravel(), expected.ravel(), atol=1e-3)


def test_a_map_that_moves_nothing_leaves_the_source_probe():
    own = Bench(LinearCoral, {"ridge": 1e9, "centred": False}).run(0)
    assert np.allclose(own.predictions, Bench(SourceProbe).run(0).predictions, atol=1e-5)
    assert not np.allclose(own.predictions, Bench(LinearCoral).run(0).predictions, atol=1e-3)
