"""Feature augmentation: the published maps and weights, and scikit-learn on three times as many."""

import numpy as np
import pytest
from shallow_cells import given, spread
from sklearn.linear_model import LogisticRegression, Ridge

from golden import golden
from transfergrid.strategies.shallow.easy_adapt import EasyAdapt, augmented
from transfergrid.strategies.shallow.frozen import ridge_head
from transfergrid.testing.bench import MANY_NUMBERS, Bench


@pytest.mark.proves("formula_exact", "easy_adapt")
def test_the_published_augmentation():
    told, expected, tolerance = golden("easy_adapt", "augmentation_and_ridge")
    rows = augmented(np.array(told["source"]), np.array(told["target"]))
    assert rows[:1] == pytest.approx(np.array(expected["source_augmented"]))
    assert rows[1:] == pytest.approx(np.array(expected["target_augmented"]))
    assert rows[0] @ rows[1] == pytest.approx(expected["inner_product_across"], abs=tolerance)
    within = expected["inner_product_within_source"]
    assert rows[0] @ rows[0] == pytest.approx(within, abs=tolerance)


@pytest.mark.proves("formula_exact", "easy_adapt")
def test_the_published_ridge_weights():
    """These have no intercept: with each example's negative beside it there is none to find."""
    told, expected, tolerance = golden("easy_adapt", "augmentation_and_ridge")
    source, target = (np.array(told[f"ridge_{name}_x"])[:, None] for name in ("source", "target"))
    numbers = np.append(told["ridge_source_y"], told["ridge_target_y"])[:, None]
    rows = augmented(source, target)
    mirrored = np.vstack([rows, -rows]), np.vstack([numbers, -numbers])
    weights, intercepts = ridge_head(*mirrored, 2 * told["regularisation"])
    shared, ours, theirs = weights[0]
    names = "ridge_weights_shared_source_target"
    assert [shared, ours, theirs] == pytest.approx(expected[names], abs=tolerance)
    assert shared + ours == pytest.approx(expected["source_weight"], abs=tolerance)
    assert shared + theirs == pytest.approx(expected["target_weight"], abs=tolerance)
    assert intercepts == pytest.approx([0.0], abs=tolerance)


def by_hand(seen):
    """Return augmented features of the pooled examples and of the test ones, of unit spread."""
    source, labelled, test = seen.source, seen.labelled, seen.test
    rows = np.block([[source, source, 0 * source], [labelled, 0 * labelled, labelled]])
    unit = spread(rows)
    return rows / unit, np.hstack([test, 0 * test, test]) / unit


@pytest.mark.parametrize("c", [0.1, 30.0])
def test_a_cell_predicts_what_scikit_learn_does_of_the_augmented_features(c):
    run = Bench(EasyAdapt, {"c": c}).run(10)
    seen = given(run)
    rows, test = by_hand(seen)
    solver = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(rows, seen.pooled_labels)
    assert np.allclose(run.predictions, solver.predict_proba(test), atol=1e-4)
    assert (run.fitted.steps, run.fitted.chosen_by) == (0, "closed_form")


def test_of_numbers_it_is_ridge():
    run = Bench(EasyAdapt, {"c": 5.0}).on_numbers().run(MANY_NUMBERS)
    seen = given(run)
    rows, test = by_hand(seen)
    solver = Ridge(alpha=0.2).fit(rows, seen.pooled_labels)
    assert np.allclose(run.predictions.ravel(), solver.predict(test).ravel(), atol=1e-3)


def test_a_kernel_is_doubled_within_a_domain():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    rows = augmented(source, target)
    doubled = np.block(
        [[2 * source @ source.T, source @ target.T], [target @ source.T, 2 * target @ target.T]]
    )
    assert np.allclose(rows @ rows.T, doubled)
