"""Device and precision are known without making a Trainer each time."""

import numpy as np
import pytest
import torch

from transfergrid.data.moons import Moons
from transfergrid.data.opened import OpenDomain
from transfergrid.records.factory import config_of
from transfergrid.records.training import Training
from transfergrid.runs import machine
from transfergrid.runs.machine import Machine, at_rest, bringing
from transfergrid.sources.preprocessing.vectors import VectorPreprocess
from transfergrid.testing.tiny import TinyDomain, TinyPreprocess


@pytest.fixture
def made(monkeypatch):
    """The Trainers that are made."""
    found, real = [], Machine.trainer

    def trainer(self, training, **options):
        found.append(real(self, training, **options))
        return found[-1]

    machine._at_rest.cache_clear()
    monkeypatch.setattr(Machine, "trainer", trainer)
    yield found
    machine._at_rest.cache_clear()


def test_a_process_makes_one_trainer_for_all_that_is_only_asked(made):
    here = Machine(accelerator="cpu")
    assert here.device == Machine(accelerator="cpu").device == torch.device("cpu")
    for batch in (torch.ones(2), torch.zeros(3)):
        assert bringing(here, Training(steps=7))(batch) is batch
    assert len(made) == 1


def test_each_precision_has_its_own(made):
    here, batch = Machine(accelerator="cpu"), torch.ones(2)
    assert bringing(here, Training(precision="64-true"))(batch).dtype == torch.float64
    assert bringing(here, Training())(batch).dtype == torch.float32
    assert len(made) == 2


@pytest.mark.parametrize("wanted", [True, False, "warn"])
def test_what_was_made_before_is_as_deterministic_as_asked(wanted):
    was = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    try:
        for other in (True, False, "warn"):
            for deterministic in (other, wanted):
                at_rest(Machine("cpu", deterministic=deterministic), Training())
            assert torch.are_deterministic_algorithms_enabled() == bool(wanted)
            assert torch.is_deterministic_algorithms_warn_only_enabled() == (wanted == "warn")
    finally:
        torch.use_deterministic_algorithms(was[0], warn_only=was[1])


@pytest.mark.parametrize("wanted", ["warn", True])
def test_new_tensors_are_filled_where_all_is_to_be_strict_alone(wanted):
    was = torch.are_deterministic_algorithms_enabled()
    try:
        at_rest(Machine("cpu", deterministic=wanted), Training())
        assert torch.utils.deterministic.fill_uninitialized_memory == (wanted is True)
    finally:
        torch.use_deterministic_algorithms(was, warn_only=True)


def test_reading_draws_nothing_of_torchs():
    """Else what is drawn after a reading would hang on whether it came from a cache."""
    before = torch.get_rng_state()
    assert [*Machine(accelerator="cpu").loader(["one", "two"])] == ["one", "two"]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("domain", "preprocess", "rows", "sizes"),
    [
        (Moons(test_per_class=600), VectorPreprocess(2), 1100, [550, 550]),
        (TinyDomain(), TinyPreprocess(), 40, [20, 20]),
    ],
)
def test_vectors_are_evaluated_many_at_once_and_images_few(domain, preprocess, rows, sizes):
    view = OpenDomain(config_of(domain)).whole("test", preprocess)
    some = view.part(np.resize(view.rows, rows))
    loaded = [*Machine(accelerator="cpu").evaluation_loader(some)]
    assert [len(batch.rows) for batch in loaded] == sizes


def test_inside_a_job_of_slurm_lightning_takes_no_signal_to_begin_the_job_anew(monkeypatch):
    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "a"}.items():
        monkeypatch.setenv(name, value)
    trainer = Machine(accelerator="cpu").trainer(Training())
    environment = trainer._accelerator_connector.cluster_environment
    assert type(environment).__name__ == "LightningEnvironment"
