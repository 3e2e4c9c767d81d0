"""A tuned cell from plan to record, and again from its record."""

import pytest

from transfergrid import api
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.training import Training
from transfergrid.runs import cell as cell_module
from transfergrid.runs.models import description_of
from transfergrid.runs.tuning.searches import RandomSearch
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.testing.tiny import TinyDomain, TinySource
from transfergrid.verbs.reproducing import cell_again

PLAN = Training(steps=6, batch_size=8, validations=3)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("tuned") / "results"


@pytest.fixture(scope="module")
def looks():
    return []


@pytest.fixture(scope="module")
def record(results, looks):
    real = cell_module.judge

    def judge(*given):
        looks.append(given)
        return real(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_module, "judge", judge)
        return api.run(
            *(TinySource(), FeatureExtraction(), TinyDomain()),
            labels=10,
            training=PLAN,
            tuning=RandomSearch(trials=3),
            results=results,
        )


def test_the_record_says_what_was_tried_and_is_of_the_chosen(record):
    tuning = record.tuning
    assert len(tuning.trials) == record.budget.tuning_trials == 3
    scores = [trial.score for trial in tuning.trials]
    assert tuning.chosen == scores.index(max(scores))
    assert record.scores.validation["accuracy"] == pytest.approx(max(scores))
    assert record.chosen.step == tuning.trials[tuning.chosen].step
    assert record.budget.steps == PLAN.steps
    assert all(set(trial.values) == {"lr_factor"} for trial in tuning.trials)


def test_arm_and_baseline_look_at_test_once_each(record, looks):
    assert len(looks) == 2


def test_the_baseline_had_as_many_trials_and_no_note_says_otherwise(record, results):
    baseline = Ledger(results).read(record.baseline.id)
    assert len(baseline.tuning.trials) == 3
    (row,) = [row for row in api.table(results) if row.strategy == "feature_extraction"]
    assert (row.trials, row.baseline_trials) == (3, 3)
    assert not [note for note in row.notes if "tuning" in note]


def test_a_record_is_enough_to_run_the_cell_again(record):
    again = cell_again(record)
    assert (again.id, again.parts) == (record.id, record.parts)
    assert again.config["tuning"]["trials"] == 3


def test_a_kept_model_is_described_by_the_setting_that_was_chosen(record):
    told = description_of(record)["strategy"]["lr_factor"]
    assert told == record.tuning.trials[record.tuning.chosen].values["lr_factor"]


def test_the_same_cell_without_a_search_is_another_one(record, results):
    plain = api.run(
        *(TinySource(), FeatureExtraction(), TinyDomain()),
        labels=10,
        training=PLAN,
        results=results,
    )
    assert plain.id != record.id
    assert plain.tuning is None
    assert "tuning" not in plain.config
    named = {row.strategy for row in api.table(results) if row.source}
    assert named == {"feature_extraction random", "feature_extraction untuned"}
