"""Sure of each input, and all classes among them: H(p) less the entropy of the mean."""

import math

import pytest
import torch

from golden import golden
from transfergrid.strategies.self_training.information_maximization import InformationMaximization


def loss_of(logits):
    return InformationMaximization().logits_loss(torch.as_tensor(logits, dtype=torch.float64))


@pytest.mark.proves("formula_exact", "information_maximization")
def test_the_value_is_the_published_one():
    given, expected, tolerance = golden("information_maximization", "loss")
    assert loss_of(given["logits"]).item() == pytest.approx(expected["loss"], abs=tolerance)
    parts = expected["mean_entropy"] - expected["entropy_of_mean"]
    assert loss_of(given["logits"]).item() == pytest.approx(parts, abs=tolerance)


@pytest.mark.proves("formula_exact", "information_maximization")
def test_it_is_least_where_predictions_are_sure_and_balanced():
    sure = 200 * torch.eye(3).repeat(2, 1)
    assert loss_of(sure).item() == pytest.approx(-math.log(3))
    assert loss_of(sure[:1].repeat(6, 1)).item() == pytest.approx(0.0, abs=1e-9)  # one class
    assert loss_of(torch.zeros(6, 3)).item() == pytest.approx(0.0, abs=1e-9)  # knows nothing


def test_a_part_of_a_batch_is_less_diverse_than_the_whole():
    """So it is another number by batch than over a set."""
    sure = 200 * torch.eye(3)
    parts = [loss_of(part).item() for part in (sure[:2], sure[2:])]
    assert parts == pytest.approx([-math.log(2), 0.0], abs=1e-9)


def test_true_frequencies_that_are_not_even_are_not_its_least():
    """The trap: what is right of three of one class and one of another is no optimum."""
    logits = (200 * torch.eye(2)[[0, 0, 0, 1]]).double().requires_grad_()
    true = loss_of(logits).item()
    assert true == pytest.approx(-(0.75 * math.log(4 / 3) + 0.25 * math.log(4)))
    assert loss_of(200 * torch.eye(2)[[0, 0, 1, 1]]).item() < true
