"""A strategy has defaults of its own under a kind of training; what somebody typed wins."""

import copy
import csv
import re
import runpy
from collections import defaultdict
from pathlib import Path

import pytest

from composed import composer, planned
from transfergrid.api import _option
from transfergrid.records.errors import BadInputError
from transfergrid.records.identity import identity_of
from transfergrid.records.needs import Needs
from transfergrid.records.shipped import strategies
from transfergrid.runs.planning.plan import Option
from transfergrid.runs.planning.tuned import (
    check_budgets,
    search_of,
    trials_before,
    tuned,
    unsearched,
    untuned,
)
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning

CHOSEN = {
    "small_images": {
        **{"scratch": 0.3, "feature_extraction": 3.0, "full_finetuning": 0.3},
        **{"scratch_converged": 3.0, "distillation": 0.95, "layerwise_lr": 3.0},
        **dict.fromkeys(("source_only", "source_and_target", "domain_adversarial"), 3.0),
    },
    "images": {
        **{"scratch": 10.0, "feature_extraction": 32.0, "full_finetuning": 1.0},
        **{"scratch_converged": 30.0, "distillation": 10.0, "layerwise_lr": 32.0},
        **dict.fromkeys(("source_only", "source_and_target", "domain_adversarial"), 0.3),
    },
    "text": {
        **{"scratch": 0.095, "feature_extraction": 3.0, "full_finetuning": 0.095},
        **{"scratch_converged": 0.1, "distillation": 0.3, "layerwise_lr": 3.0},
        **dict.fromkeys(("source_only", "source_and_target", "domain_adversarial"), 0.1),
    },
}
"""What experiments/learning_rates chose."""


def training(kind):
    config = copy.deepcopy(composer().option("training", "default").config)
    config["about"]["kind"] = kind
    return Option("mine", config)


def strategy(name, *overrides):
    return composer().option("strategy", name, tuple(f"strategy.{o}" for o in overrides))


@pytest.mark.parametrize("kind", CHOSEN)
def test_the_factors_are_those_of_the_log(kind):
    for name, factor in CHOSEN[kind].items():
        assert tuned(strategy(name), training(kind)).config["lr_factor"] == factor


def test_all_that_trains_has_a_default_under_every_kind():
    for name in strategies():
        told = strategy(name)
        if told.needs.steps:
            under = set(told.config["about"]["space"]["lr_factor"]["under"])
            assert under - {"brief", "vectors"} == {*CHOSEN}, name


def test_a_strategy_of_somebodys_own_brings_its_own():
    config = copy.deepcopy(strategy("full_finetuning").config)
    config["about"]["space"] = {"lr_factor": {"default": 1.0, "under": {"text": 0.07}}}
    own = Option("gentle", {**config, "_target_": "my_strategies.Gentle"})
    assert tuned(own, training("text")).config["lr_factor"] == 0.07
    assert tuned(own, training("images")) is own


def test_a_strategy_inside_another_takes_its_own():
    found = tuned(strategy("distillation"), training("images")).config
    assert (found["lr_factor"], found["teacher"]["lr_factor"]) == (10.0, 1.0)


@pytest.mark.parametrize("key", ["lr_factor", "teacher.lr_factor"])
def test_a_typed_factor_stays(key):
    found = tuned(strategy("distillation", f"{key}=0.5"), training("images")).config
    node = found["teacher"] if key.startswith("teacher") else found
    other = found if key.startswith("teacher") else found["teacher"]
    assert node["lr_factor"] == 0.5
    assert other["lr_factor"] in (10.0, 1.0)


def test_an_argument_that_was_passed_in_python_stays():
    made = Distillation(FullFinetuning(lr_factor=2.0), temperature=2.0)
    found = tuned(_option(made), training("images")).config
    assert (found["lr_factor"], found["teacher"]["lr_factor"]) == (10.0, 2.0)


def test_other_overrides_do_not_keep_the_factor_away():
    found = tuned(strategy("distillation", "temperature=2"), training("images")).config
    assert (found["temperature"], found["lr_factor"]) == (2.0, 10.0)


def rates_of(*words):
    cells = planned(*words).cells
    return {cell.names.strategy: cell.config["strategy"]["lr_factor"] for cell in cells}


