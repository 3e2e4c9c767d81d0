"""Nearest neighbours vote by the weights of DINO (Caron et al. 2021)."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from golden import golden
from transfergrid.strategies.closed_form.knn import KNN, neighbour_weights
from transfergrid.testing.bench import MANY_NUMBERS, Bench


def kept(arguments=None, labels=10, numbers=False, texts=False):
    """Return a run of a cell, and features and labels of its training and its test examples."""
    bench = Bench(KNN, arguments or {})
    bench = bench.on_numbers() if numbers else bench
    run = (bench.on_texts() if texts else bench).run(labels)
    setup, backbone = run.setup, run.setup.backbone.eval()
    views = setup.data.train, setup.target.whole("test", setup.preprocess)
    with torch.no_grad():
        found = [backbone(view.inputs(view.rows)).double().numpy() for view in views]
    return run, [f / np.linalg.norm(f, axis=1, keepdims=True) for f in found], views[0].labels


def by_scikit_learn(kind, train, labels, test, k, temperature=0.07):
    """Unit vectors have the squared distance 2 - 2 s."""
    solver = kind(k, weights=lambda far: np.exp((1 - far**2 / 2) / temperature))
    return solver.fit(train, labels)


@pytest.mark.proves("formula_exact", "knn")
def test_its_votes_are_those_of_dino():
    given, expected, tolerance = golden("knn", "dino")
    train, test = (torch.tensor(given[n], dtype=torch.float64) for n in ("train", "test"))
    similar = torch.nn.functional.normalize(test) @ torch.nn.functional.normalize(train).T
    assert np.allclose(similar[0], expected["similarities"], atol=1e-8)
    weights = neighbour_weights(similar, given["k"], given["T"])
    assert weights[0].nonzero()[:, 0].tolist() == sorted(expected["neighbours"])
    votes = weights @ torch.nn.functional.one_hot(torch.tensor(given["train_y"])).double()
    assert np.allclose(votes / votes.sum(), expected["normalised_scores"], atol=tolerance)
    assert votes.argmax() == expected["prediction"]


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("texts", [False, True])
def test_a_cell_predicts_what_scikit_learn_does_of_unit_features(k, texts):
    run, (train, test), labels = kept({"k": k}, texts=texts)
    expected = by_scikit_learn(KNeighborsClassifier, train, labels, test, k).predict_proba(test)
    assert np.allclose(run.predictions, expected, atol=1e-5)
    assert (run.fitted.steps, run.fitted.chosen_by) == (0, "closed_form")


def test_of_numbers_it_is_the_weighted_mean():
    run, (train, test), labels = kept({"k": 4}, MANY_NUMBERS, numbers=True)
    solver = by_scikit_learn(KNeighborsRegressor, train, labels, test, 4)
    assert np.allclose(run.predictions.ravel(), solver.predict(test).ravel(), atol=1e-4)


def test_more_neighbours_than_there_are_examples_are_all_of_them():
    similar = torch.tensor([[0.9, 0.5, -0.2]])
    all_of_them = neighbour_weights(similar, 3, 0.07)
    assert torch.equal(neighbour_weights(similar, 200, 0.07), all_of_them)
    assert (all_of_them > 0).all()


def test_the_order_of_tied_neighbours_plays_no_part():
    similar = torch.tensor([[0.9, 0.5, 0.5, 0.5, 0.1]])
    weights = neighbour_weights(similar, 2, 0.07)[0]
    assert torch.allclose(weights[1:4], torch.full((3,), float(np.exp(-0.4 / 0.07) / 3)))
    assert weights[4] == 0
    turned = neighbour_weights(similar.flip(1), 2, 0.07)[0].flip(0)
    assert torch.allclose(weights, turned)


def test_the_length_of_features_plays_no_part():
    run, _, _ = kept({"k": 20})
    strategy, view = run.setup.strategy, run.setup.target.whole("test", run.setup.preprocess)
    inputs, embed = view.inputs(view.rows), strategy.backbone.embed
    with torch.no_grad():
        before = strategy.predict(inputs)
        strategy.backbone.embed = lambda inputs: 100 * embed(inputs)
        assert torch.allclose(strategy.predict(inputs), before, atol=1e-4)


def test_a_class_without_a_vote_has_almost_no_probability_and_a_finite_loss():
    run, _, labels = kept({"k": 1})
    assert run.predictions.isfinite().all()
    assert run.predictions.min() <= 1.1e-12
    assert len(set(labels)) == 3


def test_validation_chooses_how_many_vote_and_without_it_twenty_do():
    run, (train, test), labels = kept()
    (path,) = run.fitted.paths
    assert (path.name, tuple(path.values)) == ("k", (10, 20, 100, 200))
    assert run.state["neighbours"] == path.chosen
    k = min(int(path.chosen), len(train))
    expected = by_scikit_learn(KNeighborsClassifier, train, labels, test, k).predict_proba(test)
    assert np.allclose(run.predictions, expected, atol=1e-5)
    assert kept(labels=3)[0].state["neighbours"] == 20
