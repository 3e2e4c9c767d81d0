"""Numbers as a task: scores by hand, and a loss that no unit moves."""

import math

import pytest
import torch
from torch.testing import assert_close

from transfergrid.data.regression import Regression, ScaledLinear
from transfergrid.data.task import Classification, better
from transfergrid.records.errors import BadInputError

LABELS = torch.tensor([1.0, 2.0, 3.0, 6.0])
SAID = torch.tensor([[2.0], [2.0], [2.0], [4.0]])
"""Off by 1, 0, -1, -2; the labels' mean is 3, their squared distances to it sum to 14."""
PAIRS = torch.tensor([[0.0, 10.0], [2.0, 30.0]])


def test_scores_of_one_number_by_hand():
    found = Regression(("age",)).scores(SAID, LABELS)
    assert found == pytest.approx({"mse": 6 / 4, "mae": 1, "rmse": 1.5**0.5, "r2": 1 - 6 / 14})


def test_scores_of_several_numbers_are_means_over_them():
    """Errors of 1 and 0, 5 and -5: squares 1, 0, 25, 25; variances 1 and 100.

    The root is that of the mean square.
    """
    said = torch.tensor([[1.0, 15.0], [2.0, 25.0]])
    found = Regression(("x", "y")).scores(said, PAIRS)
    told = {"mse": 51 / 4, "mae": 11 / 4, "rmse": math.sqrt(51) / 2, "r2": (1 / 2 + 3 / 4) / 2}
    assert found == pytest.approx(told)


def test_r2_falls_below_zero_and_is_undefined_where_nothing_varies():
    task = Regression(("age",))
    assert task.scores(-SAID, LABELS)["r2"] == pytest.approx(1 - (9 + 16 + 25 + 100) / 14)
    assert task.scores(SAID, torch.full((4,), 0.1))["r2"] is None
    half = torch.stack([LABELS, torch.full((4,), 0.1)], dim=1)
    none = {"mse": 0, "mae": 0, "rmse": 0, "r2": None}
    assert Regression(("x", "y")).scores(half, half) == none


def test_saying_the_mean_explains_nothing():
    floor = Regression(("age",)).floor(LABELS)
    told = {"mse": 14 / 4, "mae": (2 + 1 + 0 + 3) / 4, "rmse": 3.5**0.5, "r2": 0}
    assert floor == pytest.approx(told, abs=1e-12)
    shares = Classification(("a", "b")).floor(torch.tensor([0, 0, 0, 1]))
    assert shares["accuracy"] == 0.75
    assert shares["loss"] == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_lower_errors_are_better():
    assert better("mae", 1.0, 2.0)
    assert not better("mse", 2.0, 1.0)
    assert better("r2", 0.2, -3.0)
    assert not better("mae", math.nan, 9.0)


def test_loss_is_of_standardised_labels():
    """Mean 3, standard deviation √3.5: an error of 2 costs 4 / 3.5, whatever the labels' unit."""
    task = Regression(("age",)).fitted(LABELS)
    assert task.means == (3.0,)
    assert task.scales == pytest.approx((math.sqrt(3.5),))
    assert_close(task.loss(LABELS[:, None] + 2, LABELS), torch.tensor(4 / 3.5))
    assert task.criterion(LABELS[:, None] + 2, LABELS) == pytest.approx(4 / 3.5)
    days = Regression(("age",)).fitted(365 * LABELS)
    assert_close(days.loss(365 * (LABELS[:, None] + 2), 365 * LABELS), torch.tensor(4 / 3.5))


def test_a_single_label_is_centred_only():
    task = Regression(("x", "y")).fitted(PAIRS[:1])
    assert (task.means, task.scales) == ((0.0, 10.0), (1.0, 1.0))


def test_head_speaks_the_labels_unit_and_keeps_it():
    """Its gradients are those of a plain layer on standardised labels, in every unit."""
    features, task = torch.randn(4, 5), Regression(("age",)).fitted(LABELS)
    torch.manual_seed(0)
    head = task.head(5)
    torch.manual_seed(0)
    plain = torch.nn.Linear(5, 1)
    assert_close(head(features), 3 + math.sqrt(3.5) * plain(features))
    task.loss(head(features), LABELS).backward()
    wanted = (LABELS - 3) / math.sqrt(3.5)
    torch.nn.functional.mse_loss(plain(features)[:, 0], wanted).backward()
    assert_close(head.weight.grad, plain.weight.grad)
    assert_close(head.folded()(features), head(features))
    again = Regression(("age",)).head(5)
    again.load_state_dict(head.state_dict())
    assert_close(again(features), head(features))
    assert isinstance(head, ScaledLinear)
    assert len(list(head.parameters())) == 2


def test_predictions_that_hardly_differ_have_collapsed():
    task = Regression(("x", "y"))
    labels = torch.randn(50, 2)
    assert task.collapsed(0.001 * labels + 7, labels)
    assert not task.collapsed(0.001 * labels + labels * torch.tensor([1.0, 0.0]), labels)


@pytest.mark.parametrize(("factor", "underfit"), [(0.2, True), (0.5, False)])
def test_underfit_is_less_than_half_of_the_variance(factor, underfit):
    """Predictions drawn towards the mean by a factor explain 1 - (1 - factor)² of it."""
    labels = torch.randn(50)
    said = labels.mean() + factor * (labels - labels.mean())
    assert Regression(("age",)).underfit(said[:, None], labels) == underfit


def test_a_metric_of_another_kind_of_task_is_refused():
    with pytest.raises(BadInputError, match="unknown metric of regression 'accuracy'"):
        Regression(("age",)).score("accuracy", SAID, LABELS)
    with pytest.raises(BadInputError, match="unknown metric of classification 'mae'"):
        Classification(("a", "b")).score("mae", SAID, LABELS)


def test_a_head_is_filled_in_the_unit_of_the_labels():
    """Mean 3, scale sqrt(3.5): the head multiplies and shifts, and still gives 2 x1 - x2 + 5."""
    task = Regression(("age",)).fitted(LABELS)
    weight, bias = torch.tensor([[2.0, -1.0]]), torch.tensor([5.0])
    head = task.head(2)
    task.fill(head, weight, bias)
    assert_close(head(torch.tensor([[1.0, 1.0], [10.0, 0.0]])), torch.tensor([[6.0], [25.0]]))
    classes = Classification(("a",))
    classes.fill(plain := classes.head(2), weight, bias)
    assert_close(plain.weight.data, weight)


def test_answers_are_what_right_outputs_decode_to_of_numbers_and_of_classes():
    numbers, labels = Regression(("a", "b")), torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    assert torch.equal(numbers.answers(labels).float(), labels)
    assert torch.equal(numbers.decode(numbers.encode(labels)), labels)
    classes, own = Classification(("a", "b", "c")), torch.tensor([2, 0])
    assert classes.answers(own).tolist() == [[0, 0, 1], [1, 0, 0]]
    said = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    assert torch.allclose(classes.decode(classes.encode(said)), said, atol=1e-6)
