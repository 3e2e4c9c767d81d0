"""Ridge regression on the frozen source: one decomposition, and leaving one out."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as Solver
from sklearn.linear_model import RidgeCV

from golden import golden
from transfergrid.strategies.closed_form.ridge import Ridge, RidgePath
from transfergrid.testing.bench import MANY_NUMBERS, Bench

PENALTIES = [1e-3, 0.3, 1.0, 40.0]


def table(n, width, outputs=2, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, width)) * np.linspace(0.1, 3, width) + 5
    return features, features[:, :outputs] @ rng.normal(size=(outputs, outputs)) + rng.normal(
        size=(n, outputs)
    )


@pytest.mark.proves("formula_exact", "ridge")
def test_the_path_is_the_golden_one_with_and_without_an_intercept():
    given, expected, tolerance = golden("ridge", "path")
    features, targets = np.array(given["X"]), np.array(given["y"])[:, None]
    weights, bias = RidgePath(features, targets).at(1.0)
    assert np.allclose(weights[0], expected["intercept_model_lambda1"]["w"], atol=tolerance)
    assert np.allclose(bias, expected["intercept_model_lambda1"]["b"], atol=tolerance)
    # Each row and its negative have no intercept, and twice the squares.
    both = RidgePath(np.vstack([features, -features]), np.vstack([targets, -targets]))
    for penalty, wanted in zip(given["lambdas"], expected["no_intercept"], strict=True):
        assert np.allclose(both.at(2 * penalty)[0][0], wanted, atol=tolerance)
    mean = both.at(2 * 4 * 1.0)[0][0]  # lambda times n: the penalty of the mean of squares
    assert np.allclose(mean, expected["lambda_times_n_1"], atol=tolerance)


@pytest.mark.proves("formula_exact", "ridge")
def test_errors_of_rows_that_are_left_out_are_the_golden_ones():
    given, expected, _ = golden("ridge", "path")
    features, targets = np.array(given["X"]), np.array(given["y"])[:, None]
    both = RidgePath(np.vstack([features, -features]), np.vstack([targets, -targets]))
    errors = targets - features @ both.at(2.0)[0].T
    own = 2 * (1 - errors / both.left_out(2.0)[:4] - 1 / 8)  # of one half, without intercept
    assert np.allclose(own[:, 0], expected["hat_diag_lambda1"], atol=1e-9)
    assert np.allclose((errors / (1 - own))[:, 0], expected["loo_residuals_lambda1"], atol=1e-9)


@pytest.mark.parametrize(("n", "width"), [(12, 40), (60, 7), (20, 20)])
def test_each_penalty_is_scikit_learns_fit(n, width):
    features, targets = table(n, width)
    path = RidgePath(features, targets)
    for penalty in PENALTIES:
        solver = Solver(alpha=penalty, solver="cholesky").fit(features, targets)
        weights, biases = path.at(penalty)
        assert np.allclose(weights, solver.coef_, atol=1e-8)
        assert np.allclose(biases, solver.intercept_, atol=1e-7)


@pytest.mark.parametrize(("n", "width"), [(9, 30), (30, 5)])
def test_leaving_one_out_is_fitting_without_it(n, width):
    features, targets = table(n, width)
    found = RidgePath(features, targets).left_out(0.3)
    for row in range(n):
        others = np.arange(n) != row
        solver = Solver(alpha=0.3).fit(features[others], targets[others])
        assert np.allclose(found[row], targets[row] - solver.predict(features[[row]])[0], atol=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_the_penalty_is_the_one_that_scikit_learn_chooses(seed):
    features, targets = table(25, 60, 1, seed)
    path = RidgePath(features, targets)
    solver = RidgeCV(alphas=path.penalties, gcv_mode="svd").fit(features, targets[:, 0])
    assert path.best() == pytest.approx(solver.alpha_)


def test_the_unit_of_features_and_of_each_output_plays_no_part():
    features, targets = table(20, 50)
    weights, biases = (path := RidgePath(features, targets)).at(path.best())
    other = RidgePath(1000 * features, targets * [1.0, 50.0])
    found, moved = other.at(other.best())
    assert np.allclose(1000 * found, weights * [[1.0], [50.0]], rtol=1e-6)
    assert np.allclose(moved, biases * [1.0, 50.0], rtol=1e-6)


def test_classes_as_minus_one_and_one_choose_and_predict_the_same():
    features, _ = table(18, 40)
    known = np.eye(3)[np.arange(18) % 3]
    one, other = RidgePath(features, known), RidgePath(features, 2 * known - 1)
    assert one.best() == other.best()
    said = [features @ p.at(p.best())[0].T + p.at(p.best())[1] for p in (one, other)]
    assert np.allclose(2 * said[0] - 1, said[1])


@pytest.mark.parametrize("rows", [1, 2])
def test_one_label_predicts_itself(rows):
    path = RidgePath(np.ones((rows, 3)), np.full((rows, 1), 7.0))
    weights, biases = path.at(path.best())
    assert np.allclose(weights, 0)
    assert np.allclose(biases, 7)


def cell(arguments, labels=10, numbers=False, texts=False):
    bench = Bench(Ridge, arguments)
    bench = bench.on_numbers() if numbers else bench
    run = (bench.on_texts() if texts else bench).run(labels)
    setup, backbone = run.setup, run.setup.backbone.eval()
    train, test = setup.data.train, setup.target.whole("test", setup.preprocess)
    with torch.no_grad():
        found = [backbone(view.inputs(view.rows)).double().numpy() for view in (train, test)]
    return run, *found, train.labels


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("labels", [3, 10])
def test_a_cell_predicts_what_scikit_learn_does_of_one_hot_labels(texts, labels):
    run, train, test, known = cell({}, labels, texts=texts)
    alphas = np.linalg.svd(train - train.mean(0), compute_uv=False)[0] ** 2
    solver = RidgeCV(alphas * 10.0 ** np.linspace(-8, 2, 41)).fit(train, np.eye(3)[known])
    expected = torch.from_numpy(solver.predict(test)).softmax(1)
    assert np.allclose(run.predictions, expected, atol=1e-4)
    assert (run.fitted.steps, run.fitted.chosen_by) == (0, "closed_form")
    told = run.setup.strategy.tells()
    assert told["penalty"] == pytest.approx(solver.alpha_, rel=1e-4)
    assert len(told["path"]["left_out_error"]) == len(told["path"]["penalty"]) == 41
    assert told["path"]["left_out_error"][told["path"]["penalty"].index(told["penalty"])] == min(
        told["path"]["left_out_error"]
    )


def test_of_numbers_it_predicts_in_their_own_unit():
    run, train, test, known = cell({"penalty": 2.0}, MANY_NUMBERS, numbers=True)
    solver = Solver(alpha=2.0).fit(train, known.reshape(len(train), -1))
    said = solver.predict(test).reshape(run.predictions.shape)
    assert np.allclose(run.predictions, said, rtol=1e-4, atol=1e-4)
