"""Cells of pairs that are not closed, start to finish: what is predicted, scored and recorded."""

import json
import re

import numpy as np
import pytest

from transfergrid import api
from transfergrid.records.keeping import model_folder
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import from_json
from transfergrid.records.training import Training
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.runs.models import description_of, load_model
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.tiny import CLASSES, TinyDomain, TinySource
from transfergrid.verbs.cli import main

CPU = Machine(accelerator="cpu", threads=1)
PLAN = Training(steps=8, batch_size=8, lr=0.01, validations=2)
TWO = CLASSES[1:]


def planned(source, strategy, target, labels=0):
    asked = Asked(
        sources=[api._option(source, "tiny")],
        strategies=[api._option(strategy)],
        targets=[api._option(target, "tiny")],
        trainings=[api._option(PLAN)],
        labels=[labels],
        seeds=[1],
    )
    return Planner(api._baseline).plan(asked)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    ledger = Ledger(tmp_path_factory.mktemp("paired") / "results")
    found = {}
    partial, fewer = TinyDomain(only=TWO), TinySource(domain=TinyDomain(shift=0.4, only=TWO))
    for name, source, strategy, target, labels in (
        ("partial", TinySource(), DomainAdversarial(), partial, 0),
        ("labelled", TinySource(), DomainAdversarial(), partial, 12),
        ("open", fewer, SourceOnly(), TinyDomain(), 0),
        ("closed", TinySource(), SourceOnly(), TinyDomain(), 0),
    ):
        made = planned(source, strategy, target, labels)
        for cell in made.cells:
            record = run_cell(cell, ledger, CPU, keep="all")
            if cell.id in made.wanted:
                found[name] = record
    return ledger, found


def test_a_partial_pair_is_predicted_among_all_classes_of_the_source(done):
    ledger, found = done
    record, said = found["partial"], ledger.predictions(found["partial"].id)
    assert record.data.classes == ("cross", "stripe", "circle"), "the target's own come first"
    assert (record.data.pair.setting, record.data.pair.missing) == ("partial", ("circle",))
    assert said.probabilities.shape == (16, 3)
    assert set(said.labels) == {0, 1}
    assert record.data.test == 16
    assert "os" not in record.scores.test
    assert "untested" not in record.data.notes, "it is no class of the target's own"


def test_labels_of_a_partial_target_are_drawn_from_its_own_classes(done):
    _, found = done
    record = found["labelled"]
    assert record.data.per_class == {"cross": 12, "stripe": 12}
    assert record.data.short == {}
    assert record.data.validation == 4
    given = record.diagnostics.priors.given
    assert given == (0.5, 0.5, 0.0), "in the order of all predicted classes"


def test_what_the_source_lacks_is_scored_as_one_class(done):
    ledger, found = done
    record, said = found["open"], ledger.predictions(found["open"].id)
    assert record.data.classes == ("cross", "stripe", "unknown")
    assert record.data.pair.unknown == ("circle",)
    assert np.bincount(said.labels).tolist() == [8, 8, 8]
    right = said.probabilities.argmax(axis=1) == said.labels
    recall = [right[said.labels == k].mean() for k in range(3)]
    scores = record.scores.test
    assert scores["os"] == pytest.approx(np.mean(recall))
    assert scores["os_star"] == pytest.approx(np.mean(recall[:2]))
    assert scores["unknown_recall"] == pytest.approx(recall[2])


def test_a_kept_model_predicts_what_is_unknown_too(done):
    ledger, found = done
    model = load_model(model_folder(ledger, found["open"].id), description_of(found["open"]))
    assert model.strategy.head.out_features == 3
    assert model.task.names == ("cross", "stripe", "unknown")


def test_a_closed_pair_is_recorded_and_nothing_is_said_of_it(done):
    _, found = done
    pair = found["closed"].data.pair
    assert (pair.setting, pair.label_shift, pair.told) == ("closed", 0.0, "")
    assert found["closed"].data.classes == CLASSES


def test_records_are_read_again_and_older_ones_have_no_pair(done):
    _, found = done
    text = found["open"].to_json()
    assert from_json(text) == found["open"]
    old = json.loads(text)
    del old["data"]["pair"]
    assert from_json(json.dumps(old)).data.pair is None


def shown(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert not ended.value.code
    return capsys.readouterr().out


def test_lists_and_tables_say_it_where_it_is_not_closed(done, capsys):
    ledger, _ = done
    where = str(ledger.root)
    rows = json.loads(shown(capsys, "list", "cells", "--results", where, "--format", "json"))
    assert {row["pair"] for row in rows} == {"", "partial", "open"}
    listed = shown(capsys, "list", "cells", "--results", where).split()
    assert (listed.count("partial"), listed.count("open")) == (4, 1)
    table = " ".join(shown(capsys, "table", where).split())
    assert re.search(r"tiny\S* with tiny\S*: partial ", table)
    assert "open; classes that the source lacks are scored as one" in table
