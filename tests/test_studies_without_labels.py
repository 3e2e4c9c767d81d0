"""The studies of pretext tasks and of clusters, small: their arms, what sources saw, verdicts."""

import json

import pytest
import yaml

from composed import planned
from transfergrid.evidence.measured.scoring import value_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.shipped import conf_dir
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine

QUICK = ["source.training.steps=5", "training.steps=5", "target=digits"]
SMALL = {
    "pretext": {
        "source": "'pretrained_here(method=autoencoder)','pretrained_here(method=byol)'",
        "strategy": "feature_extraction,self_taught",
        "labels": 5,
        "seed": 0,
    },
    "clusters": {"source": "'pretrained_here(method=simclr)'", "labels": 0, "seed": 0},
}


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory):
    """Return the ledger of each study, of which few cells were run."""
    machine, made = Machine("cpu", threads=1, diagnostics="none"), {}
    for study, small in SMALL.items():
        ledger = Ledger(tmp_path_factory.mktemp(study))
        told = yaml.safe_load((conf_dir() / "study" / f"{study}.yaml").read_text(encoding="utf-8"))
        asked = {**told["hydra"]["sweeper"]["params"], **small}
        for cell in planned(*(f"{key}={value}" for key, value in asked.items()), *QUICK).cells:
            run_cell(cell, ledger, machine)
        made[study] = ledger
    return made


def by_strategy(ledger):
    found = {}
    for record in ledger.records():
        found.setdefault(record.names.strategy, []).append(record)
    return found


def test_each_task_is_an_arm_over_scratch_and_inputs_alone_are_one_arm(ledgers):
    arms = by_strategy(ledgers["pretext"])
    assert len(arms["feature_extraction"]) == 2
    assert {record.baseline.name for record in arms["feature_extraction"]} == {"scratch"}
    (taught,) = arms["self_taught"]
    assert taught.baseline.name == "logistic_regression"


def test_what_sources_were_made_of_is_told_and_none_of_it_is_a_label(ledgers):
    arms = by_strategy(ledgers["pretext"])
    told = {record.source["method"]: record.source for record in arms["feature_extraction"]}
    assert told.keys() == {"autoencoder", "byol"}
    assert {source["train_labels"] for source in told.values()} == {0}
    assert all(source["train_examples"] > 100 for source in told.values())
    assert 0 <= told["byol"]["pretext"]["spread"] <= 1
    cards = [*(ledgers["pretext"].root / "sources").glob("*/card.json")]
    assert sorted(json.loads(card.read_text())["method"] for card in cards) == sorted(told)


def test_clusters_are_scored_as_judging_scores_them_and_pixels_come_near_the_digits(ledgers):
    ledger = ledgers["clusters"]
    arms = by_strategy(ledger)
    assert arms.keys() == {"kmeans", "kmeans_on_features", "kmeans_on_codes"}
    for (record,) in arms.values():
        assert record.labels == 0
        assert record.data.train == 0
        assert record.scores.test.keys() == {"nmi", "ari"}
        said = ledger.predictions(record.id)
        assert value_of("nmi", said) == pytest.approx(record.scores.test["nmi"], abs=1e-6)
        assert value_of("ari", said) == pytest.approx(record.scores.test["ari"], abs=1e-6)
    (pixels,) = arms["kmeans"]
    assert 0.6 < pixels.scores.test["nmi"] < 0.85
