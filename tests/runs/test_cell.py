"""One cell, start to finish: what it may look at, what it writes down, that it repeats itself."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import watched_domain
from composed import planned
from transfergrid.data.views import View
from transfergrid.records.factory import config_of
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.metrics import CLASSES, metrics_of
from transfergrid.records.record import Status
from transfergrid.report.exports.model_card import model_card
from transfergrid.runs import cell as cell_module
from transfergrid.runs.cell import run_cell
from transfergrid.runs.choosing import Choice
from transfergrid.runs.machine import Machine

SMALL = [
    "source.domain.per_class=4",
    "source.domain.test_per_class=2",
    "source.training.steps=3",
    "training.steps=5",
]
CPU = Machine(accelerator="cpu", threads=1)
STRATEGIES = [
    "scratch",
    "scratch_converged",
    "source_only",
    "source_and_target",
    "feature_extraction",
    "full_finetuning",
    "layerwise_lr",
    "distillation",
    "domain_adversarial",
    "majority",
    "logistic_regression",
]


def cell(*overrides, strategy="full_finetuning", labels="20", **changes):
    """Return a planned cell of this strategy."""
    small = SMALL if strategy not in ("majority", "logistic_regression") else []
    made = planned(*small, f"strategy={strategy}", f"labels={labels}", *overrides)
    (chosen,) = [c for c in made.cells if c.id in made.wanted]
    parts = {key: changes.pop(key) for key in ("source", "target") if key in changes}
    return replace(chosen, config={**chosen.config, **parts}, **changes)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    return Ledger(tmp_path_factory.mktemp("cells") / "results")


@pytest.fixture(scope="module")
def records(ledger):
    """Every strategy's record at 20 labels a class (source_only uses none)."""
    return {name: run_cell(cell(strategy=name), ledger, CPU) for name in STRATEGIES}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_record_is_filled_sensibly(records, ledger, name):
    record = records[name]
    assert record.status is Status.DONE
    assert ledger.read(record.id) == record
    assert record.names.strategy == name
    assert record.score == record.scores.test["accuracy"]
    for scores in filter(None, (record.scores.train, record.scores.validation, record.scores.test)):
        assert scores.keys() == {*metrics_of(CLASSES)}
        assert all(0 <= scores[key] <= 1 for key in scores if key != "loss")
    data = record.data
    learned = name not in ("source_only",)
    assert (data.train, data.validation, data.test) == ((160, 40, 797) if learned else (0, 0, 797))
    assert data.classes == tuple("0123456789")
    assert sum(data.per_class.values()) == (200 if learned else 0)
    assert not data.short
    seconds = record.cost.seconds
    parts = [seconds.load, seconds.source, seconds.teacher, seconds.train, seconds.evaluate]
    parts.append(seconds.diagnose)
    assert all(part >= 0 for part in parts)
    assert sum(parts) <= seconds.total + 1e-6
    assert sum(parts) >= 0.5 * seconds.total
    assert record.cost.peak_memory_bytes > 10 * 2**20
    assert record.machine.threads == 1
    assert record.versions["torch"].startswith(torch.__version__.split("+")[0])
    assert record.code


@pytest.mark.parametrize("name", STRATEGIES)
def test_parameters_and_operations(records, name):
    cost, whole = records[name].cost, records["full_finetuning"].cost
    assert 0 < cost.seconds_forward < 1
    if name in ("majority", "logistic_regression"):
        assert cost.parameters == cost.parameters_trained == 0, "nothing that a step changes"
        return
    assert cost.flops_forward > 0
    assert cost.parameters > 0
    if name in ("scratch", "full_finetuning", "layerwise_lr", "source_and_target"):
        assert cost.parameters == cost.parameters_trained == whole.parameters
        assert cost.flops_forward == whole.flops_forward
    if name == "feature_extraction":
        assert cost.parameters == whole.parameters
        assert 0 < cost.parameters_trained < 0.2 * cost.parameters


