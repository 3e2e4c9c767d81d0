"""Softmax regression: one optimum, whichever way it is asked for."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from golden import golden
from transfergrid.strategies.closed_form.softmax_regression import Rows, logistic_head, solve

RIDGES = 10.0 ** -np.arange(6)


def table(n, width, classes=3, seed=0):
    """Return features about a centre of each class, and labels that have each class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = 0.5 * rng.normal(size=(classes, width))
    return centres[labels] + rng.normal(size=(n, width)), labels


def fitted(features, labels, ridges=RIDGES, **told):
    heads = solve(Rows.of(features), labels, labels.max() + 1, np.array(ridges), **told)
    assert heads.converged.all()
    return heads


def same(one, other, atol=1e-7):
    return np.allclose(one.weights, other.weights, atol=atol) and np.allclose(
        one.biases, other.biases, atol=atol
    )


def probabilities(features, weights, biases):
    logits = features @ weights.T + biases
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def gradient(head, features, labels, ridge):
    """Return the largest derivative of the penalised mean loss, from its definition."""
    weights, biases = head
    off = probabilities(features, weights, biases) - np.eye(len(biases))[labels]
    towards = off.T @ features / len(features) + ridge * weights
    return max(abs(towards).max(), abs(off.mean(axis=0)).max())


@pytest.mark.parametrize(("n", "width"), [(30, 200), (200, 30), (50, 50)])
def test_each_of_many_penalties_is_at_its_optimum(n, width):
    features, labels = table(n, width)
    heads = fitted(features, labels)
    for number, ridge in enumerate(RIDGES):
        head = heads.weights[number], heads.biases[number]
        assert gradient(head, features, labels, ridge) < 1e-7
    assert (heads.gradients < 1e-8).all()
    assert (np.diff(np.square(heads.weights).sum(axis=(1, 2))) > 0).all()  # freer, larger


@pytest.mark.parametrize(("n", "width"), [(30, 200), (200, 30)])
def test_many_penalties_at_once_are_each_one_alone(n, width):
    features, labels = table(n, width)
    together = fitted(features, labels, tolerance=1e-11)
    for number, ridge in enumerate(RIDGES):
        alone = fitted(features, labels, [ridge], tolerance=1e-11)
        assert np.allclose(together.weights[number], alone.weights[0], atol=1e-8)
        assert np.allclose(together.biases[number], alone.biases[0], atol=1e-8)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize(("n", "width"), [(28, 60), (140, 10)])
@pytest.mark.parametrize("c", [0.01, 1.0, 30.0])
def test_it_is_scikit_learns_optimum(classes, n, width, c):
    features, labels = table(n, width, classes)
    solver = LogisticRegression(C=c, solver="newton-cg", tol=1e-10).fit(features, labels)
    weights, biases = logistic_head(features, labels, classes, c)
    others, _ = table(20, width, classes, seed=1)
    found = probabilities(others, weights, biases)
    assert np.allclose(found, solver.predict_proba(others), atol=1e-6)


def test_the_published_value():
    given, expected, tolerance = golden("logistic_probe", "ridge_logistic")
    weights, biases = logistic_head(np.array(given["X"]), np.array(given["y"]), 2, given["C"])
    assert weights[1] - weights[0] == pytest.approx(expected["w"], abs=tolerance)
    assert biases[1] - biases[0] == pytest.approx(expected["b"], abs=tolerance)


def test_one_number_and_two_classes_by_hand():
    """Of x = -1 and 1, v the weight of the second class, ridge v = 1 / (1 + e^(2v)) / 2."""
    v = 0.7
    ridge = 1 / (1 + np.exp(2 * v)) / v
    heads = fitted(np.array([[-1.0], [1.0]]), np.array([0, 1]), [ridge])
    assert heads.weights[0] == pytest.approx(np.array([[-v], [v]]), abs=1e-8)
    assert heads.biases[0] == pytest.approx([0, 0], abs=1e-8)


@pytest.mark.parametrize(("n", "width"), [(30, 80), (90, 10)])
def test_what_must_not_move_the_optimum(n, width):
    features, labels = table(n, width)
    own = fitted(features, labels)
    twice = fitted(np.tile(features, (2, 1)), np.tile(labels, 2))
    order = np.random.default_rng(1).permutation(n)
    shuffled = fitted(features[order], labels[order])
    constant = fitted(np.c_[features, np.full(n, 5.0)], labels)
    assert same(own, twice)
    assert same(own, shuffled)
    assert np.allclose(constant.weights[..., -1], 0)
    assert np.allclose(constant.weights[..., :-1], own.weights, atol=1e-7)


def test_the_bias_takes_up_what_all_features_are_moved_by():
    features, labels = table(30, 80)
    own, moved = fitted(features, labels), fitted(features + 100.0, labels)
    assert np.allclose(own.weights, moved.weights, atol=1e-7)
    assert np.allclose(own.biases, moved.biases + 100.0 * moved.weights.sum(axis=2), atol=1e-5)


