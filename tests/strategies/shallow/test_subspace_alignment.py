"""Subspace alignment: the published numbers, and scikit-learn's principal components."""

import numpy as np
import pytest
from shallow_cells import given, spread
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge

from golden import golden
from transfergrid.strategies.shallow.subspace_alignment import SubspaceAlignment, principal_axes
from transfergrid.testing.bench import MANY_NUMBERS, Bench


def aligned(source, target, axes, other):
    """Return both domains in the target's subspace, each centred by itself."""
    ours = (source - source.mean(0)) @ axes @ (axes.T @ other)
    return ours, (target - target.mean(0)) @ other


@pytest.mark.proves("formula_exact", "subspace_alignment")
def test_the_published_numbers():
    told, expected, tolerance = golden("subspace_alignment", "numbers")
    source, target = np.array(told["source"]), np.array(told["target"])
    axes, other = (principal_axes(rows, told["d"]) for rows in (source, target))
    cosines = np.linalg.svd(axes.T @ other, compute_uv=False)
    assert cosines == pytest.approx(expected["singular_values_of_M"], abs=tolerance)
    ours, theirs = aligned(source, target, axes, other)
    norms = np.linalg.norm(ours, axis=1)
    assert norms == pytest.approx(expected["aligned_source_norms"], abs=tolerance)
    similar = np.array(expected["abs_similarity_source_target"])
    assert abs(ours @ theirs.T) == pytest.approx(similar, abs=tolerance)


@pytest.mark.parametrize(("n", "width"), [(40, 6), (6, 40)])
def test_axes_are_scikit_learns_principal_ones_and_no_more_than_there_are(n, width):
    rows = np.random.default_rng(0).normal(size=(n, width)) @ np.diag(np.arange(1.0, width + 1))
    found, other = principal_axes(rows, 3), PCA(3).fit(rows).components_
    assert np.allclose(abs(np.sum(found.T * other, axis=1)), 1.0)
    assert principal_axes(rows, 100).shape == (width, min(n - 1, width))


def by_hand(seen, components):
    """Return the rows that the head is fitted to, and the test examples as it sees them."""
    axes, other = (PCA(components).fit(rows).components_.T for rows in (seen.source, seen.target))
    ours, _ = aligned(seen.source, seen.target, axes, other)
    middle = seen.target.mean(0)
    rows = np.vstack([ours, (seen.labelled - middle) @ other])
    return rows, (seen.test - middle) @ other, np.linalg.svd(axes.T @ other, compute_uv=False)


@pytest.mark.parametrize("labels", [0, 10])
def test_a_cell_is_a_logistic_regression_on_aligned_features(labels):
    run = Bench(SubspaceAlignment, {"c": 2.0, "components": 4}).run(labels)
    seen = given(run)
    rows, test, cosines = by_hand(seen, 4)
    solver = LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000)
    solver.fit(rows / spread(rows), seen.pooled_labels)
    assert np.allclose(run.predictions, solver.predict_proba(test / spread(rows)), atol=1e-4)
    assert run.setup.strategy.tells()["cosines"] == pytest.approx(cosines, abs=1e-5)


def test_of_numbers_it_is_ridge_on_aligned_features():
    run = Bench(SubspaceAlignment, {"c": 2.0, "components": 4}).on_numbers().run(MANY_NUMBERS)
    seen = given(run)
    rows, test, _ = by_hand(seen, 4)
    solver = Ridge(alpha=0.5).fit(rows / spread(rows), seen.pooled_labels)
    expected = solver.predict(test / spread(rows))
    assert np.allclose(run.predictions.ravel(), expected.ravel(), atol=1e-3)


def test_with_all_axes_nothing_is_turned_and_each_domain_is_centred():
    run = Bench(SubspaceAlignment, {"components": 100}).run(0)
    seen, cosines = given(run), run.setup.strategy.tells()["cosines"]
    rows = seen.source - seen.source.mean(0)
    solver = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000)
    solver.fit(rows / spread(rows), seen.source_labels)
    expected = solver.predict_proba((seen.test - seen.target.mean(0)) / spread(rows))
    assert len(cosines) == seen.source.shape[1]
    assert cosines == pytest.approx(np.ones(len(cosines)), abs=1e-6)
    assert np.allclose(run.predictions, expected, atol=1e-4)
