"""Mean entropy of predictions, in nats (Grandvalet & Bengio 2004)."""

import math

import pytest
import torch

from golden import golden
from transfergrid.strategies.self_training.entropy_minimization import (
    EntropyMinimization,
    entropies,
)
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "entropy_minimization")
def test_value_and_gradient_are_the_published_ones():
    given, expected, tolerance = golden("entropy_minimization", "loss")
    logits = torch.tensor(given["logits"], dtype=torch.float64, requires_grad=True)
    assert entropies(logits).tolist() == pytest.approx(expected["entropy"], abs=tolerance)
    strategy = EntropyMinimization(weight=given["weight"])
    loss = strategy.weight * strategy.logits_loss(logits)
    assert loss.item() == pytest.approx(expected["loss"], abs=tolerance)
    loss.backward()
    for row, own in zip(logits.grad.tolist(), expected["gradient_of_loss"], strict=True):
        assert row == pytest.approx(own, abs=tolerance)
    even = entropies(logits).mean().item() / math.log(3)  # what one library has, and we have not
    assert even == pytest.approx(expected["divided_by_log_classes"], abs=tolerance)


def test_entropy_is_finite_where_a_class_is_as_good_as_impossible():
    logits = torch.tensor([[0.0, 300.0], [-1e4, 1e4]], requires_grad=True)
    entropies(logits).sum().backward()
    assert entropies(logits).tolist() == [0.0, 0.0]
    assert logits.grad.isfinite().all()


def test_the_loss_adds_the_entropy_of_unlabelled_predictions():
    (moment,) = Bench(EntropyMinimization, {"weight": 3.0}).moments(0)
    strategy, batch = moment.strategy.eval(), moment.batch
    (source,) = batch.source
    said = strategy.predict(batch.unlabelled).softmax(1)
    plain = torch.nn.functional.cross_entropy(strategy.predict(source.inputs), source.labels)
    expected = plain - 3.0 * (said * said.log()).sum() / len(said)
    assert strategy.loss(batch, 0.5).item() == pytest.approx(expected.item(), rel=1e-5)
