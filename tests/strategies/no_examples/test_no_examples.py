"""Classes without examples: published values, and that the target is told by descriptions alone."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from golden import golden
from transfergrid.strategies.no_examples.ale import ALE, ranking
from transfergrid.strategies.no_examples.direct_attribute_prediction import (
    DirectAttributePrediction,
    posterior,
)
from transfergrid.strategies.no_examples.eszsl import ESZSL, bilinear
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import CLASSES, TinyDomain


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "direct_attribute_prediction")
def test_a_class_is_as_likely_as_its_attributes_over_their_prior():
    given, expected, tolerance = golden("direct_attribute_prediction", "posterior")
    parts = [exact(given[n]) for n in ("p_attribute", "class_attributes", "attribute_prior")]
    found = posterior(*parts)
    torch.testing.assert_close(found.exp(), exact(expected["scores"]), rtol=0, atol=tolerance)
    shares = found.softmax(1)
    torch.testing.assert_close(shares, exact(expected["normalised"]), rtol=0, atol=tolerance)


def test_certain_attributes_leave_finite_scores():
    found = posterior(exact([[0.0, 1.0]]), exact([[1.0, 0.0], [0.0, 1.0]]), exact([0.5, 0.5]))
    assert found.isfinite().all()
    assert found.argmax(1).tolist() == [1]


def test_an_attribute_that_all_of_the_source_have_says_nothing():
    run = Bench(DirectAttributePrediction).run(0)
    strategy = run.setup.strategy
    strategy.map[0], strategy.offset[0], strategy.prior[0] = 0.0, 0.0, 0.5
    features = torch.randn(4, strategy.backbone.dim)
    strategy.features = lambda inputs: inputs
    before = strategy.predict(features).log_softmax(1)
    strategy.described[:, 0] = 1 - strategy.described[:, 0]
    torch.testing.assert_close(strategy.predict(features).log_softmax(1), before)


@pytest.mark.proves("formula_exact", "eszsl")
def test_the_map_is_the_closed_form():
    given, expected, tolerance = golden("eszsl", "closed_form")
    features, answers = exact(given["X_dim_by_samples"]).T, exact(given["Y"])
    described = exact(given["S_attr_by_class"]).T
    answers = answers[:, : len(described)] if answers.shape[1] != len(described) else answers
    found = bilinear(features, answers, described, given["gamma"], given["lam"])
    torch.testing.assert_close(found, exact(expected["V"]), rtol=0, atol=tolerance)
    scores = features @ found @ exact(given["unseen_S"])
    torch.testing.assert_close(scores, exact(expected["unseen_scores"]), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("gamma", "lam"), [(0.1, 2.0), (3.0, 0.01)])
def test_the_slope_of_its_objective_is_zero(gamma, lam):
    rng = np.random.default_rng(0)
    features, described = exact(rng.normal(size=(20, 5))), exact(rng.normal(size=(4, 3)))
    answers = exact(np.where(rng.random((20, 4)) < 0.3, 1.0, -1.0))
    found = bilinear(features, answers, described, gamma, lam).requires_grad_()
    left = (features @ found @ described.T - answers).square().sum()
    mapped = gamma * (found @ described.T).square().sum() + lam * (features @ found).square().sum()
    (slope,) = torch.autograd.grad(left + mapped + gamma * lam * found.square().sum(), found)
    assert slope.abs().max().item() < 1e-10


def test_penalties_that_are_given_are_taken():
    one, other = (Bench(ESZSL, {"gamma": 1e-3, "lam": lam}).run(0) for lam in (1e-3, 1e3))
    assert not torch.equal(one.predictions, other.predictions)
    assert torch.equal(one.state["head.bias"], torch.zeros(3))


@pytest.mark.proves("formula_exact", "ale")
def test_hinges_are_weighted_by_rank_summed_or_the_largest():
    given, expected, tolerance = golden("ale", "losses")
    matrix = exact(given["W"]).requires_grad_()
    scores = (exact(given["x"]) @ matrix @ exact(given["attributes"]).T)[None]
    assert scores[0].tolist() == pytest.approx(expected["scores"], abs=tolerance)
    label = torch.tensor([given["label"]])
    for name, ranked in (("ale_weighted", "weighted"), ("devise_sum", "sum"), ("sje_max", "max")):
        found = ranking(scores, label, given["margin"], ranked)
        assert found.item() == pytest.approx(expected[name], abs=tolerance)
    (slope,) = torch.autograd.grad(ranking(scores, label, given["margin"], "max"), matrix)
    torch.testing.assert_close(slope, exact(expected["gradient_sje"]), rtol=0, atol=tolerance)


@pytest.mark.parametrize("ranked", ["weighted", "sum", "max"])
def test_who_leads_by_the_margin_costs_nothing(ranked):
    scores = torch.tensor([[3.0, 1.9, -1.0]])
    assert ranking(scores, torch.tensor([0]), 1.0, ranked).item() == 0.0


@pytest.mark.parametrize("kind", [DirectAttributePrediction, ESZSL, ALE])
def test_predictions_follow_descriptions_and_no_label_of_the_target(kind):
    run = Bench(kind).run(0)
    assert run.setup.data.train is None
    assert run.predictions.shape[1] == 3
    assert run.fitted.taken["target"] == 0
    assert run.fitted.taken["unlabelled"] == 0


def test_ale_s_descriptions_have_length_1():
    run = Bench(ALE).run(0)
    attributes = run.setup.data.attributes
    torch.testing.assert_close(run.state["asked"], normalize(attributes, dim=1))


def test_what_eszsl_learns_and_chooses_depends_on_seen_classes_alone():
    """Whatever classes a target has: of those it shares, each is scored by the same numbers."""
    bench = Bench(ESZSL)
    whole, some = (bench.run(0, target).state for target in (None, TinyDomain(only=CLASSES[:2])))
    torch.testing.assert_close(whole["head.weight"][:2], some["head.weight"], rtol=0, atol=0)
