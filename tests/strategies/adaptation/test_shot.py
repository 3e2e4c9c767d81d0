"""Information maximisation and pseudo labels, without a source example (Liang et al. 2020)."""

import math

import pytest
import torch

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.adaptation.shot import SHOT, information, pseudo_labels
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "shot")
def test_pseudo_labels_round_by_round():
    given, expected, _ = golden("shot", "pseudo_labels")
    features, said = (
        torch.tensor(given[name], dtype=torch.float64) for name in ("features", "probabilities")
    )
    for rounds, labels in enumerate(expected["labels_by_round"]):
        assert pseudo_labels(features, said, rounds).tolist() == labels


def test_a_class_that_nobody_is_of_is_dropped():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]])
    said = torch.tensor([[0.6, 0.0, 0.4], [0.0, 0.6, 0.4], [0.5, 0.1, 0.4]])
    assert set(pseudo_labels(features, said).tolist()) == {0, 1}


@pytest.mark.proves("formula_exact", "shot")
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], -math.log(2)),  # sure and spread: the least there is
        ([[1.0, 0.0], [1.0, 0.0]], 0.0),  # collapsed
        ([[0.5, 0.5], [0.5, 0.5]], 0.0),  # knows nothing
    ],
)
def test_information_is_entropy_less_that_of_the_mean(said, expected):
    logits = torch.tensor(said).clamp(1e-9, 1.0).log()
    assert information(logits).item() == pytest.approx(expected, abs=1e-6)


def test_its_second_phase_sees_no_source_and_leaves_the_head_alone():
    source, adapt = Bench(SHOT).moments(0)
    assert source.batch.source
    assert adapt.batch.source == ()
    assert adapt.batch.target is None
    run = Bench(SHOT).trained(0)
    state = run.notes.starts[1]
    assert torch.equal(run.state["head.weight"], state["head.weight"])
    moved = "backbone.network.conv1.weight"
    assert not torch.equal(run.state[moved], state[moved])


def test_labels_are_taken_anew_every_fifth_of_the_phase(monkeypatch):
    asked = []
    relabel = SHOT.relabel
    monkeypatch.setattr(SHOT, "relabel", lambda self, data: asked.append(relabel(self, data)))
    Bench(SHOT, training=Training(steps=20, batch_size=8)).run(0)
    assert len(asked) == 5


def test_the_source_model_is_trained_with_smoothed_labels():
    source, _ = Bench(SHOT).moments(0)
    strategy, (seen,) = source.strategy.eval(), source.batch.source
    logits = strategy.predict(seen.inputs)
    smooth = 0.9 * torch.nn.functional.one_hot(seen.labels, 3) + 0.1 / 3
    expected = -(smooth * logits.log_softmax(dim=1)).sum(dim=1).mean()
    assert strategy.on_source(source.batch, 0.0).item() == pytest.approx(expected.item(), rel=1e-5)
