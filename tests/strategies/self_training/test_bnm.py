"""The nuclear norm of a batch's predictions, over its size (Cui et al. 2020)."""

import math

import numpy as np
import pytest
import torch

from golden import golden
from transfergrid.strategies.self_training.bnm import Bnm, nuclear_norm


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "bnm")
def test_the_norm_is_divided_by_the_batch_and_by_nothing_else():
    given, expected, tolerance = golden("bnm", "loss")
    logits = exact(given["logits"])
    assert nuclear_norm(logits).item() == pytest.approx(expected["nuclear_norm"], abs=tolerance)
    loss = Bnm().logits_loss(logits).item()
    assert loss == pytest.approx(expected["loss_divided_by_batch"], abs=tolerance)
    other = expected["loss_times_sqrt_min_over_batch_atdoc"]
    assert loss * math.sqrt(3) == pytest.approx(other, abs=tolerance)
    least = -expected["upper_bound"] / 5  # sqrt(B min(B, C)), of balanced one-hot rows
    assert least < loss
    sure = 200 * torch.eye(3, dtype=torch.float64).repeat(2, 1)
    assert Bnm().logits_loss(sure).item() == pytest.approx(-math.sqrt(6 * 3) / 6)


@pytest.mark.proves("formula_exact", "bnm")
def test_a_collapsed_batch_has_the_norm_of_one_row():
    given, expected, tolerance = golden("bnm", "loss")
    collapsed = exact(given["collapsed_logits"]).requires_grad_()
    norm = nuclear_norm(collapsed)
    assert norm.item() == pytest.approx(expected["nuclear_norm_collapsed"], abs=tolerance)
    norm.backward()
    assert collapsed.grad.isfinite().all()  # of rank 1, where singular values are 0


def test_its_gradient_is_that_of_finite_differences():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Bnm().logits_loss, (logits,))


@pytest.mark.parametrize("shape", [(3, 7), (7, 3)])
def test_a_batch_may_be_smaller_than_the_number_of_classes(shape):
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows = np.exp(logits.numpy())
    values = np.linalg.svd(rows / rows.sum(1, keepdims=True), compute_uv=False)
    assert Bnm().logits_loss(logits).item() == pytest.approx(-values.sum() / shape[0])


def test_it_is_computed_in_single_precision_where_logits_are_in_half():
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    with torch.autocast("cpu", torch.bfloat16):
        assert nuclear_norm(logits.bfloat16()).dtype is torch.float32
