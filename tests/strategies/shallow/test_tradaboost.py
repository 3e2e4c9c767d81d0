"""TrAdaBoost: the published update, and a loop of its own on scikit-learn's regressions."""

import numpy as np
import pytest
import torch
from shallow_cells import given, spread
from sklearn.linear_model import LogisticRegression

from golden import golden
from transfergrid.strategies.shallow.frozen import Frozen
from transfergrid.strategies.shallow.source_probe import SourceProbe
from transfergrid.strategies.shallow.tradaboost import Tradaboost, boosted, shrinking
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "tradaboost")
def test_the_published_update():
    told, expected, tolerance = golden("tradaboost", "update")
    beta = shrinking(told["n_source_for_beta"], told["rounds"])
    assert beta == pytest.approx(expected["beta"], abs=tolerance)
    assert beta != pytest.approx(expected["beta_misread_ln_of_n_over_N_WRONG"], abs=0.1)
    source, target = np.array(told["source_weights"]), np.array(told["target_weights"])
    wrong = np.array(told["source_wrong"]), np.array(told["target_wrong"])
    after = boosted(source, target, wrong, beta)
    assert after.error == pytest.approx(expected["error_target"], abs=tolerance)
    assert after.odds == pytest.approx(expected["beta_t"], abs=tolerance)
    assert after.source == pytest.approx(expected["new_source"], abs=tolerance)
    assert after.target == pytest.approx(expected["new_target"], abs=tolerance)
    vote = expected["vote_weight_log_1_over_beta_t"]
    assert np.log(1 / after.odds) == pytest.approx(vote, abs=tolerance)


def test_where_no_target_example_is_wrong_their_weights_stay_and_the_vote_is_finite():
    nothing = np.zeros(4)
    after = boosted(np.ones(2), np.ones(4), (np.array([1.0, 0.0]), nothing), 0.5, 1 / 8)
    assert after.target.tolist() == [1, 1, 1, 1]
    assert after.source.tolist() == [0.5, 1]
    assert after.odds == pytest.approx(1 / 7)
    assert boosted(np.ones(2), np.ones(4), (np.zeros(2), nothing), 0.5).odds == 0.0


def by_hand(rows, labels, n, rounds, c, tests):
    """Return shares of votes by class of tests, and the source's weights and errors on the way."""
    k, unit = len(rows) - n, spread(rows)
    weights, said, errors = np.ones(len(rows)), [], []
    for _ in range(rounds):
        solver = LogisticRegression(C=c, tol=1e-10, max_iter=10_000)
        solver.fit(rows / unit, labels, weights / weights.mean())
        wrong = solver.predict(rows / unit) != labels
        error = (weights * wrong)[n:].sum() / weights[n:].sum() or 0.5 / k
        if error >= 0.5:
            break
        errors.append(error)
        said.append(np.eye(3)[solver.predict(tests / unit)])
        weights[:n] *= (1 / (1 + (2 * np.log(n) / rounds) ** 0.5)) ** wrong[:n]
        weights[n:] /= (error / (1 - error)) ** wrong[n:]
    half = int(np.ceil(len(said) / 2)) - 1
    votes = np.log((1 - np.array(errors)) / np.array(errors))[half:]
    return np.tensordot(votes, np.array(said[half:]), 1) / votes.sum(), weights, errors


def confused(n=90, k=24, seed=0):
    """Return examples of three classes that overlap, a third of the source's labels wrong."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n + k) % 3
    rows = 1.2 * rng.normal(size=(3, 5))[labels] + rng.normal(size=(n + k, 5))
    labels[:n][rng.random(n) < 0.35] = 1
    return rows, labels


def attached(rounds, c=1.0):
    strategy = Tradaboost(rounds, c)
    setup = Bench(Tradaboost, {"rounds": rounds, "c": c}).set_up(10, strategy=strategy)
    return setup.strategy


@pytest.mark.parametrize("rounds", [1, 2, 7, 10])
def test_it_votes_as_a_loop_of_its_own(rounds):
    """Of the tiny network's width, so that a cell's strategy takes them."""
    strategy = attached(rounds, 0.3)
    rows, labels = confused()
    rows = np.pad(rows, ((0, 0), (0, strategy.backbone.dim - 5)))
    strategy.adapt(Frozen(rows[:90], labels[:90], rows[:0], rows[90:], labels[90:]))
    tests = np.random.default_rng(1).normal(size=(40, rows.shape[1]))
    expected, weights, errors = by_hand(rows, labels, 90, rounds, 0.3, tests)
    strategy.features = lambda inputs: inputs
    found = strategy.predict(torch.from_numpy(tests).float()).softmax(1)
    assert np.allclose(found, expected, atol=1e-5)
    told = strategy.tells()
    share = weights[:90].sum() / weights.sum()
    assert told["rounds"] == len(errors)
    assert told["source_share"] == pytest.approx(share, rel=1e-6)
    assert (strategy.votes > 0).sum() == len(errors) - int(np.ceil(len(errors) / 2)) + 1


def test_source_examples_only_ever_lose_weight_and_wrong_labels_most():
    strategy = attached(20)
    rows, labels = confused()
    rows = np.pad(rows, ((0, 0), (0, strategy.backbone.dim - 5)))
    strategy.adapt(Frozen(rows[:90], labels[:90], rows[:0], rows[90:], labels[90:]))
    assert strategy.tells()["source_share"] < 90 / 114


def test_a_first_round_that_is_no_better_than_a_coin_is_all_there_is():
    strategy = attached(5)
    rows = np.zeros((60, strategy.backbone.dim))
    labels = np.r_[np.zeros(40, int), np.tile([1, 2], 10)]
    strategy.adapt(Frozen(rows[:40], labels[:40], rows[:0], rows[40:], labels[40:]))
    assert strategy.votes.tolist() == [1, 0, 0, 0, 0]
    assert strategy.tells()["rounds"] == 1


def test_one_round_says_what_the_source_probe_does():
    one, other = (Bench(*told).run(10) for told in ((Tradaboost, {"rounds": 1}), (SourceProbe, {})))
    assert torch.equal(one.predictions.argmax(1), other.predictions.argmax(1))
    assert set(one.predictions.unique().round(decimals=4).tolist()) == {0.0, 1.0}


def test_a_cell_votes_of_the_frozen_features():
    run = Bench(Tradaboost, {"rounds": 6, "c": 0.05}).run(10)
    seen = given(run)
    told = by_hand(seen.pooled, seen.pooled_labels, 60, 6, 0.05, seen.test)
    assert np.allclose(run.predictions, told[0], atol=1e-4)