def test_a_grid_may_have_defaults_of_its_own_of_its_baselines_too():
    """They are what was typed for nobody: of a kind of training they take the place."""
    usual = "strategy_defaults={full_finetuning: {lr_factor: 0.7}, scratch: {lr_factor: 5}}"
    for training in ("training=default", "training=text"):
        assert rates_of(training, usual) == {"full_finetuning": 0.7, "scratch": 5}
        typed = rates_of(training, usual, "strategy.lr_factor=0.2")
        assert typed.pop("scratch") == 5
        assert [*typed.values()] == [0.2]
    same = planned("strategy.lr_factor=0.7"), planned(usual)
    first, second = ({c.names.strategy.partition("(")[0]: c.id for c in p.cells} for p in same)
    assert first["full_finetuning"] == second["full_finetuning"]
    assert first["scratch"] != second["scratch"]


def test_what_is_a_default_of_a_grid_is_still_searched_a_decade_around_it():
    usual = "strategy_defaults={scratch: {lr_factor: 5}}"
    cells = planned("strategy=full_finetuning", usual, *RANDOM).cells
    (scratch,) = (cell for cell in cells if cell.names.source is None)
    ends = scratch.config["tuning"]["space"]["lr_factor"]
    assert (ends["low"], ends["high"]) == (0.5, 50)


def test_a_part_of_a_strategy_may_have_a_default_of_the_grid_too():
    usual = "strategy_defaults={distillation: {teacher.lr_factor: 0.7, temperature: 3}}"
    cells = planned("strategy=distillation", "training=images", usual).cells
    (found,) = (c.config["strategy"] for c in cells if c.names.strategy == "distillation")
    plain = tuned(strategy("distillation"), training("images")).config
    assert found["teacher"]["lr_factor"] == 0.7
    assert found["temperature"] == 3
    assert found["lr_factor"] == plain["lr_factor"]


@pytest.mark.parametrize(
    ("usual", "told"),
    [
        (
            "{scrach: {lr_factor: 3}}",
            "strategy in strategy_defaults 'scrach'",
        ),
        ("{full_finetuning: {lr_facto: 3}}", "full_finetuning.*lr_facto.*did you mean lr_factor"),
        ("{full_finetuning: 3}", "give values by strategy and argument"),
        ("{full_finetuning: {schedule.low: 3}}", "there is nothing inside schedule"),
    ],
)
def test_a_default_of_nothing_is_refused(usual, told):
    with pytest.raises(BadInputError, match=told):
        planned("strategy=full_finetuning", f"strategy_defaults={usual}")


def test_nothing_changes_under_a_training_of_no_kind():
    plain = strategy("full_finetuning")
    assert tuned(plain, composer().option("training", "default")) is plain
    assert tuned(plain, None) is plain


def test_baselines_take_theirs_too():
    made = planned("training=text", "labels=5")
    for cell in made.cells:
        assert cell.config["strategy"]["lr_factor"] == CHOSEN["text"][cell.names.strategy]
    typed = planned("training=text", "labels=5", "strategy.lr_factor=0.123")
    (wanted,) = (cell for cell in typed.cells if cell.id in typed.wanted)
    (scratch,) = (cell for cell in typed.cells if cell.id not in typed.wanted)
    assert wanted.config["strategy"]["lr_factor"] == 0.123
    assert scratch.config["strategy"]["lr_factor"] == CHOSEN["text"]["scratch"]


COUNTED = {"about": {"tuning_trials": {"default": 7, "text": 3}}}
RATED = {
    "about": {**COUNTED["about"], "space": {"lr_factor": {"default": 0.3, "under": {"text": 0.1}}}}
}


@pytest.mark.parametrize(
    ("strategy", "training", "trials"),
    [
        ({"about": {"tuning_trials": 7}}, {"about": {"kind": "text"}}, 7),
        ({"about": {"tuning_trials": 7}}, None, 7),
        (COUNTED, None, 7),
        (COUNTED, {"about": {}}, 7),
        (COUNTED, {"about": {"kind": "text"}}, 3),
        (COUNTED, {"about": {"kind": "images"}}, 0),
        ({}, None, 0),
        ({**RATED, "lr_factor": 0.3}, None, 7),
        ({**RATED, "lr_factor": 0.1}, None, 0),
        ({**RATED, "lr_factor": 0.1}, {"about": {"kind": "text"}}, 3),
        ({**RATED, "lr_factor": 0.3}, {"about": {"kind": "text"}}, 0),
    ],
)
def test_trials_before_are_those_of_the_kind_of_training(strategy, training, trials):
    assert trials_before({"strategy": strategy, "training": training}) == trials


def test_a_rate_that_nobody_chose_is_said_before_the_grid():
    grid = ("strategy=shot,full_finetuning", "target=mnist", "labels=0,20")
    assert unsearched(planned(*grid).cells) == [
        "no search chose the learning rate of shot under trainings of kind default: transfergrid "
        "tune does"
    ]
    for typed in ("strategy_defaults={shot: {lr_factor: 2}}", "strategy.lr_factor=2"):
        assert unsearched(planned(*grid, typed).cells) == []
    assert unsearched(planned("strategy=full_finetuning").cells) == []


