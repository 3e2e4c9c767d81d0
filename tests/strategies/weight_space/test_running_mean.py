"""The mean of weights along a run, and BatchNorm's statistics of weights that no step made."""

import pytest
import torch
from torch import nn

from golden import golden
from transfergrid.data.batches import Labelled
from transfergrid.strategies.weight_space.batch_statistics import norms_of, retake
from transfergrid.strategies.weight_space.running_mean import RunningMean


def noted(weights, **told):
    """Return a parameter and its mean after it has taken on each of these values."""
    own = nn.Parameter(torch.tensor(weights[0], dtype=torch.float64))
    mean = RunningMean(lambda: [own], **told)
    for step, value in enumerate(weights, 1):
        own.data = torch.tensor(value, dtype=torch.float64)
        mean.note(step, len(weights))
    return own, mean


@pytest.mark.proves("formula_exact", "weight_averaging")
def test_the_running_mean_and_the_moving_average():
    given, expected, tolerance = golden("weight_averaging", "running_mean")
    weights = given["weights"]
    for steps, value in enumerate(expected["running"], 1):
        own, mean = noted(weights[:steps], begin=0.0)
        mean.put()
        assert own.tolist() == pytest.approx(value, abs=tolerance)
    said = torch.relu(torch.tensor(given["inputs"], dtype=torch.float64) @ own)
    assert said.item() == pytest.approx(expected["output_of_mean_weights"], abs=tolerance)
    own, mean = noted(weights, begin=0.0, decay=given["ema_decay"])
    mean.put()
    assert own.tolist() == pytest.approx(expected["ema"], abs=tolerance)


@pytest.mark.proves("formula_exact", "weight_averaging")
def test_a_mean_of_weights_is_no_mean_of_outputs():
    own, mean = noted([[1.0, -3.0], [3.0, 1.0]], begin=0.0)
    mean.put()
    inputs = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert own.tolist() == [2.0, -1.0]
    assert torch.relu(inputs @ own).item() == 0.0, "and of the outputs it is (0 + 1) / 2"


@pytest.mark.parametrize(
    ("begin", "value"), [(0.0, 4.5), (0.5, 6.0), (0.74, 7.0), (0.76, 7.5), (1.0, 8.0)]
)
def test_it_begins_after_a_share_of_the_steps(begin, value):
    own, mean = noted([[float(step)] for step in range(1, 9)], begin=begin)
    assert mean.put() is (begin < 1)
    assert own.tolist() == [value]


def test_before_it_begins_weights_stay_as_they_are():
    own, _ = noted([[1.0]])
    empty = RunningMean(lambda: [own])
    own.data = torch.tensor([5.0], dtype=torch.float64)
    assert empty.is_empty
    assert not empty.put()
    with empty.in_place():
        assert own.tolist() == [5.0]


def test_for_a_while_the_weights_are_their_mean_and_then_again_what_they_were():
    own, mean = noted([[1 / 3, 2.0], [5 / 7, 4.0]], begin=0.0)
    before = own.detach().clone()
    with mean.in_place():
        assert own.tolist() == pytest.approx([11 / 21, 3.0])
    assert torch.equal(own, before)
    mean.put()
    assert own.tolist() == pytest.approx([11 / 21, 3.0])


class Pieces:
    """Examples in batches of unequal size."""

    def __init__(self, *sizes):
        self.all = torch.randn(sum(sizes), 3, dtype=torch.float64)
        self.pieces = self.all.split(sizes)

    def __len__(self):
        return len(self.all)

    def batches(self):
        return (Labelled(piece, torch.zeros(len(piece))) for piece in self.pieces)


def norm():
    layer = nn.BatchNorm1d(3).double()
    layer.running_mean.fill_(7.0)
    layer.num_batches_tracked.fill_(11)
    return layer.eval()


def test_statistics_are_means_over_batches_by_their_size():
    view, layer = Pieces(6, 2), norm()
    retake([layer], [view], layer)
    one, two = view.pieces
    assert torch.allclose(layer.running_mean, view.all.mean(0))
    assert torch.allclose(layer.running_var, 0.75 * one.var(0) + 0.25 * two.var(0))
    assert layer.momentum == 0.1
    assert not layer.training
    assert int(layer.num_batches_tracked) == 11, "integer buffers stay the run's"


def test_one_example_has_no_variance():
    layer = norm()
    retake([layer], [Pieces(1)], layer)
    assert layer.running_mean.tolist() == [7.0] * 3


def test_statistics_move_where_the_layer_learns():
    network = nn.Sequential(nn.Linear(3, 3), norm(), norm())
    found = norms_of(network, [network[0].weight, network[2].bias])
    assert found == [network[2]]
