"""What a strategy begins with: the source's own head says what the source learned."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from transfergrid.data.glyphs import Glyphs
from transfergrid.data.opened import OpenDomain
from transfergrid.records.factory import config_of
from transfergrid.records.needs import Needs
from transfergrid.records.tracking.tracker import NoTracker
from transfergrid.records.training import Training
from transfergrid.runs import checking, models
from transfergrid.runs.cost import Stopwatch
from transfergrid.runs.machine import Machine
from transfergrid.runs.pretraining import SourceMaker
from transfergrid.runs.starting import in_order, start
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.strategies.base import Strategy
from transfergrid.testing.tiny import TinySource

LETTERS = Glyphs(characters="ABC", size=16, per_class=12, test_per_class=10)
SHORT = Training(steps=12, batch_size=16, optimizer="sgd", lr=0.05)


@pytest.fixture
def maker(tmp_path):
    return SourceMaker(tmp_path, Machine("cpu"), NoTracker(), Stopwatch())


def test_the_head_of_a_source_that_was_trained_here_scores_as_the_source_did(maker):
    source = config_of(TrainedHere(SmallCNN(16, 1), LETTERS, SHORT))
    begun = start(source, Needs(source="head"), maker, seed=0)
    test = OpenDomain(config_of(LETTERS)).whole("test", begun.backbone.preprocess)
    with torch.no_grad():
        says = begun.head(begun.backbone.eval().embed(test.inputs(test.rows)))
    right = (says.argmax(dim=1).numpy() == test.labels).mean()
    assert right == pytest.approx(maker.card["own_test"]["accuracy"])
    assert right > 0.4


def test_its_outputs_come_in_the_order_of_the_targets_classes(maker):
    source = config_of(TrainedHere(SmallCNN(16, 1), LETTERS, SHORT))
    same = Needs(source="head", classes="same")
    own = start(source, same, maker, 0, classes=("A", "B", "C")).head
    turned = start(source, same, maker, 0, classes=("C", "A", "B")).head
    assert torch.equal(turned.weight, own.weight[[2, 0, 1]])
    assert torch.equal(turned.bias, own.bias[[2, 0, 1]])


def test_no_head_is_asked_for_where_none_is_needed(maker):
    source = config_of(TrainedHere(SmallCNN(16, 1), LETTERS, SHORT))
    assert start(source, Needs(), maker, 0).head is None


def test_outputs_in_order():
    head = nn.Linear(1, 3)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0], [2.0], [3.0]]))
        head.bias.copy_(torch.tensor([10.0, 20.0, 30.0]))
    turned = in_order(head, ["cat", "dog", "owl"], ["owl", "cat", "dog"])
    assert turned(torch.ones(1, 1)).tolist() == [[33.0, 11.0, 22.0]]


class OwnHypothesis(Strategy):
    """Says what the source's head says of the features."""

    needs = Needs(source="head", classes="same", domains=1)

    def build(self, sizes):
        assert isinstance(self.source_head, nn.Linear)

    def predict(self, inputs):
        return self.source_head(self.features(inputs))


def test_a_strategy_is_kept_and_made_again_with_the_head_that_it_was_given():
    source = TinySource()
    backbone = source.load(None, 0)
    first, again = OwnHypothesis(), OwnHypothesis()
    task, training = source.domain.task, Training()
    first.attach(backbone, task, training, 0, source_head=source.head(backbone, None, 0))
    other = source.architecture.build()
    state = first.kept_state()
    again.attach(other, task, training, 1, source_head=models._source_head(state, other))
    again.restore(state)
    inputs = backbone.example(3) + torch.rand(3, 1, 1, 1)
    with torch.no_grad():
        assert torch.equal(again.predict(inputs), first.eval().predict(inputs))


def test_before_a_grid_runs_a_head_of_the_right_shape_stands_for_one_that_is_still_to_be_trained():
    source = TrainedHere(SmallCNN(16, 1), LETTERS, SHORT)
    cell = SimpleNamespace(config={"source": config_of(source)}, seed=0)
    head = checking.first_head(cell, OwnHypothesis.needs, source.initial())
    assert (head.in_features, head.out_features) == (100, 3)
    assert checking.first_head(cell, Needs(), source.initial()) is None
