"""A linear support vector machine of the squared hinge, against LIBSVM and a general optimiser."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.svm import SVC

from transfergrid.strategies.closed_form.squared_hinge import one_against_rest
from transfergrid.strategies.closed_form.svm import SVM
from transfergrid.testing.bench import Bench


def table(n, width, classes=3, seed=0, apart=0.5):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = apart * rng.normal(size=(classes, width))
    return 7 + 4 * (centres[labels] + rng.normal(size=(n, width))), labels


def scaled(features):
    """Return features less their mean, divided by the root of their mean squared length."""
    moved = features - features.mean(0)
    return moved / np.sqrt((moved**2).sum(1).mean())


def margins_of_libsvm(features, labels, classes, c):
    """Squared hinges are a hard margin under the kernel x'z + [x is z] / 2C; its bias is free."""
    rows, found = scaled(features), []
    kernel = rows @ rows.T
    for k in range(classes):
        signs = 2 * (labels == k) - 1
        hard = SVC(C=1e9, kernel="precomputed", tol=1e-10)
        hard.fit(kernel + np.eye(len(rows)) / (2 * c), signs)
        found.append(kernel[:, hard.support_] @ hard.dual_coef_[0] + hard.intercept_[0])
    return np.stack(found, axis=1)


def objective(features, signs, c, weights, bias):
    short = np.maximum(0, 1 - signs * (features @ weights + bias))
    return weights @ weights / 2 + c * (short**2).sum()


@pytest.mark.proves("formula_exact", "svm")
@pytest.mark.parametrize(("n", "width"), [(15, 50), (90, 6), (40, 40)])
@pytest.mark.parametrize("c", [1e-3, 1.0, 50.0])
def test_its_margins_are_those_of_libsvm(n, width, c):
    features, labels = table(n, width)
    weights, biases = one_against_rest(features, labels, 3, c)
    expected = margins_of_libsvm(features, labels, 3, c)
    assert np.allclose(features @ weights.T + biases, expected, atol=1e-5)


@pytest.mark.proves("formula_exact", "svm")
@pytest.mark.parametrize("c", [0.03, 1.0, 1e3])
def test_no_general_optimiser_gets_below_its_objective(c):
    features, labels = table(45, 8)
    rows, (weights, biases) = scaled(features), one_against_rest(features, labels, 3, c)
    unit = np.sqrt(((features - features.mean(0)) ** 2).sum(1).mean())
    for k in range(3):
        signs = 2.0 * (labels == k) - 1
        own = objective(
            rows, signs, c, unit * weights[k], biases[k] + features.mean(0) @ weights[k]
        )
        told = minimize(
            lambda x, signs=signs: objective(rows, signs, c, x[:-1], x[-1]),
            np.zeros(9),
            method="BFGS",
            options={"gtol": 1e-8},
        )
        assert own == pytest.approx(told.fun, rel=1e-6)
        assert own <= told.fun * (1 + 1e-9)


def test_examples_beyond_their_margin_have_no_say():
    features = np.array([[-1.0], [-3.0], [1.0], [3.0]])
    labels = np.array([0, 0, 1, 1])
    moved = features * [[1.0], [9.0], [1.0], [9.0]]
    unit = [np.sqrt((rows**2).mean()) for rows in (features, moved)]
    found = [
        one_against_rest(rows, labels, 2, 100.0 * of**2)
        for rows, of in zip((features, moved), unit, strict=True)
    ]
    assert np.allclose(found[0][0], found[1][0])
    assert np.allclose(found[0][1], 0)


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_the_unit_of_features_plays_no_part(unit):
    features, labels = table(30, 12)
    one, other = (one_against_rest(rows, labels, 3, 1.0) for rows in (features, unit * features))
    assert np.allclose(one[0], unit * other[0], rtol=1e-6, atol=1e-8)
    assert np.allclose(one[1], other[1], atol=1e-6)


def test_a_class_without_examples_is_never_predicted_and_one_class_alone_always():
    features, labels = table(20, 5, 2)
    weights, biases = one_against_rest(features, 2 * labels, 3, 1.0)
    assert set((features @ weights.T + biases).argmax(1)) == {0, 2}
    weights, biases = one_against_rest(features, np.full(20, 1), 3, 1.0)
    assert set((100 * features @ weights.T + biases).argmax(1)) == {1}


def test_separable_classes_of_a_large_c_have_an_optimum_too():
    features, labels = table(60, 100, 4, apart=3.0)
    weights, biases = one_against_rest(features, labels, 4, 1e3)
    assert ((features @ weights.T + biases).argmax(1) == labels).all()


@pytest.mark.parametrize("texts", [False, True])
def test_a_cell_predicts_by_the_margins_of_the_frozen_features(texts):
    bench = Bench(SVM, {"c": 2.0})
    run = (bench.on_texts() if texts else bench).run(10)
    setup, backbone = run.setup, run.setup.backbone.eval()
    train, test = setup.data.train, setup.target.whole("test", setup.preprocess)
    with torch.no_grad():
        one, other = (backbone(v.inputs(v.rows)).double().numpy() for v in (train, test))
    weights, biases = one_against_rest(one, train.labels, 3, 2.0)
    expected = torch.from_numpy(other @ weights.T + biases).softmax(1)
    assert np.allclose(run.predictions, expected, atol=1e-4)
    assert (run.fitted.steps, run.fitted.chosen_by) == (0, "closed_form")
