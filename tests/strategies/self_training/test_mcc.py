"""How much classes are confused in a batch of predictions (Jin et al. 2020)."""

import pytest
import torch

from golden import golden
from transfergrid.strategies.self_training.mcc import Mcc, confusion


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


def by_hand(logits, temperature, weights=None):
    """Return the confusion pair by pair of classes, and the weights of examples."""
    p = (logits / temperature).softmax(1)
    if weights is None:
        weights = 1 + (p * p.log()).sum(1).exp()
        weights = weights * len(p) / weights.sum()
    total, classes = 0.0, p.shape[1]
    for one in range(classes):
        with_all = [(weights * p[:, one] * p[:, other]).sum() for other in range(classes)]
        total = total + sum(v for other, v in enumerate(with_all) if other != one) / sum(with_all)
    return total / classes, weights


@pytest.mark.proves("formula_exact", "mcc")
def test_value_and_weights_are_the_published_ones():
    given, expected, tolerance = golden("mcc", "loss")
    logits = exact(given["logits"])
    found = Mcc(temperature=given["temperature"]).logits_loss(logits).item()
    assert found == pytest.approx(expected["loss"], abs=tolerance)
    assert confusion(logits, 1.0).item() == pytest.approx(expected["loss_T1"], abs=tolerance)
    value, weights = by_hand(logits, given["temperature"])
    assert value.item() == pytest.approx(expected["loss"], abs=tolerance)
    assert weights.tolist() == pytest.approx(expected["weights"], abs=tolerance)


def test_no_gradient_passes_through_the_weights():
    """Its slope is that of finite differences with the weights held, and not with them free."""
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits = (3 * logits).requires_grad_()
    confusion(logits, 1.5).backward()
    weights, step = by_hand(logits.detach(), 1.5)[1], 1e-6

    def slope(place, held):
        ends = []
        for sign in (1, -1):
            moved = logits.detach().clone()
            moved[place] += sign * step
            ends.append(by_hand(moved, 1.5, weights if held else None)[0].item())
        return (ends[0] - ends[1]) / (2 * step)

    places = [(0, 0), (2, 1), (4, 2)]
    held = [slope(place, True) for place in places]
    assert [logits.grad[place].item() for place in places] == pytest.approx(held, rel=1e-6)
    assert held != pytest.approx([slope(place, False) for place in places], rel=1e-3)


def test_sure_predictions_are_not_confused_and_even_ones_wholly():
    sure = 200 * torch.eye(3, dtype=torch.float64).repeat(2, 1)
    assert confusion(sure, 1.0).item() == pytest.approx(0.0, abs=1e-9)
    assert confusion(torch.zeros(4, 3), 2.5).item() == pytest.approx(1 - 1 / 3)


def test_a_class_that_nobody_is_of_costs_nothing_and_breaks_nothing():
    """Its probabilities are 0 in single precision, and its row has no sum to be divided by."""
    two = torch.tensor([[4.0, 0.0, -1e3], [0.0, 2.0, -1e3], [1.0, 1.0, -1e3]], requires_grad=True)
    found = confusion(two, 0.2)
    alone = confusion(two.detach()[:, :2], 0.2)
    assert found.item() == pytest.approx(alone.item() * 2 / 3)
    found.backward()
    assert two.grad.isfinite().all()
