"""Searches that begin with what was best on other targets: whose, how many, and the same again."""

import json
from dataclasses import replace

import pytest

from composed import requested
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.runs.planning.warm_starts import data_of, lines
from transfergrid.verbs.sweep import make_plan

MATRIX = ("target.users=30", "target.n_items=20", "target.density=0.5")
WORDS = ("target=planted_ratings", *MATRIX, "labels=100")
SEARCH = ("tuning=random", "tuning.trials=4")
WARM = (*SEARCH, "tuning.warm_start=ledger")


def plan_of(ledger, *words, strategy="matrix_factorization", remember=True):
    asked = requested(*WORDS, f"strategy={strategy}", *words)
    return make_plan(*asked, [], True, ledger, remember)


def run_all(ledger, plan):
    for cell in plan.cells:
        run_cell(cell, ledger, Machine("cpu", threads=1, diagnostics="none"))


def searches(plan):
    return {c.names.strategy: c.config["tuning"] for c in plan.cells if c.config.get("tuning")}


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """Return a ledger in which both arms were tuned on another target, and one alone on a third."""
    ledger = Ledger(tmp_path_factory.mktemp("ledger"))
    run_all(ledger, plan_of(ledger, *SEARCH, "target.seed=5"))
    run_all(ledger, plan_of(ledger, *SEARCH, "target.seed=6", strategy="rating_means"))
    return ledger


def test_searches_begin_with_what_was_chosen_on_the_other_target(before):
    told = searches(plan_of(before, *WARM, remember=False))
    assert told.keys() == {"matrix_factorization", "rating_means"}
    for search in told.values():
        (first,) = search["first"]
        record = before.read(first["cell"])
        assert record.tuning.trials[record.tuning.chosen].values == first["values"]
        assert record.config["target"]["seed"] == 5, "on the third not all were tuned"
        assert search["trials"] == 4


def test_the_first_trial_is_the_one_from_elsewhere_and_the_others_are_searched_as_ever(before):
    (warm,) = [c for c in plan_of(before, *WARM).cells if "factorization" in c.names.strategy]
    (cold,) = [c for c in plan_of(before, *SEARCH).cells if "factorization" in c.names.strategy]
    assert warm.id != cold.id
    machine = Machine("cpu", threads=1, diagnostics="none")
    one, other = (run_cell(cell, before, machine).tuning.trials for cell in (warm, cold))
    assert len(one) == len(other) == 4
    (first,) = warm.config["tuning"]["first"]
    assert (one[0].values, one[0].cell) == (first["values"], first["cell"])
    assert one[0].target.startswith("planted_ratings")
    assert [t.values for t in one[1:]] == [t.values for t in other[:3]]
    assert {t.cell for t in (*one[1:], *other)} == {None}


def test_neither_the_target_itself_nor_one_of_the_same_command_is_another_one(before):
    alone = plan_of(before, *WARM, "target.seed=5", remember=False)
    assert {c.id for c in alone.cells} == {
        c.id for c in plan_of(before, *SEARCH, "target.seed=5").cells
    }
    otherwise = plan_of(before, *WARM, "target.seed=5", "target.metric=mae", remember=False)
    assert not any(search.get("first") for search in searches(otherwise).values())
    both = plan_of(before, *WARM, "target.seed=5,0", remember=False)
    assert not any(cell.config["tuning"].get("first") for cell in both.cells)
    tunings = requested(*WORDS, "strategy=matrix_factorization", *WARM)[0].tunings
    assert all("nothing" in line for line in lines(both.cells, tunings))


def test_the_same_command_goes_on_with_the_same_however_the_ledger_grows(before, tmp_path):
    ledger = Ledger(tmp_path)
    run_all(ledger, plan_of(ledger, *SEARCH, "target.seed=5"))
    plan = plan_of(ledger, *WARM)
    run_all(ledger, plan_of(ledger, *SEARCH, "target.seed=7"))
    again = plan_of(ledger, *WARM)
    assert {c.id for c in again.cells} == {c.id for c in plan.cells}
    for file in (ledger.root / "warm_starts").iterdir():
        assert json.loads(file.read_text())
        file.unlink()
    assert {c.id for c in plan_of(ledger, *WARM).cells} != {c.id for c in plan.cells}


