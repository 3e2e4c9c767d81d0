"""The two arms that need no source: majority class and logistic regression."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression as Solver

from transfergrid.data.examples import Examples
from transfergrid.data.streams import CellData
from transfergrid.data.task import Classification
from transfergrid.data.views import Prepared, View
from transfergrid.records.training import Training
from transfergrid.runs.driver import Driver
from transfergrid.runs.machine import Machine
from transfergrid.strategies.base import Sizes
from transfergrid.strategies.baselines.logistic_regression import LogisticRegression
from transfergrid.strategies.baselines.majority import Majority
from transfergrid.strategies.baselines.ridge_regression import RidgeRegression
from transfergrid.testing.bench import Bench


def solved(rows, labels, c=1.0):
    """Return scikit-learn's solver at its optimum; as it comes it stops up to 1e-2 before."""
    return Solver(C=c, tol=1e-10, max_iter=10_000).fit(np.float64(rows), labels)


class Rows(Examples):
    def __init__(self, rows, labels):
        self.rows, self.labels = rows, labels

    def read(self, indices):
        return self.rows[indices]


class AsTheyAre:
    def prepare(self, raw):
        return torch.from_numpy(raw)

    def finish(self, prepared, augmentation, rng):
        return prepared


def table(labels, classes, width=5, scale=1.0):
    """Return rows of numbers about a centre of each class, as a cell's data."""
    rng = np.random.default_rng(0)
    labels = np.array(labels)
    centres = rng.normal(size=(len(classes), width))
    rows = scale * (centres[labels] + rng.normal(size=(len(labels), width))).astype(np.float32)
    view = View(Prepared(Rows(rows, labels), AsTheyAre()), np.arange(len(labels)), labels)
    return CellData(Classification(tuple(classes)), view, None), rows


def predicted(strategy, data, rows):
    sizes = Sizes(inputs=rows.shape[1])
    strategy.attach(None, data.task, Training(), 0, sizes=sizes)
    machine = Machine(accelerator="cpu")
    Driver(strategy, data, machine, "accuracy", lambda values, step: None).run()
    return strategy.eval()(torch.from_numpy(rows)).softmax(dim=1).numpy()


@pytest.mark.proves("formula_exact", "majority")
def test_majority_predicts_the_frequencies_of_the_training_labels():
    data, rows = table([0, 0, 0, 2, 2, 1, 0, 0], "abcd")
    expected = np.array([5, 1, 2, 0]) / 8
    assert np.allclose(predicted(Majority(), data, rows), expected, atol=1e-6)


def test_majority_does_not_look_at_the_input():
    data, rows = table([0, 1, 1], "ab")
    assert np.array_equal(predicted(Majority(), data, rows), predicted(Majority(), data, rows * 0))


@pytest.mark.proves("formula_exact", "logistic_regression")
@pytest.mark.parametrize(
    ("labels", "classes"),
    [([0, 1] * 10, "ab"), ([0, 1, 2] * 8, "abc"), ([0, 0, 1, 2, 2, 2, 2] * 4, "abc")],
)
@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_logistic_regression_is_scikit_learns(labels, classes, c):
    data, rows = table(labels, classes)
    solver = solved(rows, labels, c)
    found = predicted(LogisticRegression(c=c), data, rows)
    assert np.allclose(found, solver.predict_proba(rows), atol=1e-5)


@pytest.mark.parametrize("labels", [[0, 2] * 9, [3, 1, 0] * 6])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_a_class_without_examples_gets_no_probability(labels, scale):
    data, rows = table(labels, "abcd", scale=scale)
    found = predicted(LogisticRegression(), data, rows)
    solver = solved(rows, labels)
    known, missing = np.unique(labels), np.setdiff1d(np.arange(4), labels)
    assert np.allclose(found[:, known], solver.predict_proba(rows), atol=1e-5)
    assert found[:, missing].max() < 1e-9


def test_labels_of_one_class_alone_predict_that_class():
    data, rows = table([1, 1, 1], "abc")
    assert np.allclose(predicted(LogisticRegression(), data, rows), [0, 1, 0], atol=1e-9)


def test_logistic_regression_sees_pixels_of_the_given_labels_alone():
    run = Bench(LogisticRegression).run(10)
    setup, loaded = run.setup, run.setup.target.loaded
    train = setup.drawn.train
    pixels = loaded.pool.read(train).reshape(len(train), -1) / np.float32(255)
    tests = loaded.test.read(np.arange(24)).reshape(24, -1) / np.float32(255)
    solver = solved(pixels, loaded.pool.labels[train])
    assert np.allclose(run.predictions, solver.predict_proba(tests), atol=1e-5)
    assert (run.fitted.steps, run.fitted.chosen_by) == (0, "closed_form")


@pytest.mark.proves("formula_exact", "ridge_regression")
@pytest.mark.parametrize("alpha", [0.1, 30.0])
def test_ridge_regression_solves_the_normal_equations_of_centred_pixels(alpha):
    run = Bench(RidgeRegression, {"alpha": alpha}).on_numbers().run(50)
    setup, loaded = run.setup, run.setup.target.loaded
    train = setup.drawn.train
    pixels = loaded.pool.read(train).reshape(len(train), -1) / 255
    tests = loaded.test.read(np.arange(len(loaded.test))).reshape(len(loaded.test), -1) / 255
    numbers = np.reshape(loaded.pool.labels[train], (len(train), -1))
    centred, apart = pixels - pixels.mean(0), numbers - numbers.mean(0)
    normal = centred.T @ centred + alpha * np.eye(pixels.shape[1])
    weights = np.linalg.solve(normal, centred.T @ apart)
    expected = numbers.mean(0) + (tests - pixels.mean(0)) @ weights
    assert np.allclose(run.predictions, expected, rtol=1e-4, atol=1e-4)
