"""A strategy has defaults of its own under a kind of training; what somebody typed wins."""

import copy

import pytest

from composed import composer, planned
from transfergrid.api import _option
from transfergrid.records.shipped import strategies
from transfergrid.runs.planning.plan import Option
from transfergrid.runs.planning.tuned import tuned
from transfergrid.strategies.fine_tuning.distillation import Distillation
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning

CHOSEN = {
    "small_images": {
        **dict.fromkeys(("scratch", "source_only", "source_and_target"), 3.0),
        **{"domain_adversarial": 3.0, "feature_extraction": 10.0, "full_finetuning": 1.0},
        **dict.fromkeys(("scratch_converged", "distillation", "layerwise_lr"), 3.0),
    },
    "images": {
        **{"scratch": 30.0, "feature_extraction": 30.0, "full_finetuning": 0.3},
        **{"scratch_converged": 30.0, "distillation": 30.0, "layerwise_lr": 1.0},
        **dict.fromkeys(("source_only", "source_and_target", "domain_adversarial"), 0.3),
    },
    "text": {
        **{"scratch": 0.1, "feature_extraction": 10.0, "full_finetuning": 0.1},
        **{"scratch_converged": 0.1, "distillation": 0.1, "layerwise_lr": 0.3},
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
            assert set(told.config["about"]["space"]["lr_factor"]["under"]) == {*CHOSEN}, name


def test_a_strategy_of_somebodys_own_brings_its_own():
    config = copy.deepcopy(strategy("full_finetuning").config)
    config["about"]["space"] = {"lr_factor": {"default": 1.0, "under": {"text": 0.07}}}
    own = Option("gentle", {**config, "_target_": "my_strategies.Gentle"})
    assert tuned(own, training("text")).config["lr_factor"] == 0.07
    assert tuned(own, training("images")) is own


def test_a_strategy_inside_another_takes_its_own():
    found = tuned(strategy("distillation"), training("images")).config
    assert (found["lr_factor"], found["teacher"]["lr_factor"]) == (30.0, 0.3)


@pytest.mark.parametrize("key", ["lr_factor", "teacher.lr_factor"])
def test_a_typed_factor_stays(key):
    found = tuned(strategy("distillation", f"{key}=0.5"), training("images")).config
    node = found["teacher"] if key.startswith("teacher") else found
    other = found if key.startswith("teacher") else found["teacher"]
    assert node["lr_factor"] == 0.5
    assert other["lr_factor"] in (30.0, 0.3)


def test_an_argument_that_was_passed_in_python_stays():
    made = Distillation(FullFinetuning(lr_factor=2.0), temperature=2.0)
    found = tuned(_option(made), training("images")).config
    assert (found["lr_factor"], found["teacher"]["lr_factor"]) == (30.0, 2.0)


def test_other_overrides_do_not_keep_the_factor_away():
    found = tuned(strategy("distillation", "temperature=2"), training("images")).config
    assert (found["temperature"], found["lr_factor"]) == (2.0, 30.0)


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