def test_classes_may_bear_other_numbers():
    features, labels = table(30, 80)
    names = np.array([2, 0, 1])
    own, named = fitted(features, labels), fitted(features, names[labels])
    assert np.allclose(own.weights, named.weights[:, names], atol=1e-7)
    assert np.allclose(own.biases, named.biases[:, names], atol=1e-7)


def test_sparse_rows_have_the_optimum_of_dense_ones():
    features, labels = table(60, 40)
    features[np.random.default_rng(1).random(features.shape) < 0.8] = 0.0
    assert same(fitted(csr_matrix(features), labels), fitted(features, labels), atol=1e-5)


def test_what_can_be_told_apart_stays_finite_without_a_penalty_to_speak_of():
    features, labels = np.array([[-1.0], [-2.0], [1.0], [3.0]]), np.array([0, 0, 1, 1])
    heads = solve(Rows.of(features), labels, 2, np.array([1e-6, 1e-12, 1e-300]))
    assert heads.converged.tolist() == [True, True, False]  # the last one has no optimum near
    assert np.isfinite(heads.weights).all()
    assert (np.diff(heads.weights[:, 1, 0]) > 0).all()


def test_a_weak_penalty_is_at_its_own_optimum():
    """Of x = -1 and 1, as below: where hardly any loss is left its gradient is next to none."""
    v = 20.0
    ridge = 1 / (1 + np.exp(2 * v)) / v
    heads = fitted(np.array([[-1.0], [1.0]]), np.array([0, 1]), [ridge])
    assert heads.weights[0] == pytest.approx(np.array([[-v], [v]]), rel=1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_features_of_any_size(scale):
    features, labels = table(30, 80)
    own = fitted(features, labels, RIDGES)
    scaled = fitted(scale * features, labels, RIDGES * scale**2)
    assert np.allclose(own.weights, scale * scaled.weights, atol=1e-6)


def test_features_that_say_nothing_leave_the_frequencies():
    heads = fitted(np.ones((4, 3)), np.array([0, 1, 1, 1]), [0.1])
    assert not heads.weights.any()
    assert heads.biases[0, 1] - heads.biases[0, 0] == pytest.approx(np.log(3), abs=1e-7)


@pytest.mark.parametrize("n", [1, 5])
def test_one_class_alone_is_predicted_and_nothing_is_fitted(n):
    weights, biases = logistic_head(np.ones((n, 2)), np.full(n, 1), 3, c=1.0)
    assert not weights.any()
    assert biases.argmax() == 1
    assert biases[1] - biases[0] > 20


def test_a_class_without_examples_is_never_predicted():
    features, labels = table(20, 5, classes=2)
    weights, biases = logistic_head(100 * features, 2 * labels, 3, c=100.0)
    logits = 100 * features @ weights.T + biases
    assert (logits[:, 1] < logits.max(axis=1) - 20).all()


def test_what_has_not_converged_says_so():
    features, labels = table(30, 80)
    heads = solve(Rows.of(features), labels, 3, np.array([1e4, 1e-6]), most=3)
    assert heads.converged.tolist() == [True, False]
    assert heads.steps[1] == 3
    assert heads.gradients[1] > 1e-8
    with pytest.warns(UserWarning, match=r"c=1e\+06 is not at its optimum after 2 steps"):
        logistic_head(features, labels, 3, c=1e6, most=2)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(("n", "width"), [(30, 60), (120, 10)])
def test_examples_that_count_unevenly_are_scikit_learns_sample_weights(classes, n, width):
    features, labels = table(n, width, classes)
    counts = np.random.default_rng(2).exponential(size=n) ** 2
    solver = LogisticRegression(C=0.7, solver="newton-cg", tol=1e-10)
    solver.fit(features, labels, sample_weight=counts)
    weights, biases = logistic_head(features, labels, classes, 0.7, counts=counts)
    others, _ = table(20, width, classes, seed=1)
    found = probabilities(others, weights, biases)
    assert np.allclose(found, solver.predict_proba(others), atol=1e-6)
    plain = logistic_head(features, labels, classes, 0.7)
    assert not np.allclose(found, probabilities(others, *plain), atol=1e-3)


def test_an_example_that_counts_twice_is_there_twice_and_one_that_does_not_is_not_there():
    features, labels = table(40, 12)
    counts = np.arange(40) % 3
    there = np.repeat(np.arange(40), counts)
    told = logistic_head(features, labels, 3, 2.0, counts=counts.astype(float))
    repeated = logistic_head(features[there], labels[there], 3, 2.0)
    assert np.allclose(told[0], repeated[0], atol=1e-6)
    assert np.allclose(told[1], repeated[1], atol=1e-6)
    once = logistic_head(features, labels, 3, 2.0, counts=np.ones(40))
    plain = logistic_head(features, labels, 3, 2.0)
    assert np.array_equal(once[0], plain[0])
    of_none = logistic_head(features, labels, 3, 2.0, counts=(labels != 1).astype(float))
    assert (probabilities(features, *of_none)[:, 1] < 1e-9).all()
