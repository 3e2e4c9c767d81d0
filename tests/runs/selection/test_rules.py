"""Rules that choose without target labels: published and independent values, and their traps."""

import math

import numpy as np
import pytest
import torch

from golden import golden
from transfergrid.records.selection import LOWER, OF_SOURCE, RULES, Look, Selection, better
from transfergrid.runs.selection.bnm import nuclear_norm
from transfergrid.runs.selection.dev import density_ratios, embedded_risk
from transfergrid.runs.selection.entropy import mean_entropy
from transfergrid.runs.selection.information_maximization import information
from transfergrid.runs.selection.rules import SCORES
from transfergrid.runs.selection.shown import Shown
from transfergrid.runs.selection.snd import neighbourhood_density
from transfergrid.runs.selection.source_validation import score_on_source


def logits_of(given):
    return torch.tensor(given["logits"], dtype=torch.float64)


def test_entropy():
    given, expected, tolerance = golden("entropy_minimization", "loss")
    found = mean_entropy(logits_of(given))
    assert found == pytest.approx(np.mean(expected["entropy"]), abs=tolerance)
    assert given["weight"] * found == pytest.approx(expected["loss"], abs=tolerance)


def test_information_maximization():
    given, expected, tolerance = golden("information_maximization", "loss")
    found = information(logits_of(given))
    assert found == pytest.approx(expected["score"], abs=tolerance)
    mean = expected["entropy_of_mean"] - expected["mean_entropy"]
    assert found == pytest.approx(mean, abs=tolerance)


def test_snd():
    given, expected, tolerance = golden("select_snd", "score")
    found = neighbourhood_density(logits_of(given), given["T"])
    assert found == pytest.approx(expected["score"], abs=tolerance)


def test_bnm():
    given, expected, tolerance = golden("select_bnm", "score")
    said = torch.tensor(given["probabilities"], dtype=torch.float64)
    found = nuclear_norm(said.log())
    assert found == pytest.approx(expected["per_sample"], abs=tolerance)
    assert len(said) * found == pytest.approx(expected["nuclear_norm"], abs=len(said) * tolerance)


def sure(labels, classes=3):
    return 50.0 * torch.nn.functional.one_hot(torch.tensor(labels), classes).double()


def test_what_a_constant_model_scores():
    """It is the best there is by entropy and by SND; the other two do not fall for it."""
    one, balanced = sure([1] * 30), sure([0, 1, 2] * 10)
    assert mean_entropy(one) == pytest.approx(0.0, abs=1e-9)
    assert neighbourhood_density(one) == pytest.approx(math.log(29))
    assert neighbourhood_density(balanced) == pytest.approx(math.log(9), abs=1e-4)
    assert information(one) == pytest.approx(0.0, abs=1e-9)
    assert information(balanced) == pytest.approx(math.log(3))
    assert nuclear_norm(one) == pytest.approx(math.sqrt(1 / 30))
    assert nuclear_norm(balanced) == pytest.approx(math.sqrt(3 / 30))  # the bound


def test_entropy_and_information_of_sure_predictions_are_numbers():
    far = torch.tensor([[2000.0, 0.0], [0.0, 2000.0]]).double()
    assert mean_entropy(far) == 0.0
    assert information(far) == pytest.approx(math.log(2))
    assert math.isfinite(neighbourhood_density(far))


# DEV ---------------------------------------------------------------------------------------------


def test_dev_by_hand():
    """w = 1, 2, 3 and l = 1, 0, 1: mean wl = 4/3, cov(wl, w) = var(w) = 2/3, mean w = 2."""
    weights, losses = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 1.0])
    assert embedded_risk(weights, losses) == pytest.approx(4 / 3 - 1.0 * (2.0 - 1.0))


def test_without_any_shift_it_is_the_mean_loss():
    losses = np.array([0.3, 0.1, 2.0])
    assert embedded_risk(np.ones(3), losses) == pytest.approx(losses.mean())


