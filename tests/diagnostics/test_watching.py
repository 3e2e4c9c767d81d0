"""What a cell notes about itself: that noting changes nothing, and that it is what it says."""

import random

import numpy as np
import pytest
import torch

from transfergrid import api
from transfergrid.diagnostics import watching
from transfergrid.diagnostics.watching import Watch, untouched_randomness
from transfergrid.fitting import Machine
from transfergrid.ledger import Ledger
from transfergrid.strategies.domain_adversarial import DomainAdversarial
from transfergrid.strategies.feature_extraction import FeatureExtraction
from transfergrid.strategies.full_finetuning import FullFinetuning
from transfergrid.testing.tiny import TinyDomain, TinySource
from transfergrid.training import Training

CPU = Machine(accelerator="cpu")
SHORT = Training(steps=8, batch_size=8, validations=2, lr=0.01)


def ran(folder, strategy, labels=10, training=SHORT, source=None, target=None):
    chosen = source or TinySource()
    target = target or TinyDomain()
    return api.run(
        chosen, strategy, target, labels=labels, training=training, results=folder, machine=CPU
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Diagnostics of a cell of each kind."""
    folder = tmp_path_factory.mktemp("watched")
    kinds = (FullFinetuning, FeatureExtraction, DomainAdversarial)
    records = {kind.__name__: ran(folder, kind()) for kind in kinds}
    return {name: record.diagnostics for name, record in records.items()}


@pytest.mark.parametrize("strategy", [FullFinetuning, DomainAdversarial])
def test_looking_changes_no_prediction_and_no_identity(tmp_path, monkeypatch, strategy):
    watched = ran(tmp_path / "watched", strategy())
    monkeypatch.setattr(Watch, "begin", lambda self: None)
    monkeypatch.setattr(Watch, "end", lambda self, fitted, outcome: None)
    plain = ran(tmp_path / "plain", strategy())
    assert plain.diagnostics is None
    assert watched.diagnostics is not None
    assert watched.id == plain.id
    assert watched.scores == plain.scores
    said = [
        Ledger(tmp_path / name).predictions(plain.id).probabilities for name in ("watched", "plain")
    ]
    assert np.array_equal(*said)


def test_global_random_states_stay_as_they_are():
    def drawn():
        return torch.rand(1).item(), np.random.rand(), random.random()

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    expected = drawn()
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    with untouched_randomness():
        drawn()
    assert drawn() == expected


def test_what_cannot_be_had_is_told_and_fails_no_cell(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("of a user's own\nand more")

    monkeypatch.setattr(watching, "look", broken)
    record = ran(tmp_path, FullFinetuning())
    assert record.score is not None
    assert record.diagnostics.features is None
    assert record.diagnostics.skipped["before"] == "RuntimeError: of a user's own"