# Searches inside a cell -------------------------------------------------------------------------

RANDOM = ("tuning=random", "tuning.trials=4")


def test_a_search_is_of_the_strategys_own_space_and_its_baselines_search_as_often():
    cells = planned("strategy=distillation", *RANDOM).cells
    searches = {c.names.strategy: c.config["tuning"] for c in cells}
    assert searches.keys() == {"distillation", "scratch"}
    assert {told["trials"] for told in searches.values()} == {4}
    assert searches["distillation"]["space"].keys() == {"lr_factor", "temperature", "weight"}
    assert searches["scratch"]["space"].keys() == {"lr_factor"}
    assert {cell.names.tuning for cell in cells} == {"random(trials=4)"}


def test_what_was_typed_is_not_searched():
    cells = planned("strategy=distillation", "strategy.temperature=2", *RANDOM).cells
    told = next(c.config for c in cells if c.names.source)
    assert told["tuning"]["space"].keys() == {"lr_factor", "weight"}
    fixed = planned("strategy=full_finetuning", "strategy.lr_factor=0.5", *RANDOM).cells
    assert next(c for c in fixed if c.names.source).names.tuning is None


def test_without_a_search_cells_are_what_they_were():
    plain, none = planned("strategy=l2_sp"), planned("tuning=none", "strategy=l2_sp")
    assert [cell.id for cell in plain.cells] == [cell.id for cell in none.cells]
    assert all("tuning" not in cell.config for cell in plain.cells)


def test_identity_moves_with_search_trials_and_space():
    ids = {
        next(c.id for c in planned("strategy=full_finetuning", *words).cells if c.names.source)
        for words in (
            (),
            RANDOM,
            ("tuning=random", "tuning.trials=5"),
            ("tuning=grid", "tuning.trials=4"),
        )
    }
    assert len(ids) == 4
    cells = planned("strategy=full_finetuning", *RANDOM).cells
    cell = next(c for c in cells if c.names.source)
    wider = copy.deepcopy(cell.config)
    wider["tuning"]["space"]["lr_factor"]["high"] = 1000.0
    assert identity_of(cell.config, Needs()) == (cell.parts, cell.id)
    assert identity_of(wider, Needs())[1] != cell.id


def test_cells_that_cannot_choose_are_those_without_a_search_and_it_is_said():
    words = ("strategy=full_finetuning", "labels=2,20")
    searched = planned(*words, *RANDOM, references=["majority"])
    plain = planned(*words, references=["majority"])
    few = {c.id for c in plain.cells if c.labels == 2 or c.names.strategy == "majority"}
    assert {c.id for c in searched.cells if c.names.tuning is None} == few
    told = untuned([searching()], searched.cells)
    assert told == [
        "untuned, labels=2: no label validates, so each strategy is run once, at its defaults or "
        "what it chooses without a validation part: said below the verdicts",
        "untuned, majority: a search has no setting of it to try, so it is run once, with whatever "
        "it chooses by itself",
    ]
    assert untuned([None], plain.cells) == []


def searching():
    return composer().option("tuning", "random")


def test_a_space_without_ends_is_refused_where_it_is_to_be_searched():
    config = copy.deepcopy(strategy("full_finetuning").config)
    config["about"]["space"] = {"lr_factor": {"default": 1.0}}
    with pytest.raises(BadInputError, match=r"mine.*lr_factor.*low.*high"):
        search_of(searching(), Option("mine", config), 20)
    assert search_of(None, Option("mine", config), 20) is None


def test_ends_that_were_typed_are_those_of_every_arm():
    ends = "tuning.space={lr_factor: {low: 0.5, high: 2.0}}"
    cells = planned("strategy=distillation", *RANDOM, ends).cells
    spaces = {cell.names.strategy: cell.config["tuning"]["space"] for cell in cells}
    for space in spaces.values():
        assert space["lr_factor"] == {"low": 0.5, "high": 2.0, "log": True}
    assert spaces["distillation"]["temperature"]["high"] == 10.0


