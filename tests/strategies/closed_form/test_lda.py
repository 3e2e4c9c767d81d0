"""Linear discriminant analysis with a shrunken covariance, against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from golden import golden
from transfergrid.strategies.closed_form.lda import LDA, discriminants, ledoit_wolf, within
from transfergrid.strategies.closed_form.prototypes import Prototypes
from transfergrid.testing.bench import Bench


def posteriors(features, weights, biases):
    logits = features @ weights.T + biases
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def table(n, width, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return rng.normal(size=(classes, width))[labels] + rng.normal(size=(n, width)), labels


@pytest.mark.proves("formula_exact", "lda")
def test_coefficients_and_posteriors_are_the_golden_ones():
    given, expected, tolerance = golden("lda", "shrinkage")
    told = np.array(given["X"]), np.array(given["y"]), 2
    weights, biases = discriminants(*told, given["shrinkage"])
    assert np.allclose(weights, expected["coefficients"], atol=tolerance)
    assert np.allclose(biases, expected["intercepts"], atol=tolerance)
    query = np.array(given["query"])
    found = posteriors(query, weights, biases)
    assert np.allclose(found, expected["probabilities"], atol=tolerance)
    plain = posteriors(query, *discriminants(*told, 0.0))
    assert np.allclose(plain, expected["probabilities_without_shrinkage"], atol=tolerance)


@pytest.mark.parametrize(("n", "width"), [(15, 60), (90, 8), (30, 30)])
@pytest.mark.parametrize("shrinkage", [0.1, 0.5, 1.0])
def test_posteriors_are_scikit_learns(n, width, shrinkage):
    features, labels = table(n, width)
    solver = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(features, labels)
    found = posteriors(features, *discriminants(features, labels, 3, shrinkage))
    assert np.allclose(found, solver.predict_proba(features), atol=1e-8)


@pytest.mark.parametrize(("n", "width"), [(15, 60), (90, 8)])
def test_without_a_number_shrinkage_is_ledoit_and_wolfs_within_classes(n, width):
    features, labels = table(n, width)
    means = np.stack([features[labels == k].mean(0) for k in range(3)])
    own = LedoitWolf(assume_centered=True).fit(features - means[labels])
    rows = within(features, labels, 3)[1]
    assert ledoit_wolf(rows) == pytest.approx(own.shrinkage_)
    found = discriminants(features, labels, 3, ledoit_wolf(rows))
    assert np.allclose(found[0], means @ np.linalg.inv(own.covariance_), atol=1e-8)


def test_shrunk_all_the_way_it_is_the_nearest_mean():
    one, other = (Bench(*told).run(10) for told in ((LDA, {"shrinkage": 1.0}), (Prototypes, {})))
    assert torch.equal(one.predictions.argmax(1), other.predictions.argmax(1))
    plain = Bench(LDA, {"shrinkage": 0.1}).run(10)
    assert not torch.allclose(plain.predictions, one.predictions, atol=1e-3)


def test_of_rows_that_do_not_vary_ledoit_and_wolf_shrink_all_the_way():
    assert ledoit_wolf(np.zeros((3, 5))) == 1.0


@pytest.mark.parametrize("shrinkage", [0.0, 0.5, 1.0])
def test_one_label_a_class_is_the_nearest_example(shrinkage):
    features = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    found = discriminants(features, np.arange(3), 3, shrinkage)
    near = features + np.array([0.5, 0.2])
    assert posteriors(near, *found).argmax(1).tolist() == [0, 1, 2]


def test_a_class_without_examples_is_never_predicted():
    features, labels = table(20, 4, 2)
    weights, biases = discriminants(features, 2 * labels, 3, 0.3)
    found = posteriors(100 * features, weights, biases)
    assert np.isfinite(found).all()
    assert found[:, 1].max() == 0.0


def test_priors_are_the_shares_of_the_training_labels():
    features = np.array([[-1.0], [-3.0], [1.0], [3.0], [1.0], [3.0]])
    labels = np.array([0, 0, 1, 1, 1, 1])
    found = posteriors(np.zeros((1, 1)), *discriminants(features, labels, 2, 0.0))
    assert found[0, 0] == pytest.approx(1 / 3)


@pytest.mark.parametrize("texts", [False, True])
def test_a_cell_predicts_what_scikit_learn_does_of_the_frozen_features(texts):
    bench = Bench(LDA, {"shrinkage": 0.4})
    run = (bench.on_texts() if texts else bench).run(10)
    setup, backbone = run.setup, run.setup.backbone.eval()
    train, test = setup.data.train, setup.target.whole("test", setup.preprocess)
    with torch.no_grad():
        one, other = (backbone(v.inputs(v.rows)).double().numpy() for v in (train, test))
    solver = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.4).fit(one, train.labels)
    assert np.allclose(run.predictions, solver.predict_proba(other), atol=1e-3)
    assert (run.fitted.steps, run.fitted.chosen_by) == (0, "closed_form")
    assert run.setup.strategy.tells() == {"shrinkage": 0.4}


def test_the_shrinkage_that_was_taken_is_told():
    run = Bench(LDA).run(10)
    backbone, view = run.setup.backbone.eval(), run.setup.data.train
    with torch.no_grad():
        features = backbone(view.inputs(view.rows)).double().numpy()
    rows = within(features, view.labels, 3)[1]
    assert run.setup.strategy.tells()["shrinkage"] == pytest.approx(ledoit_wolf(rows))
