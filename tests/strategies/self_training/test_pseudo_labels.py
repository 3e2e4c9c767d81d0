"""Cross-entropy with the classes that one is sure of (Lee 2013)."""

import math

import pytest
import torch

from golden import golden
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.self_training.pseudo_labels import PseudoLabels, confident_loss
from transfergrid.testing.bench import Bench


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "pseudo_labels")
def test_the_mean_is_over_all_examples_and_not_over_those_that_are_sure():
    """The library whose value it is takes this very loss for pseudo labels and for FixMatch."""
    given, expected, tolerance = golden("fixmatch", "unlabelled_loss")
    said, logits = exact(given["weak_probabilities"]), exact(given["strong_logits"])
    found = confident_loss(logits, said, given["threshold"]).item()
    assert found == pytest.approx(expected["loss_mean_over_all"], abs=tolerance)
    assert said.max(1).values.tolist() == pytest.approx(expected["confidence"], abs=tolerance)
    masked = found * len(said) / sum(expected["mask"])
    assert masked == pytest.approx(expected["loss_mean_over_masked"], abs=tolerance)


@pytest.mark.proves("formula_exact", "pseudo_labels")
def test_its_labels_are_of_the_logits_that_learn():
    """Of 3 to 1 and 1 to 3 the first two are sure above .7, the third, even one is not."""
    logits = exact([[math.log(3), 0.0], [0.0, math.log(3)], [0.0, 0.0]]).requires_grad_()
    loss = PseudoLabels(threshold=0.7).logits_loss(logits)
    assert loss.item() == pytest.approx(2 * math.log(4 / 3) / 3)
    loss.backward()
    quarter = 0.25 / 3  # p - y, over three examples
    expected = [[-quarter, quarter], [quarter, -quarter], [0.0, 0.0]]
    assert all(map(lambda row, own: row == pytest.approx(own), logits.grad.tolist(), expected))


def test_the_threshold_has_to_be_passed_and_not_only_reached():
    said, logits = exact([[0.5, 0.5], [0.75, 0.25]]), torch.zeros(2, 2, dtype=torch.float64)
    assert confident_loss(logits, said, 0.5).item() == pytest.approx(math.log(2) / 2)
    assert confident_loss(logits, said, 0.75).item() == 0.0
    assert confident_loss(logits, said, 0.0).item() == pytest.approx(math.log(2))


def test_no_gradient_reaches_what_labels_are_made_of():
    said, logits = exact([[0.1, 0.9]]).requires_grad_(), torch.zeros(1, 2).requires_grad_()
    confident_loss(logits, said, 0.5).backward()
    assert said.grad is None
    assert logits.grad.abs().sum() > 0


def test_a_threshold_that_nobody_passes_is_the_baseline():
    """A network moves by its weights alone, momentum or not: nothing is added to its gradient."""
    none, plain = Bench(PseudoLabels, {"threshold": 1.0}).run(0), Bench(SourceOnly).run(0)
    assert all(torch.equal(none.state[name], value) for name, value in plain.state.items())