@pytest.mark.parametrize("kind", ["default", *CHOSEN])
def test_each_rate_is_searched_as_far_around_its_default_under_any_training(kind):
    named = {"small_images": "digits28"}.get(kind, kind)
    cells = planned(f"training={named}", "strategy=distillation", *RANDOM).cells
    assert {cell.names.strategy for cell in cells} == {"distillation", "scratch"}
    for cell in cells:
        ends = cell.config["tuning"]["space"]["lr_factor"]
        told = strategy(cell.names.strategy).config["about"]["space"]["lr_factor"]
        usual = told["under"].get(kind, told["default"])
        assert (ends["low"], ends["high"]) == pytest.approx((usual / 10, usual * 10))


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ("{lr_factor: 3}", "tuning.space.lr_factor has no low and high"),
        ("{lr_factor: {low: 5, hgh: 9}}", "key of tuning.space.lr_factor.*hgh.*did you mean high"),
        ("{lr_factor: {low: 5.0, high: 3.0}}", "5.0 to 3.0 is no range"),
        ("{lr_factor: {low: 0}}", "0 to 3.0 is no range"),
        ("{lr_factor: {low: few}}", "low and high are numbers, not few"),
        ("{lr: {low: 0.1}}", "argument in tuning.space .lr.; there is lr_factor"),
    ],
)
def test_ends_that_are_none_are_refused_before_anything_runs(space, told):
    with pytest.raises(BadInputError, match=told):
        planned("strategy=full_finetuning", *RANDOM, f"tuning.space={space}")


# What the verb `tune` asks for --------------------------------------------------------------------

HELD = ("tuning=grid", "tuning.held_out=5")


def test_only_some_of_a_space_is_searched():
    told = planned("strategy=distillation", *RANDOM, "tuning.only=[lr_factor]").cells
    assert {tuple(c.config["tuning"]["space"]) for c in told} == {("lr_factor",)}
    named = "strategy.temperature=4", "strategy.weight=0.9"  # as they are
    same = planned("strategy=distillation", *RANDOM, *named).cells
    assert {cell.id for cell in told} == {cell.id for cell in same}
    with pytest.raises(BadInputError, match=r"unknown argument in tuning.only 'lr'"):
        planned("strategy=distillation", *RANDOM, "tuning.only=[lr]")


def test_what_is_held_out_judges_where_no_label_validates():
    for words in (["labels=2"], ["labels=0", "strategy=domain_adversarial"]):
        assert {c.names.tuning for c in planned(*words, "tuning=grid").cells} == {None}
        assert {c.config["tuning"]["held_out"] for c in planned(*words, *HELD).cells} == {5}


def test_a_grid_takes_no_labels_beyond_its_budgets():
    search = composer().option("tuning", "grid", ("tuning.held_out=5",))
    with pytest.raises(BadInputError, match=r"tuning.held_out=5: labels beyond a cell's own"):
        check_budgets([search])
    check_budgets([composer().option("tuning", "grid"), None])


def test_keys_that_came_later_are_no_part_of_what_a_search_was():
    search = composer().option("tuning", "random")
    later = ("only", "seed", "held_out")
    before = {key: value for key, value in search.config.items() if key not in later}
    assert Option("random", before).digest == search.digest


def test_what_is_its_baseline_but_for_a_term_has_its_factor_everywhere():
    tied = 0
    for name in strategies():
        told = strategy(name)
        space = told.config["about"]["space"].get("lr_factor", {})
        if not space.get("as_baseline"):
            continue
        tied += 1
        for other in (told.baselines.labelled, told.baselines.unlabelled):
            same = strategy(other).config["about"]["space"]["lr_factor"]
            assert (same["default"], same["under"]) == (space["default"], space["under"])
    assert tied >= 2


LOGS = Path(__file__).parents[3] / "experiments" / "learning_rates"
KEPT = {
    *("scratch", "source_and_target", "source_only", "coral"),
    *("full_finetuning", "layerwise_lr", "feature_extraction", "distillation"),
}
"""Under `default` they keep what a larger search chose, for which studies were run."""
IMAGES = ["images_family", "images_family_beyond"]
TEXT = ["text_family", "text_family_beyond"]
CELLS = {"brief": 3, "images": 4}
"""How many cells each value is the mean of; elsewhere two."""
AGAIN = {"l2_sp", "gradual_unfreezing", "linear_probe_then_finetuning"}
"""Of the first log; they were searched once more with all others of their family."""


