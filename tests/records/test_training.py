"""The shared budget and its schedules; values from the papers."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfergrid.records.errors import BadInputError
from transfergrid.records.training import (
    SCHEDULES,
    Training,
    constant,
    cosine,
    inverse_decay,
    slanted_triangular,
)
from transfergrid.testing.declarations import read_yaml

SHIPPED = sorted((Path(__file__).parents[2] / "conf" / "training").glob("*.yaml"))


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.0003125), (50, 0.00515625), (100, 0.01), (500, 0.00569444), (1000, 0.0003125)],
)
def test_slanted_triangle_of_ulmfit(step, rate):
    assert 0.01 * slanted_triangular(step / 1000) == pytest.approx(rate, abs=5e-9)


@pytest.mark.parametrize(
    ("progress", "rate"),
    [
        (0.0, 0.01),
        (0.1, 0.005946),
        (0.25, 0.003908),
        (0.5, 0.002608),
        (0.75, 0.002009),
        (1.0, 0.001656),
    ],
)
def test_annealing_of_dann(progress, rate):
    assert 0.01 * inverse_decay(progress) == pytest.approx(rate, abs=5e-7)


def test_cosine_warms_up_and_ends_at_zero():
    assert cosine(0.0) == 0.05
    assert cosine(0.025) == pytest.approx(0.5)
    assert cosine(0.05) == pytest.approx(1.0)
    assert cosine(0.525) == pytest.approx(0.5)
    assert cosine(1.0) == pytest.approx(0.0)


@given(progress=st.floats(0, 1), name=st.sampled_from(sorted(SCHEDULES)))
def test_no_schedule_leaves_zero_to_one(progress, name):
    assert 0.0 <= SCHEDULES[name](progress) <= 1.0


def test_constant_is_constant():
    assert {constant(step / 10) for step in range(11)} == {1.0}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": "adamV"}, "unknown training.optimizer 'adamV'; did you mean adamw"),
        ({"augmentation": "stronk"}, "unknown training.augmentation 'stronk'; did you mean strong"),
        ({"schedule": "cosin"}, "unknown training.schedule 'cosin'; did you mean cosine"),
        ({"precision": "16"}, "unknown training.precision '16'"),
        ({"steps": 0}, "training.steps must be a whole number from 1: 0"),
        ({"steps": 2.5}, "training.steps must be a whole number from 1: 2.5"),
        ({"steps": True}, "training.steps"),
        ({"batch_size": 1}, "training.batch_size must be a whole number from 2: 1"),
        ({"validations": 0}, "training.validations"),
        ({"validation_examples": 0}, "training.validation_examples"),
        ({"validation_examples": "al"}, "training.validation_examples"),
        ({"lr": 0.0}, "training.lr must be above 0"),
        ({"lr": float("nan")}, "training.lr must be above 0"),
        ({"weight_decay": -0.1}, "training.weight_decay must be from 0"),
        ({"momentum": 1.0}, "training.momentum must be from 0 to below 1"),
        ({"gradient_clip": 0.0}, "training.gradient_clip must be above 0, or null"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(values, message):
    with pytest.raises(BadInputError, match=message):
        Training(**values)


@pytest.mark.parametrize("yaml", SHIPPED, ids=lambda path: path.stem)
def test_yaml_has_the_keys_of_the_class(yaml):
    config, keys = read_yaml(yaml), {field.name for field in dataclasses.fields(Training)}
    own = {*config} - {"_target_", "about", "defaults"}
    if "defaults" in config:  # it is another one, of which it says what differs
        assert own < keys
        assert config["defaults"][0] in {path.stem for path in SHIPPED} - {yaml.stem}
    else:
        assert own == keys
        assert config["about"]["version"] == Training.version


def test_default_yaml_is_the_default():
    config = read_yaml(next(path for path in SHIPPED if path.stem == "default"))
    values = {key: value for key, value in config.items() if key not in ("_target_", "about")}
    assert Training(**values) == Training()
