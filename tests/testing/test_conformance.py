"""Every shipped strategy conforms; for each check there is a broken one that only it finds."""

import numpy as np
import pytest
import torch
from broken_strategies import BROKEN as BROKEN_IN_STEPS
from broken_strategies import (
    ForgetsAnArgument,
    LosesPerExample,
    PeeksBeyondItsBudget,
    TakesTheSourcesTaskForItsOwn,
)
from broken_words import BROKEN as BROKEN_IN_WORDS
from sound_strategies import SOUND
from torch import nn

from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import locate, target_of
from transfergrid.records.shipped import conf_dir, strategies
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.baselines.majority import Majority
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.phases import Group
from transfergrid.testing import CHECKS, ConformanceError, check_strategy, run_check
from transfergrid.testing.bench import opened
from transfergrid.testing.tiny import TinyDomain
from transfergrid.verbs.describing import described

BROKEN = [*BROKEN_IN_STEPS, *BROKEN_IN_WORDS]
CONF = conf_dir() / "strategy"
SHIPPED = sorted(CONF.glob("*.yaml"))


def test_each_strategy_that_is_shipped_has_a_file_and_each_file_a_strategy():
    assert strategies().keys() == {yaml.stem for yaml in SHIPPED}


@pytest.mark.parametrize("name", strategies())
def test_shipped_strategy_conforms_and_its_file_is_as_described(name):
    yaml, kind = CONF / f"{name}.yaml", locate(strategies()[name])
    check_strategy(kind, yaml)
    text = yaml.read_text(encoding="utf-8")
    assert described(kind, text) == text


def test_a_new_default_goes_to_a_file_that_had_the_one_before_and_to_no_other():
    file = (CONF / "full_finetuning.yaml").read_text(encoding="utf-8")
    assert "lr_factor: 0.3\n" in file
    older = file.replace("lr_factor: 0.3", "lr_factor: 7.0").replace("default: 0.3", "default: 7.0")
    assert described(FullFinetuning, older) == file
    own = file.replace("lr_factor: 0.3\n", "lr_factor: 0.25   # mine\n")
    assert described(FullFinetuning, own.replace("default: 0.3", "default: 7.0")) == own


@pytest.mark.parametrize(("check", "strategy", "message"), BROKEN, ids=lambda part: str(part)[:40])
def test_a_broken_strategy_is_found_by_its_check_and_no_other(check, strategy, message):
    with pytest.raises(ConformanceError) as caught:
        check_strategy(strategy)
    assert list(caught.value.failures) == [check]
    assert message in caught.value.failures[check]


@pytest.mark.parametrize("strategy", SOUND)
def test_what_keeps_the_rules_is_not_refused(strategy):
    check_strategy(strategy)


def test_who_takes_a_sources_classes_for_the_targets_is_told_so():
    with pytest.raises(ConformanceError, match=r"its loss from self\.source_tasks"):
        run_check("loss_is_a_finite_scalar", TakesTheSourcesTaskForItsOwn)


def test_arguments_that_are_not_kept_are_found():
    with pytest.raises(ConformanceError, match="its config has"):
        run_check("survives_its_own_config", ForgetsAnArgument)


class Sound(Strategy):
    """Conforms; the YAMLs below do not."""

    def __init__(self, lr_factor: float = 1.0, weight: float = 0.5):
        super().__init__(lr_factor)
        self.weight = weight


class Open(Strategy):
    def __init__(self, *options: float):
        super().__init__()


GOOD = f"""
_target_: {target_of(Sound)}
lr_factor: 1.0
weight: 0.5
about: {{help: a method, version: 1, paths: [], needs: {{}}, baselines: {{}}}}
"""

YAMLS = [
    ("arguments_equal_yaml_keys", "weight: 0.5", "", "weight is missing in the YAML"),
    ("arguments_equal_yaml_keys", "weight:", "gamma: 1\nweight:", "gamma is missing in the class"),
    ("yaml_values_equal_defaults", "weight: 0.5", "weight: 0.6", "weight is 0.6 in sound.yaml"),
    ("yaml_describes_the_class", "needs: {}", "needs: {unlabelled: true}", "about.needs in"),
    ("yaml_describes_the_class", "version: 1", "version: 2", "about.version in"),
    ("yaml_describes_the_class", "paths: []", "paths: [weight]", "about.paths in"),
    ("yaml_describes_the_class", "baselines: {}", "baselines: {labelled: x}", "about.baselines"),
    ("yaml_describes_the_class", "help: a method, ", "", "has no about.help"),
    (
        "yaml_describes_the_class",
        target_of(Sound),
        target_of(FullFinetuning),
        f"Write _target_: {target_of(Sound)}",
    ),
]


@pytest.fixture
def yaml_of(tmp_path):
    def write(text):
        path = tmp_path / "sound.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(("check", "right", "wrong", "message"), YAMLS)
def test_a_yaml_that_differs_from_its_class_is_found(yaml_of, check, right, wrong, message):
    assert right in GOOD
    with pytest.raises(ConformanceError) as caught:
        check_strategy(Sound, yaml_of(GOOD.replace(right, wrong)))
    assert list(caught.value.failures) == [check]
    assert message in caught.value.failures[check]


def test_a_sound_strategy_passes_with_and_without_its_yaml(yaml_of):
    check_strategy(Sound, yaml_of(GOOD))
    for check in CHECKS[:6]:
        run_check(check, Sound, weight=0.25)


def test_arguments_without_names_are_found():
    with pytest.raises(ConformanceError, match=r"the constructor takes \*options"):
        run_check("arguments_equal_yaml_keys", Open)


def test_every_check_has_a_broken_strategy():
    assert {row[0] for row in [*BROKEN, *YAMLS]} == set(CHECKS)


# The suite itself -------------------------------------------------------------------------------


class BreaksTwoRules(PeeksBeyondItsBudget):
    def build(self, sizes):
        super().build(sizes)
        self.spare = nn.Linear(3, 3)

    def everything(self):
        return [*super().everything(), Group("spare", tuple(self.spare.parameters()))]


def test_all_that_is_broken_is_told_at_once():
    with pytest.raises(ConformanceError) as caught:
        check_strategy(BreaksTwoRules)
    assert set(caught.value.failures) == {"gradients_where_declared", "sees_only_its_labels"}
    assert str(caught.value).startswith("BreaksTwoRules is broken:\n- gradients_where_declared:")


def test_checks_that_need_a_loss_wait_for_it():
    left = len(CHECKS) - 1 - CHECKS.index("loss_is_a_finite_scalar")
    with pytest.raises(ConformanceError, match=rf"\({left} further checks were not run"):
        check_strategy(LosesPerExample)


class Crashes(Strategy):
    def loss(self, batch, progress):
        raise KeyError("centre")


def test_a_crash_is_told_with_its_place():
    with pytest.raises(ConformanceError, match=r"raises KeyError: 'centre' \(test_conformance.py"):
        run_check("loss_is_a_finite_scalar", Crashes)


def test_a_check_of_another_name_is_refused():
    with pytest.raises(BadInputError, match="did you mean frozen_stays_frozen"):
        run_check("frozen_stay_frozen", Majority)


def test_the_suite_leaves_global_state_as_it_was():
    torch.manual_seed(5)
    np.random.seed(5)
    threads = torch.get_num_threads()
    check_strategy(Majority)
    after = torch.rand(1), np.random.random()
    torch.manual_seed(5)
    np.random.seed(5)
    assert after == (torch.rand(1), np.random.random())
    assert torch.get_num_threads() == threads
    assert not any(examples.sealed for examples in opened(TinyDomain(test="poisoned")))