def test_every_arm_had_the_same_budget_and_said_so(records):
    for name in set(STRATEGIES) - {"scratch_converged", "majority", "logistic_regression"}:
        budget = records[name].budget
        assert budget.steps == budget.optimiser_steps == 5
        assert budget.target_batches == (0 if name == "source_only" else 5)
        takes = name in ("source_only", "source_and_target", "domain_adversarial")
        assert budget.source_batches == (5 if takes else 0)
        assert budget.unlabelled_batches == (5 if name == "domain_adversarial" else 0)
        assert budget.teacher_steps == (5 if name == "distillation" else 0)
    assert 5 <= records["scratch_converged"].budget.steps <= 20


def test_the_step_is_chosen_on_the_validation_part(records, ledger):
    record = records["full_finetuning"]
    curves = ledger.curves(record.id)
    assert record.chosen.by == "validation"
    assert record.chosen.step in curves["validation_step"]
    best = curves["validation_score"].max()
    first = curves["validation_step"][curves["validation_score"].argmax()]
    assert record.chosen.step == first, "the earliest of equals"
    assert record.scores.validation["accuracy"] == pytest.approx(best)
    assert record.budget.validation_checks == len(curves["validation_step"])
    assert list(curves["examples_seen"]) == [32 * step for step in curves["train_step"]]


def test_so_many_examples_judge_as_were_asked_for_and_the_same_of_all_arms(ledger, monkeypatch):
    parts, looked = [], []

    def learn(setup, *rest):
        parts.append((set(setup.data.validation.indices), set(setup.drawn.validation)))
        return was_learned(setup, *rest)

    def look(choice, *rest):
        looked.append(len(choice.view))
        return was_looked(choice, *rest)

    was_learned, was_looked = cell_module.learn, Choice.look
    monkeypatch.setattr(cell_module, "learn", learn)
    monkeypatch.setattr(Choice, "look", look)
    for name in ("full_finetuning", "scratch"):
        record = run_cell(cell("training.validation_examples=12", strategy=name), ledger, CPU)
        data = record.data
        assert (data.train, data.validation, data.judged, record.n_validation) == (160, 40, 12, 12)
        right = record.scores.validation["accuracy"] * 12
        assert right == pytest.approx(round(right)), "a share of twelve"
        assert "40 set aside, 12 to choose by" in model_card(ledger, record)
    assert set(looked) == {12}
    assert parts[0] == parts[1]
    assert parts[0][0] < parts[0][1]


def test_predictions_are_the_scores(records, ledger):
    for record in records.values():
        kept = ledger.predictions(record.id)
        assert kept.probabilities.shape == (797, 10)
        np.testing.assert_allclose(kept.probabilities.sum(axis=1), 1, atol=1e-5)
        assert kept.correct().mean() == pytest.approx(record.score)


# Small and large budgets ------------------------------------------------------------------------


def test_few_labels_have_no_validation_and_keep_the_last_step(ledger):
    record = run_cell(cell(labels="2"), ledger, CPU)
    assert (record.data.train, record.data.validation) == (20, 0)
    assert (record.chosen.step, record.chosen.by) == (5, "last_step")
    assert record.scores.validation is None
    assert record.budget.validation_checks == 0
    assert set(record.data.per_class.values()) == {2}


def test_of_all_labels_a_fifth_validates(ledger):
    record = run_cell(cell(labels="all"), ledger, CPU)
    assert record.data.train + record.data.validation == 1000
    assert 180 <= record.data.validation <= 200
    assert record.chosen.by == "validation"


def test_without_labels_nothing_of_the_target_is_learned_from_but_its_inputs(ledger):
    record = run_cell(cell(strategy="domain_adversarial", labels="0"), ledger, CPU)
    assert (record.data.train, record.data.validation) == (0, 0)
    assert record.data.unlabelled == 1000
    assert record.scores.train is None
    assert record.scores.validation is None
    assert record.chosen.by == "last_step"


# What a cell may look at ------------------------------------------------------------------------


def watched(salt, **changes):
    target = config_of(watched_domain.WatchedDomain(salt=salt))
    return cell(target=target, **changes)


