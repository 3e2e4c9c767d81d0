"""A training may bring learning-rate factors; what somebody typed wins."""

import copy

import pytest

from composed import composer, planned
from transfergrid.records.errors import BadInputError
from transfergrid.runs.planning.plan import Option
from transfergrid.runs.planning.tuned import check_factors, tuned

FACTORS = {"full_finetuning": 0.07, "distillation": 5.0, "scratch": 2.5}


def training(factors=FACTORS):
    config = copy.deepcopy(composer().option("training", "default").config)
    config["about"]["lr_factors"] = factors
    return Option("mine", config)


def strategy(name, *overrides):
    return composer().option("strategy", name, tuple(f"strategy.{o}" for o in overrides))


def test_a_shipped_strategy_takes_the_factor_chosen_under_the_training():
    found = tuned(strategy("full_finetuning"), training())
    assert found.config == {**strategy("full_finetuning").config, "lr_factor": 0.07}
    assert found.name == "full_finetuning"


def test_a_strategy_inside_another_takes_its_own():
    found = tuned(strategy("distillation"), training()).config
    assert (found["lr_factor"], found["teacher"]["lr_factor"]) == (5.0, 0.07)


@pytest.mark.parametrize("key", ["lr_factor", "teacher.lr_factor"])
def test_a_typed_factor_stays(key):
    found = tuned(strategy("distillation", f"{key}=0.5"), training()).config
    node = found["teacher"] if key.startswith("teacher") else found
    other = found if key.startswith("teacher") else found["teacher"]
    assert node["lr_factor"] == 0.5
    assert other["lr_factor"] in FACTORS.values()


def test_other_overrides_do_not_keep_the_factor_away():
    assert tuned(strategy("distillation", "temperature=2"), training()).config["lr_factor"] == 5.0


def test_nothing_changes_without_factors_or_for_other_strategies():
    plain = strategy("full_finetuning")
    assert tuned(plain, composer().option("training", "default")) is plain
    assert tuned(plain, None) is plain
    assert tuned(strategy("layerwise_lr"), training()) is strategy("layerwise_lr")
    own = Option("gentle", plain.config)
    assert tuned(own, training()) is own


def test_a_factor_for_no_strategy_is_refused():
    with pytest.raises(BadInputError, match="did you mean scratch"):
        check_factors(training({"scrtch": 1.0}), composer().names("strategy"))


def test_baselines_take_theirs_too():
    made = planned("training=text", "labels=5")
    factors = composer().option("training", "text").config["about"]["lr_factors"]
    for cell in made.cells:
        assert cell.config["strategy"]["lr_factor"] == factors[cell.names.strategy]
    typed = planned("training=text", "labels=5", "strategy.lr_factor=0.123")
    (wanted,) = (cell for cell in typed.cells if cell.id in typed.wanted)
    (scratch,) = (cell for cell in typed.cells if cell.id not in typed.wanted)
    assert wanted.config["strategy"]["lr_factor"] == 0.123
    assert scratch.config["strategy"]["lr_factor"] == factors["scratch"]
