"""Generalised zero-shot cells: what is predicted, scored and recorded, and what cannot be."""

import numpy as np
import pytest

from transfergrid import api
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.training import Training
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.runs.planning import forewarnings
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked
from transfergrid.sources.small_cnn import SmallCNN
from transfergrid.sources.trained_here import TrainedHere
from transfergrid.strategies.no_examples.ale import ALE
from transfergrid.strategies.no_examples.direct_attribute_prediction import (
    DirectAttributePrediction,
)
from transfergrid.strategies.no_examples.eszsl import ESZSL
from transfergrid.testing.tiny import CLASSES, TinyDomain, TinySource

CPU = Machine(accelerator="cpu", threads=1)
PLAN = Training(steps=8, batch_size=8, lr=0.01, validations=2)
SEEN = CLASSES[1:]
FEWER = TinySource(domain=TinyDomain(shift=0.4, only=SEEN))


def planned(source, strategy, target):
    asked = Asked(
        sources=[api._option(source, "tiny")],
        strategies=[api._option(strategy)],
        targets=[api._option(target, "tiny")],
        trainings=[api._option(PLAN)],
        labels=[0],
        seeds=[1],
    )
    return Planner(api._baseline).plan(asked)


@pytest.mark.parametrize("kind", [DirectAttributePrediction, ESZSL, ALE])
def test_seen_and_unseen_classes_share_a_label_space_and_are_scored_apart(kind, tmp_path):
    ledger = Ledger(tmp_path / "results")
    plan = planned(FEWER, kind(), TinyDomain())
    (cell,) = (cell for cell in plan.cells if cell.id in plan.wanted)
    record = run_cell(cell, ledger, CPU)
    assert record.data.classes == CLASSES
    assert record.data.seen == SEEN
    kept = ledger.predictions(record.id)
    said = kept.probabilities.argmax(1)
    recall = {
        name: np.mean(said[kept.labels == label] == label) for label, name in enumerate(CLASSES)
    }
    assert record.scores.by_class == pytest.approx(recall)
    seen, unseen = np.mean([recall[name] for name in SEEN]), recall[CLASSES[0]]
    assert record.scores.test["seen"] == pytest.approx(seen)
    assert record.scores.test["unseen"] == pytest.approx(unseen)
    total = seen + unseen
    expected = 2 * seen * unseen / total if total else 0.0
    assert record.scores.test["harmonic"] == pytest.approx(expected)
    assert ledger.read(record.id) == record


def test_a_plan_says_how_many_classes_come_without_examples():
    (line, *others) = forewarnings.lines(planned(FEWER, ESZSL(), TinyDomain()).cells)
    assert "generalised zero-shot, 2 classes with examples in the source and 1 without" in line
    assert others == ["tiny with tiny: what classes the weights of tiny have seen is not known"]


def test_it_is_no_zero_shot_where_the_source_has_examples_of_every_class():
    with pytest.raises(BadInputError, match="tiny has examples of every class of tiny"):
        planned(TinySource(domain=TinyDomain(shift=0.4)), ESZSL(), TinyDomain())


def test_what_a_source_started_from_has_not_seen_the_unseen_classes_either():
    everything = TrainedHere(SmallCNN(), TinyDomain(shift=0.2), PLAN)
    source = TrainedHere(SmallCNN(), TinyDomain(shift=0.4, only=SEEN), PLAN, start=everything)
    with pytest.raises(BadInputError, match=f"started from was trained on '{CLASSES[0]}'"):
        planned(source, ESZSL(), TinyDomain())
    seen = TrainedHere(SmallCNN(), TinyDomain(shift=0.2, only=SEEN), PLAN)
    source = TrainedHere(SmallCNN(), TinyDomain(shift=0.4, only=SEEN), PLAN, start=seen)
    told = forewarnings.lines(planned(source, ESZSL(), TinyDomain()).cells)
    assert not any("not known" in line for line in told)