def test_fewer_examples_than_asked_are_used_and_recorded(ledger):
    record = run_cell(watched(0, id="a" * 16), ledger, CPU)
    assert record.data.per_class == {"few": 4, "many": 20}
    assert record.data.short == {"few": (20, 4)}


def test_why_nothing_validates_is_recorded(ledger):
    target = config_of(watched_domain.GroupedDomain())
    record = run_cell(cell(target=target, strategy="majority", id="b" * 16), ledger, CPU)
    assert record.data.validation == 0
    assert record.data.notes["no_validation"] == "each group is all there is of some class"


@pytest.mark.parametrize("strategy", ["full_finetuning", "domain_adversarial", "distillation"])
def test_the_test_split_is_read_once_and_after_every_choice(ledger, monkeypatch, strategy):
    events = watched_domain.EVENTS
    real = cell_module.learn

    def learn(*arguments):
        assert not events, "nothing of test is touched before"
        fitted = real(*arguments)
        assert not events
        return fitted

    monkeypatch.setattr(cell_module, "learn", learn)
    salt = 1 + STRATEGIES.index(strategy)
    made = watched(salt, strategy=strategy, id=f"{salt:016x}")
    if strategy == "domain_adversarial":
        source = dict(made.config["source"])
        source["domain"] = config_of(watched_domain.WatchedDomain(salt=100))
        made = replace(made, config={**made.config, "source": source})
    events.clear()
    run_cell(made, ledger, CPU)
    assert events.count("test images") == 1
    assert set(events) <= {"test images", "one test image", "test labels"}
    events.clear()


# Again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["full_finetuning", "domain_adversarial", "distillation"])
def test_a_cell_repeats_itself_bit_for_bit(records, ledger, tmp_path, name):
    torch.manual_seed(99)
    again = Ledger(tmp_path)
    repeated = run_cell(cell(strategy=name), again, CPU)
    first = records[name]
    assert repeated.id == first.id
    assert repeated.scores == first.scores
    assert repeated.chosen == first.chosen
    one, two = ledger.predictions(first.id), again.predictions(first.id)
    np.testing.assert_array_equal(one.probabilities, two.probabilities)
    old, new = ledger.curves(first.id), again.curves(first.id)
    assert all(np.array_equal(old[key], new[key]) for key in old)


def test_weights_made_elsewhere_are_found_again(records, ledger):
    cards = list((ledger.root / "sources").glob("*/card.json"))
    assert len(cards) == 1, "one source for all strategies"
    told = {
        r.source["fingerprint"] for r in records.values() if r.source and "own_test" in r.source
    }
    assert len(told) == 1


def test_a_diverging_cell_says_so(ledger):
    with pytest.raises(FloatingPointError, match="training loss is"):
        run_cell(cell("training.lr=1e30", "training.optimizer=sgd"), ledger, CPU)


def test_scores_are_finite(records):
    assert all(math.isfinite(v) for r in records.values() for v in r.scores.test.values())


def test_a_large_class_sorted_training_part_is_scored_over_all_its_classes(monkeypatch):
    monkeypatch.setattr(cell_module, "LARGEST_TRAIN_SCORE", 6)
    view = View(None, np.arange(30), np.repeat(np.arange(3), 10))
    few = cell_module._some(view)
    assert np.bincount(few.labels).tolist() == [2, 2, 2]
    assert (view.labels[few.indices] == few.labels).all()


def test_the_source_is_fingerprinted_before_it_is_trained_further(records):
    tuned, frozen = records["full_finetuning"].source, records["feature_extraction"].source
    assert tuned["fingerprint"] == frozen["fingerprint"]
    assert len(tuned["fingerprint"]) == 16


def test_what_a_strategy_found_stands_in_its_record(tmp_path):
    ledger = Ledger(tmp_path / "results")
    record = run_cell(cell(strategy="auto_rgn"), ledger, CPU)
    importance = ledger.read(record.id).told["importance"]
    assert {"head", "backbone.network.conv1.0"} <= importance.keys()
    assert 0 < max(importance.values()) <= 1