def test_the_plan_says_what_each_search_begins_with(before):
    tunings = requested(*WORDS, "strategy=matrix_factorization", *WARM)[0].tunings
    (line,) = lines(plan_of(before, *WARM, remember=False).cells, tunings)
    assert "1 of 4 trials from planted_ratings" in line
    assert "matrix_factorization" in line
    assert "rating_means" in line
    cold = requested(*WORDS, "strategy=matrix_factorization", *SEARCH)[0].tunings
    assert lines(plan_of(before, *SEARCH).cells, cold) == []


def test_no_test_score_moves_what_is_taken(before, tmp_path):
    """Records whose test scores are turned around give the same settings."""
    told = searches(plan_of(before, *WARM, remember=False))

    class Turned(Ledger):
        def find(self, identity):
            record = super().find(identity)
            test = {name: -(value or 0) for name, value in record.scores.test.items()}
            return replace(record, scores=replace(record.scores, test=test))

    assert searches(plan_of(Turned(before.root), *WARM, remember=False)) == told


def test_data_are_told_by_what_files_hold(tmp_path):
    about = {"paths": ["file", "test_file"]}
    one, copy, other = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv"))
    for file, text in ((one, "x"), (copy, "x"), (other, "y")):
        file.write_text(text)
    tables = [
        {"_target_": "T", "file": str(file), "metric": metric, "about": about}
        for file, metric in ((one, "mae"), (copy, "rmse"), (other, "mae"))
    ]
    first, same, different = map(data_of, tables)
    assert first == same
    assert not first & different


def test_the_first_trial_may_be_the_strategy_as_it_comes(tmp_path):
    first = (*SEARCH, "tuning.warm_start=defaults")
    ledger, machine = Ledger(tmp_path), Machine("cpu", threads=1, diagnostics="none")
    for warm, cold, plain in zip(
        *(plan_of(ledger, *words).cells for words in (first, SEARCH, ())), strict=True
    ):
        assert len({warm.names.strategy, cold.names.strategy, plain.names.strategy}) == 1
        own, other = (run_cell(cell, ledger, machine).tuning.trials for cell in (warm, cold))
        as_it_comes = plain.config["strategy"]
        assert own[0].values == {name: as_it_comes[name] for name in other[0].values}
        assert (own[0].cell, own[0].target) == (None, None)
        assert [t.values for t in own[1:]] == [t.values for t in other[:3]]


def test_what_a_method_chooses_by_itself_is_left_to_it(tmp_path):
    """The noise of r3f follows from its precision unless it is typed."""
    words = ("source=glyph_digits", "target=digits", "strategy=r3f", "labels=20", *SEARCH)
    asked = requested(*words, "tuning.warm_start=defaults")
    plan = make_plan(*asked, [], True, Ledger(tmp_path))
    (told,) = [c.config["tuning"] for c in plan.cells if c.names.strategy == "r3f"]
    (begun,) = told["first"]
    assert begun["values"].keys() == told["space"].keys() - {"eps"}
    assert None not in begun["values"].values()


def test_a_default_that_is_not_searched_begins_nothing(tmp_path):
    ledger = Ledger(tmp_path)
    ends = "tuning.space={rank: {low: 30, high: 40}}"
    words = (*SEARCH, "tuning.warm_start=defaults", ends)
    plan = plan_of(ledger, *words)
    asked = requested(*WORDS, "strategy=matrix_factorization", *words)[0]
    (line,) = lines(plan.cells, asked.tunings)
    assert (
        line == "no warm start of matrix_factorization: a default lies outside of what is searched"
    )
    plain = {c.id for c in plan_of(ledger, *SEARCH, ends).cells}
    assert len(plain & {c.id for c in plan.cells}) == 1, "the other arm begins with its defaults"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tuning.first=[{values: {rank: 2}}]",), "tuning.first is planning's to fill"),
        (("tuning.warm_start=study",), "warm_start"),
    ],
)
def test_what_cannot_be_is_told(before, words, told):
    with pytest.raises(BadInputError, match=told):
        plan_of(before, *SEARCH, *words)