def scores_of(*logs):
    """Return the name of what logs are of, and scores by strategy and value."""
    scores, keys = defaultdict(lambda: defaultdict(list)), set()
    for log in logs:
        with (LOGS / f"log_{log}.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                (key,) = {name for name in row if name.endswith("lr_factor")}
                keys.add(key)
                name = row["strategy"].partition("(")[0]
                scores[name][float(row[key])].append(float(row["score"]))
    (key,) = keys
    return key, scores


@pytest.mark.parametrize(
    ("logs", "kind", "kept"),
    [
        (["default_labelled"], "default", KEPT | AGAIN),
        (["default_unlabelled"], "default", KEPT),
        (["default_all", "default_beyond"], "default", KEPT | {"linear_probe_then_finetuning"}),
        (["default_second_rate"], "default", set()),
        (["brief"], "brief", {"linear_probe_then_finetuning"}),
        (["brief_second_rate"], "brief", set()),
        (["digits28_family"], "small_images", {"linear_probe_then_finetuning"}),
        (["digits28_second_rate"], "small_images", set()),
        (["digits28_unlabelled"], "small_images", KEPT),
        (IMAGES, "images", {"linear_probe_then_finetuning"}),
        (["images_second_rate"], "images", set()),
        (TEXT, "text", {"linear_probe_then_finetuning"}),
        (["text_second_rate"], "text", set()),
    ],
)
def test_defaults_are_the_best_means_of_their_log(logs, kind, kept):
    key, scores = scores_of(*logs)
    for name, by_value in scores.items():
        assert {len(found) for found in by_value.values()} == {CELLS.get(kind, 2)}
        assert len(by_value) >= 7, "seven values of as many seeds each: equal searches"
        if name in kept:
            continue
        best = max(by_value, key=lambda value: sum(by_value[value]))
        told = strategy(name).config["about"]["space"][key]
        if not told.get("as_baseline"):
            assert {**told["under"], "default": told["default"]}[kind] == float(f"{best:.2g}"), name


def test_on_vectors_a_factor_is_its_own_only_where_that_is_a_point_better():
    """So the README says; most curves are flat there, and a hundred points judge each trial."""
    seen, own = set(), {}
    for log in ("vectors_unlabelled", "vectors_labelled"):
        key, scores = scores_of(log)
        for name, by_value in scores.items():
            told = strategy(name).config["about"]["space"][key]
            if name in seen or told.get("as_baseline") or name in KEPT - {"scratch"}:
                continue
            seen.add(name)
            means = {float(f"{v:.2g}"): sum(found) / len(found) for v, found in by_value.items()}
            best = max(means, key=lambda value: means[value])
            if means[best] - means[told["default"]] > 0.01 + 1e-9:
                own[name] = best
            assert told["under"].get("vectors") == own.get(name), name
    assert own == {"scratch": 0.3, "mcd": 9.5}


@pytest.mark.parametrize(
    "log",
    [
        *("brief", "brief_second_rate", "default_all", "default_second_rate"),
        *("images_family", "images_second_rate", "text_family", "text_second_rate"),
        *("digits28_family", "digits28_second_rate"),
    ],
)
def test_a_choice_at_an_end_was_looked_beyond(log):
    _, scores = scores_of(log)
    further = {"default_all": "default_beyond"}
    further |= {name: f"{name}_beyond" for name in ("images_family", "text_family")}
    _, beyond = scores_of(further[log]) if log in further else ("", set())
    for name, by_value in scores.items():
        best = max(by_value, key=lambda value: sum(by_value[value]))
        assert min(by_value) < best < max(by_value) or name in beyond, name


ALONE = (
    *("brief", "digits28_family", "digits28_unlabelled"),
    *("digits28_weights", "vectors_unlabelled", "vectors_labelled"),
)


@pytest.mark.parametrize(
    "logs", [["default_all", "default_beyond"], IMAGES, TEXT, *([log] for log in ALONE)]
)
def test_the_tables_of_the_readme_are_those_of_the_logs(logs):
    program = runpy.run_path(str(LOGS / "table.py"))
    found = program["table"](program["read"]([LOGS / f"log_{log}.csv" for log in logs]))
    assert "\n".join(found) in (LOGS / "README.md").read_text(encoding="utf-8")


def test_a_probe_ahead_of_tuning_has_the_rate_of_the_probe_alone():
    probe, both = (
        strategy(name).config["about"]["space"]["lr_factor"]
        for name in ("feature_extraction", "linear_probe_then_finetuning")
    )
    assert (both["default"], both["under"]) == (probe["default"], probe["under"])


def trials_under(kind, name):
    told = strategy(name).config["about"]["tuning_trials"]
    return told.get(kind, 0) if isinstance(told, dict) else told


def test_no_other_factor_is_by_analogy_than_those_that_the_readme_names():
    untried = {
        name
        for name in strategies()
        if "lr_factor" in strategy(name).config["about"]["space"]
        and not trials_under("default", name)
    } - {"further_pretraining", "prefix_tuning", "prompt_tuning"}  # for tokens alone
    text = (LOGS / "README.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"^Untried under `training=default`: (.*?)\.$", text, re.M | re.S)
    assert untried == {*re.findall(r"`(\w+)`", told)}
