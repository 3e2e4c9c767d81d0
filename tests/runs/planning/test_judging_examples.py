"""Of a large target a part of the labels set aside validates, by a number that identity holds."""

import pytest

from transfergrid.runs.planning.grid import Planner
from transfergrid.runs.planning.judged import judged
from transfergrid.runs.planning.plan import Asked, Option

TRAINING = "transfergrid.records.training.Training"
ABOUT = {"version": 1, "optional": ["views", "validation_examples"]}


def target(per_class):
    config = {"_target_": "transfergrid.data.noise.Noise", "per_class": per_class}
    return Option("noise", config)


def training(number=None, **more):
    told = {"_target_": TRAINING, "validation_examples": number, "about": ABOUT, **more}
    return Option("default", told)


def number(told, per_class):
    return judged(told, target(per_class).config).config["validation_examples"]


def cell(told, per_class, labels=20):
    about = {
        "needs": {"source": "architecture"},
        "baselines": {"labelled": None},
    }
    scratch = Option("scratch", {"_target_": "b.scratch", "about": about})
    small = {"_target_": "transfergrid.sources.timm.TimmArchitecture", "model": "small"}
    source = Option("some", {"_target_": "a.some", "architecture": small, "domain": None})
    asked = Asked([source], [scratch], [target(per_class)], [told], [labels], [0])
    (made,) = Planner({"scratch": scratch}.__getitem__).plan(asked).cells
    return made


def test_only_of_a_large_target_where_nobody_typed_a_number():
    assert number(training(), 1000) is None  # ten classes: 10,000 examples
    assert number(training(), 1001) == 2000
    assert number(training(50), 1001) == 50
    assert number(training("all"), 1001) is None
    assert number(training("all"), 5) is None


def test_a_small_target_and_all_keep_the_identity_that_cells_had_before():
    config = {key: v for key, v in training().config.items() if key != "validation_examples"}
    before = Option("default", {**config, "about": {"version": 1}})
    for told, per_class in ((training(), 1000), (training("all"), 1001), (training("all"), 5)):
        kept = Option("default", {**config, "_target_": TRAINING})
        assert judged(told, target(per_class).config).digest == kept.digest == before.digest
    assert cell(training(), 1001).id != cell(training("all"), 1001).id
    assert cell(training(), 1000).id == cell(training("all"), 1000).id


@pytest.mark.parametrize("labels", [1, 20, "all"])
def test_all_budgets_of_a_target_share_their_training(labels):
    made = cell(training(), 1001, labels)
    assert made.config["training"]["validation_examples"] == 2000
    assert made.parts.training == cell(training(), 1001).parts.training
    assert made.names.training == "default"


def test_a_training_of_ones_own_class_and_a_target_that_cannot_tell_are_left_alone():
    own = Option("own", {"_target_": "mine.Training", "steps": 3})
    assert judged(own, target(1001).config) is own
    told = training()
    assert judged(told, {"_target_": "transfergrid.data.noise.Noise", "n_classes": -1}) is told