def test_a_loss_that_is_the_same_everywhere_is_the_risk_whatever_the_weights():
    """The control variate takes all of the weights' own spread away."""
    weights = np.array([0.1, 5.0, 0.4, 2.0])
    assert embedded_risk(weights, np.full(4, 0.7)) == pytest.approx(0.7)


def test_density_ratios_are_those_of_two_gaussians():
    """N(0, 1) to N(1, 1): the logarithm of the ratio is x - 1/2, with 2 n_s = n_t too."""
    rng = np.random.default_rng(0)
    source, target = rng.normal(0, 1, (4000, 1)), rng.normal(1, 1, (8000, 1))
    at = np.linspace(-1.5, 2.5, 9)[:, None]
    found = np.log(density_ratios(source, target, at))
    slope, start = np.polyfit(at[:, 0], found, 1)
    assert slope == pytest.approx(1.0, abs=0.06)
    assert start == pytest.approx(-0.5, abs=0.06)


def test_a_feature_that_never_moves_does_no_harm():
    rows = np.array([[0.0, 3.0], [1.0, 3.0], [2.0, 3.0]])
    assert np.isfinite(density_ratios(rows, rows + np.array([1.0, 0.0]), rows)).all()


# Source validation -------------------------------------------------------------------------------


def test_source_validation_scores_probabilities():
    logits, labels = sure([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2])
    asked = []

    def score(said, truth):
        asked.append(said)
        return float((said.argmax(1) == truth).double().mean())

    assert score_on_source(logits, labels, score) == 0.75
    assert asked[0].sum(1).tolist() == pytest.approx([1.0] * 4)


# All ---------------------------------------------------------------------------------------------


def test_every_rule_has_a_score_and_takes_no_more_than_it_says():
    assert {*SCORES} == {*RULES}
    target = sure([0, 1, 2, 2])

    def refused(part):
        raise AssertionError(part)

    blind = Shown(predict={"target": target}.__getitem__, embed=refused, labels=None, score=refused)
    for rule in {*RULES} - OF_SOURCE:
        assert math.isfinite(SCORES[rule](blind))


def test_dev_takes_weights_at_the_held_out_examples_for_their_own_losses():
    rng = np.random.default_rng(1)
    parts = {name: torch.from_numpy(rng.normal(size=(40, 2))) for name in ("source", "held_out")}
    parts["target"] = torch.from_numpy(rng.normal(1.0, 1.0, (40, 2)))
    logits, labels = torch.from_numpy(rng.normal(size=(40, 3))), torch.arange(40) % 3
    seen = Shown({"held_out": logits}.__getitem__, parts.__getitem__, labels, lambda p, y: 0.0)
    losses = -logits.log_softmax(1)[torch.arange(40), labels].numpy()
    weights = density_ratios(*(parts[n].numpy() for n in ("source", "target", "held_out")))
    wl = weights * losses
    slope = -np.cov(wl, weights)[0, 1] / weights.var(ddof=1)
    assert SCORES["dev"](seen) == pytest.approx(wl.mean() + slope * (weights.mean() - 1))


def test_which_look_a_rule_would_have_chosen():
    rows = zip([0.5, 0.2, 0.2], [1.0, None, 3.0], [None, -1.0, 4.0], strict=True)
    looks = [
        Look(step=10 * i, scores=dict(zip(("entropy", "snd", "dev"), row, strict=True)))
        for i, row in enumerate(rows, 1)
    ]
    seen = Selection(looks=tuple(looks))
    assert seen.by("entropy").step == 20, "less is better, the first of equals"
    assert seen.by("snd").step == 30
    assert seen.by("dev").step == 20
    assert seen.by(None).step == 30, "the last one"
    assert seen.by("bnm") is None


def test_nothing_that_is_undefined_is_better():
    for rule in RULES:
        assert not better(rule, math.nan, 0.0)
        assert better(rule, 0.0, math.nan)
        assert better(rule, 1.0, 2.0) == (rule in LOWER)
