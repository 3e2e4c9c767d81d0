"""Every shipped strategy conforms; for each check there is a broken one that only it finds."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from transfergrid.errors import BadInputError
from transfergrid.factory import locate, target_of
from transfergrid.fitting import Machine
from transfergrid.strategies.base import ParamGroup, Strategy
from transfergrid.strategies.feature_extraction import FeatureExtraction
from transfergrid.strategies.full_finetuning import FullFinetuning
from transfergrid.strategies.majority import Majority
from transfergrid.testing import CHECKS, ConformanceError, check_strategy, run_check
from transfergrid.testing.bench import Bench, opened
from transfergrid.testing.declarations import read_yaml
from transfergrid.testing.tiny import SealedError, TinyArchitecture, TinyDomain

SHIPPED = sorted((Path(__file__).parents[2] / "conf" / "strategy").glob("*.yaml"))


@pytest.mark.parametrize("yaml", SHIPPED, ids=lambda path: path.stem)
def test_shipped_strategy_conforms(yaml):
    check_strategy(locate(read_yaml(yaml)["_target_"]), yaml)


# One broken strategy for each check -------------------------------------------------------------


class ChangesItsArgument(Strategy):
    def __init__(self, lr_factor: float = 1.0):
        lr_factor = 2 * lr_factor
        super().__init__(lr_factor)


class ForgetsAnArgument(Strategy):
    def __init__(self, weight: float = 1.0):
        nn.Module.__init__(self)
        self.weight = weight


class ReadsTheSource(Strategy):
    def loss(self, batch, progress):
        return super().loss(batch, progress) + batch.source.labels.sum()


class PreparesOnTheSource(Strategy):
    def prepare(self, data):
        self.anchors = data.source.labels


class LosesItself(Strategy):
    def loss(self, batch, progress):
        return super().loss(batch, progress) + torch.log(torch.tensor(progress - 1.0))


class LosesPerExample(Strategy):
    def loss(self, batch, progress):
        logits = self.predict(batch.target.inputs)
        return nn.functional.cross_entropy(logits, batch.target.labels, reduction="none")


class LosesDetached(Strategy):
    def loss(self, batch, progress):
        return super().loss(batch, progress).detach()


class DrawsFromNumpy(Strategy):
    def loss(self, batch, progress):
        return super().loss(batch, progress) * float(np.random.random())


class PredictsAtRandom(Strategy):
    def predict(self, inputs):
        logits = super().predict(inputs)
        return logits + torch.rand_like(logits)


class HasADeadGroup(Strategy):
    def build(self):
        self.spare = nn.Linear(3, 3)

    def trainable(self):
        return [*super().trainable(), ParamGroup("spare", list(self.spare.parameters()))]


class LearnsUndeclared(FeatureExtraction):
    def build(self):
        self.scale = nn.Parameter(torch.ones(1))

    def prepare(self, data):
        self.scale.requires_grad_(True)

    def predict(self, inputs):
        return self.scale * super().predict(inputs)


class LetsStatisticsMove(FeatureExtraction):
    def train(self, mode=True):
        return nn.Module.train(self, mode)


class MovesFrozenWeights(FeatureExtraction):
    def on_train_batch_end(self, outputs, batch, batch_idx):
        with torch.no_grad():
            self.backbone.network.conv1.weight.mul_(0.99)


class LeavesDropoutOn(FeatureExtraction):
    def train(self, mode=True):
        super().train(mode)
        self.backbone.network.dropout.train(mode)
        return self


class ReordersItsData(Strategy):
    def prepare(self, data):
        data.train.indices, data.train.labels = (
            np.flip(data.train.indices).copy(),
            np.flip(data.train.labels).copy(),
        )


def reached(name):
    """Find a local variable of a caller, as no honest strategy would."""
    frame = inspect.currentframe()
    while name not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals[name]


class PeeksAtTest(Strategy):
    def prepare(self, data):
        frequencies = np.bincount(reached("setup").target.loaded.test.labels)
        self.register_buffer("prior", torch.from_numpy(frequencies).float())


class PeeksAndHidesIt(Strategy):
    def prepare(self, data):
        try:
            first = float(reached("setup").target.loaded.test.labels[0])
        except SealedError:
            first = -1.0
        self.register_buffer("first", torch.tensor(first))


class PeeksBeyondItsBudget(Strategy):
    def prepare(self, data):
        frequencies = np.bincount(data.train.prepared.examples.labels)
        self.register_buffer("prior", torch.from_numpy(frequencies).float())


class KeepsStateAside(Strategy):
    def build(self):
        self.centre = torch.zeros(())

    def loss(self, batch, progress):
        loss = super().loss(batch, progress)
        self.centre = loss.detach()
        return loss

    def predict(self, inputs):
        return super().predict(inputs) * (1.0 + self.centre)


class AddsABufferLate(Strategy):
    def loss(self, batch, progress):
        self.register_buffer("late", torch.ones(1))
        return super().loss(batch, progress)


class StandardisesOverTheBatch(Strategy):
    def predict(self, inputs):
        logits = super().predict(inputs)
        return logits - logits.mean(dim=0)


class SqueezesABatchOfOne(Strategy):
    def predict(self, inputs):
        return self.head(self.backbone.embed(inputs).squeeze())


BROKEN = [
    ("survives_its_own_config", ChangesItsArgument, "lr_factor: 2.0 became 4.0"),
    ("reads_only_what_it_declares", ReadsTheSource, "loss reads batch.source, which is None"),
    ("reads_only_what_it_declares", PreparesOnTheSource, "prepare reads data.source"),
    ("loss_is_a_finite_scalar", LosesItself, "loss at progress 0.0 is nan"),
    ("loss_is_a_finite_scalar", LosesPerExample, "has the shape (8,)"),
    ("loss_is_a_finite_scalar", LosesDetached, "has no gradient"),
    ("same_seed_same_result", DrawsFromNumpy, "differs between two runs of the same seed"),
    ("predictions_repeat", PredictsAtRandom, "predict something else the second time"),
    ("gradients_where_declared", HasADeadGroup, "the group 'spare' of trainable() gets no"),
    ("gradients_where_declared", LearnsUndeclared, "scale gets a gradient, but is in no group"),
    ("frozen_stays_frozen", LetsStatisticsMove, "backbone.network.bn1.running_mean"),
    ("frozen_stays_frozen", MovesFrozenWeights, "backbone.network.conv1.weight changed, but"),
    ("frozen_stays_frozen", LeavesDropoutOn, "backbone.network.dropout is in training mode"),
    ("sees_the_batches_of_its_block", ReordersItsData, "the batch of step 0 is not the one"),
    ("cannot_reach_the_test_split", PeeksAtTest, "the labels of the test split were read before"),
    ("cannot_reach_the_test_split", PeeksAndHidesIt, "first depends on the examples of the test"),
    ("sees_only_its_labels", PeeksBeyondItsBudget, "the labels of the pool were read past"),
    ("saved_and_loaded", KeepsStateAside, "saved and loaded, it predicts something else"),
    ("saved_and_loaded", AddsABufferLate, "its saved state does not load"),
    ("one_example_is_enough", StandardisesOverTheBatch, "predicted otherwise than within"),
    ("one_example_is_enough", SqueezesABatchOfOne, "predicted otherwise than within"),
]


@pytest.mark.parametrize(("check", "strategy", "message"), BROKEN, ids=lambda part: str(part)[:40])
def test_a_broken_strategy_is_found_by_its_check_and_no_other(check, strategy, message):
    with pytest.raises(ConformanceError) as caught:
        check_strategy(strategy)
    assert list(caught.value.failures) == [check]
    assert message in caught.value.failures[check]


def test_arguments_that_are_not_kept_are_found():
    with pytest.raises(ConformanceError, match="its config has"):
        run_check("survives_its_own_config", ForgetsAnArgument)


class Sound(Strategy):
    """Conforms; the YAMLs below do not."""

    def __init__(self, lr_factor: float = 1.0, weight: float = 0.5):
        super().__init__(lr_factor)
        self.weight = weight


class Open(Strategy):
    def __init__(self, **options: float):
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
    check_strategy(Sound, weight=0.25)


def test_arguments_without_names_are_found():
    with pytest.raises(ConformanceError, match=r"the constructor takes \*options"):
        run_check("arguments_equal_yaml_keys", Open)


def test_every_check_has_a_broken_strategy():
    assert {row[0] for row in [*BROKEN, *YAMLS]} == set(CHECKS)


# The suite itself -------------------------------------------------------------------------------


class BreaksTwoRules(PeeksBeyondItsBudget):
    def build(self):
        self.spare = nn.Linear(3, 3)

    def trainable(self):
        return [*super().trainable(), ParamGroup("spare", list(self.spare.parameters()))]


def test_all_that_is_broken_is_told_at_once():
    with pytest.raises(ConformanceError) as caught:
        check_strategy(BreaksTwoRules)
    assert set(caught.value.failures) == {"gradients_where_declared", "sees_only_its_labels"}
    assert str(caught.value).startswith("BreaksTwoRules is broken:\n- gradients_where_declared:")


def test_checks_that_need_a_loss_wait_for_it():
    with pytest.raises(ConformanceError, match=r"\(9 further checks were not run"):
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


# The tiny parts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("granularity", ["fine", "coarse"])
def test_tiny_backbone_keeps_the_contract(granularity):
    backbone = TinyArchitecture().build().eval()
    blocks, inputs = backbone.blocks(granularity), torch.randn(4, 1, 8, 8)
    assert [n for b in blocks for n in b.parameters] == [n for n, _ in backbone.named_parameters()]
    assert [n for b in blocks for n in b.buffers] == [n for n, _ in backbone.named_buffers()]
    for k in range(len(blocks) + 1):
        boundary = backbone.prefix(k, granularity)(inputs)
        assert torch.equal(backbone.suffix(k, granularity)(boundary), backbone.embed(inputs))


def test_poison_is_in_the_test_split_alone():
    plain, poisoned = TinyDomain().load(), TinyDomain(test="poisoned").load()
    everything = np.arange(24)
    assert np.array_equal(plain.pool.read(everything), poisoned.pool.read(everything))
    assert np.array_equal(plain.pool.labels, poisoned.pool.labels)
    assert not np.any(plain.test.labels == poisoned.test.labels)
    assert not np.array_equal(plain.test.read(everything), poisoned.test.read(everything))


def test_tiny_domain_can_be_learned():
    bench = Bench(FullFinetuning)
    bench.training = bench.training.__class__(steps=60, batch_size=16, lr=0.01, validations=2)
    bench.machine = Machine(accelerator="cpu")
    run = bench.run(10)
    labels = torch.from_numpy(run.setup.target.loaded.test.labels)
    assert (run.predictions.argmax(dim=1) == labels).float().mean() > 0.8
