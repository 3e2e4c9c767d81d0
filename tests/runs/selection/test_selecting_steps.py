"""Cells without target labels choose steps and settings by what they may see."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from transfergrid import api
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import from_json
from transfergrid.records.selection import LOWER, RULES
from transfergrid.records.training import Training
from transfergrid.runs import cell as cells
from transfergrid.runs.cell import run_cell
from transfergrid.runs.choosing import Choice
from transfergrid.runs.machine import Machine
from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.plan import Asked
from transfergrid.runs.selection.held_out import held_out
from transfergrid.runs.selection.selecting import SCORES, few
from transfergrid.runs.tuning.searches import RandomSearch
from transfergrid.strategies.adaptation.coral import Coral
from transfergrid.strategies.adaptation.shot import SHOT
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyDomain, TinySource
from transfergrid.verbs.cli import main

CPU = Machine(accelerator="cpu", threads=1)
PLAN = Training(steps=8, batch_size=8, lr=0.02, validations=4)


def planned(strategy, training=PLAN, labels=0, tuning=None):
    asked = Asked(
        sources=[api._option(TinySource(), "tiny")],
        strategies=[api._option(strategy)],
        targets=[api._option(TinyDomain(), "tiny")],
        trainings=[api._option(training, "plan")],
        labels=[labels],
        seeds=[1],
    )
    if tuning is not None:
        asked.tunings = [api._option(tuning, "random")]
    return Planner(api._baseline).plan(asked)


def wanted(*arguments, **more):
    made = planned(*arguments, **more)
    (found,) = [cell for cell in made.cells if cell.id in made.wanted]
    return found


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    return Ledger(tmp_path_factory.mktemp("selecting") / "results")


@pytest.fixture(scope="module")
def done(ledger):
    """Records of one strategy by rule, the test score of every look beside."""
    found = {}
    for rule in (None, *RULES):
        plan = replace(PLAN, selection=rule, oracle=True)
        found[rule] = run_cell(wanted(Coral(), plan), ledger, CPU)
    return found


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_chooses_the_look_that_it_finds_best(done, rule):
    record = done[rule]
    seen = [look.scores[rule] for look in record.selection.looks]
    best = (min if rule in LOWER else max)(seen)
    chosen = record.selection.looks[seen.index(best)]
    assert record.chosen.by == rule
    assert record.chosen.step == chosen.step
    assert record.score == pytest.approx(chosen.oracle), "these weights were kept, and no others"


def test_without_a_rule_the_last_step_is_kept_whatever_the_oracle_says(done):
    record = done[None]
    assert (record.chosen.by, record.chosen.step) == ("last_step", 8)
    assert record.score == pytest.approx(record.selection.looks[-1].oracle)


def test_all_rules_choose_among_the_same_run(done):
    first, *others = (record.selection.looks for record in done.values())
    assert [look.step for look in first] == [2, 4, 6, 8]
    assert all(look.scores.keys() == {*RULES} for look in first)
    for looks in others:
        assert looks == first
    assert len({record.id for record in done.values()}) == 1 + len(RULES)


def test_the_share_of_the_largest_class_stands_beside(done):
    for look in done["snd"].selection.looks:
        assert 1 / 3 <= look.largest_share <= 1.0


def test_a_fifth_of_the_source_is_held_out_of_training(done):
    assert done["entropy"].selection.source == 12  # of 20 of each class
    assert done["entropy"].selection.target == 60
    setup = set_up(wanted(Coral(), replace(PLAN, selection="entropy")))
    held, learned = setup.data.held_out[0], setup.data.source[0]
    assert not {*held.indices} & {*learned.indices}
    assert len(held) + len(learned) == 60
    assert np.bincount(held.labels).tolist() == [4, 4, 4]


def set_up(cell):
    bench = Bench(SourceOnly)
    maker = cells.maker_of(cell, Ledger("unused"), bench.machine, None, None)
    return cells.set_up(cell, maker)


def test_the_test_part_is_not_looked_at_unless_that_is_asked_for(ledger):
    cell = wanted(SourceOnly(), replace(PLAN, selection="bnm"))
    assert set_up(cell).selecting.test is None
    record = run_cell(cell, ledger, CPU)
    assert [look.oracle for look in record.selection.looks] == [None] * 4
    assert all(look.scores.keys() == {"bnm"} for look in record.selection.looks)
    assert record.chosen.by == "bnm", "a baseline that sees no target input chooses by them too"


def test_no_target_label_is_at_hand(ledger):
    selecting = set_up(wanted(SourceOnly(), replace(PLAN, selection="dev"))).selecting
    assert len(selecting.target.labels) == 0
    assert len(selecting.target) == 60


def test_looks_leave_the_run_as_it_is(done, ledger):
    """The curve of losses is that of a run in which a rule looks and the oracle does not."""
    plain = run_cell(wanted(Coral(), replace(PLAN, selection="entropy")), ledger, CPU)
    one, other = (ledger.curves(record.id) for record in (plain, done["entropy"]))
    assert one["train_loss"].tolist() == other["train_loss"].tolist()


def test_phases_of_a_method_are_looked_at_as_a_validation_part_would_be(ledger):
    plan = replace(PLAN, selection="information_maximization", oracle=True)
    record = run_cell(wanted(SHOT(), plan), ledger, CPU)
    assert [look.step for look in record.selection.looks] == [2, 4, 6, 8]


def test_records_are_read_again(done):
    record = done["dev"]
    assert from_json(record.to_json()) == record
    old = json.loads(record.to_json())
    del old["selection"]
    assert from_json(json.dumps(old)).selection is None


def test_the_rules_are_shown_side_by_side(done, ledger, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["verdicts", str(ledger.root), "--show", "rules", "--format", "json"])
    assert not ended.value.code
    rows = {row["rule"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == {"last_step", *RULES, "oracle"}
    assert rows["oracle"]["lost"] == 0
    looks = done["snd"].selection.looks
    lost = max(look.oracle for look in looks) - done["snd"].score
    assert rows["snd"]["most_lost"] >= 100 * lost - 1e-6


# Settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["entropy", "snd"])
def test_trials_are_compared_by_the_rule(ledger, rule):
    plan = replace(PLAN, selection=rule, oracle=True)
    record = run_cell(wanted(Coral(), plan, tuning=RandomSearch(trials=3)), ledger, CPU)
    scores = [trial.score for trial in record.tuning.trials]
    assert len(set(scores)) == 3
    assert record.tuning.chosen == scores.index((min if rule in LOWER else max)(scores))
    best = record.selection.by(rule)
    assert best.scores[rule] == scores[record.tuning.chosen]
    assert record.score == pytest.approx(best.oracle)


def test_without_a_rule_nothing_is_tuned():
    assert wanted(Coral(), tuning=RandomSearch(trials=3)).names.tuning is None
    plan = replace(PLAN, oracle=True)
    assert wanted(Coral(), plan, tuning=RandomSearch(trials=3)).names.tuning is None


# Identity ----------------------------------------------------------------------------------------


def test_identity_without_a_rule_is_what_it_was():
    cell = wanted(Coral())
    about = cell.config["training"]["about"]
    assert {"selection", "oracle"} <= {*about["optional"]}
    assert wanted(Coral(), replace(PLAN, selection=None, oracle=False)).id == cell.id
    assert wanted(Coral(), replace(PLAN, selection="snd")).id != cell.id
    assert wanted(Coral(), replace(PLAN, oracle=True)).id != cell.id


def test_cells_with_target_labels_do_not_hear_of_it():
    plan = replace(PLAN, selection="snd", oracle=True)
    for labels in (5, 12):
        one, other = wanted(Coral(), plan, labels=labels), wanted(Coral(), labels=labels)
        assert one.id == other.id
        assert one.config["training"]["selection"] is None
    below = wanted(Coral(), plan, labels=0)
    assert below.baseline.id == wanted(SourceOnly(), plan, labels=20).id, "which uses no labels"
    assert wanted(FullFinetuning(), plan, labels=5).id == wanted(FullFinetuning(), labels=5).id


def test_a_rule_of_the_source_needs_source_examples():
    from transfergrid.records.needs import Baselines, Needs

    class Zero(FullFinetuning):
        needs = Needs(target_labels="unused", unlabelled=True, tasks=("classification",))
        baselines = Baselines(labelled=None)

    with pytest.raises(BadInputError, match="selection=dev judges by examples of a labelled sour"):
        planned(Zero(), replace(PLAN, selection="dev"))
    assert planned(Zero(), replace(PLAN, selection="snd")).cells


def test_a_wrong_rule_says_which_was_meant():
    with pytest.raises(BadInputError, match=r"training.selection 'entropie'; did you mean entro"):
        replace(PLAN, selection="entropie")


# Parts -------------------------------------------------------------------------------------------


def test_what_is_held_out_is_a_seeded_fifth_of_each_class():
    labels = np.repeat([0, 1, 2], [50, 9, 4])
    held = held_out(labels, 0)
    assert np.bincount(labels[held], minlength=3).tolist() == [10, 1, 0]
    assert (held == held_out(labels, 0)).all()
    assert (held != held_out(labels, 1)).any()


def test_few_examples_are_drawn_whatever_their_class():
    view = Bench(SourceOnly).set_up(0).data.source[0]
    assert few(view, 0, "target") is view


def test_a_run_that_is_cut_goes_on_with_its_looks():
    bench = Bench(SourceOnly)
    setup = bench.set_up(0)
    driver = bench.driver(setup)
    choice = Choice(setup.strategy, None, None, bench.machine, driver.curves)
    choice.best, choice.looks = None, []
    state = choice.state()
    assert state["looks"] == []
    other = Choice(setup.strategy, None, None, bench.machine, driver.curves)
    other.restore({**state, "looks": [{"step": 2, "scores": {"snd": 0.5}}]})
    assert other.looks[0].scores == {"snd": 0.5}
    older = {key: value for key, value in state.items() if key != "looks"}
    other.restore(older)
    assert other.looks == []
    assert torch.is_grad_enabled()


def test_a_risk_too_large_for_a_record_is_none_there_and_the_record_can_be_read(
    tmp_path, monkeypatch
):
    """Importance weights on features that diverge gave dev values of 1e40, and a lost cell."""
    monkeypatch.setitem(SCORES, "dev", lambda shown: -1e40)
    ledger = Ledger(tmp_path / "results")
    found = run_cell(wanted(SourceOnly(), replace(PLAN, oracle=True)), ledger, CPU)
    again = ledger.read(found.id)
    assert {look.scores["dev"] for look in again.selection.looks} == {None}
    assert again.selection.by("dev") is None
