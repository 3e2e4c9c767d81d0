"""What is asked for beside a method by one key: each addition does its own and nothing else."""

import dataclasses
import inspect

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from transfergrid.data.task import Classification
from transfergrid.records.errors import ImpossibleError
from transfergrid.records.factory import build, config_of, locate
from transfergrid.records.identity import canonical
from transfergrid.records.shipped import conf_dir, strategies
from transfergrid.strategies import Group, Objective, Phase, Strategy
from transfergrid.strategies.adaptation.coral import Coral
from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.composition.offered import ADDITIONS
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.gradual_unfreezing import GradualUnfreezing
from transfergrid.strategies.fine_tuning.layerwise_lr import LayerwiseLR
from transfergrid.strategies.fine_tuning.linear_probe_then_finetuning import (
    LinearProbeThenFinetuning,
)
from transfergrid.strategies.fine_tuning.network_surgery import NetworkSurgery
from transfergrid.strategies.held_near.l2_sp import L2SP
from transfergrid.strategies.tasks.multitask import Multitask
from transfergrid.strategies.weight_space.weight_averaging import WeightAveraging
from transfergrid.strategies.weight_space.wise_ft import WiseFT
from transfergrid.testing import check_strategy
from transfergrid.testing.bench import Bench
from transfergrid.testing.conformance import bench_for

ALL = {
    "label_smoothing": 0.1,
    "layer_decay": 0.5,
    "l2_sp": 0.01,
    "weight_averaging": 0.5,
    "probe_first": 1.0,
}


def weights(run):
    return {n: p.detach().clone() for n, p in run.setup.strategy.named_parameters()}


def trained(strategy_class, labels=5, **arguments):
    """Return what came of a cell whose labels are too few to choose a step by."""
    return Bench(strategy_class, arguments).run(labels)


def far_apart(one, other):
    found = weights(one), weights(other)
    names = found[0].keys() & found[1].keys()
    return max(float((found[0][n] - found[1][n]).abs().max()) for n in names)


# What holds for all ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(ALL))
def test_each_keeps_the_rules_of_a_strategy(key):
    check_strategy(FullFinetuning, **{key: ALL[key]})


def test_all_of_them_together_keep_the_rules():
    check_strategy(FullFinetuning, **ALL)


@pytest.mark.parametrize("key", sorted(ALL))
def test_each_changes_what_is_learned(key):
    assert far_apart(trained(FullFinetuning, **{key: ALL[key]}), trained(FullFinetuning)) > 1e-4


@pytest.mark.parametrize(
    ("key", "value"),
    [("label_smoothing", 1e-12), ("layer_decay", 1.0), ("weight_averaging", 1.0)],
)
def test_the_neutral_value_is_the_method_itself(key, value):
    assert far_apart(trained(FullFinetuning, **{key: value}), trained(FullFinetuning)) < 1e-6


def test_what_is_not_asked_for_is_no_part_of_identity():
    plain = canonical(config_of(FullFinetuning()))
    assert not plain.keys() & ALL.keys()
    for key, value in ALL.items():
        asked = canonical(config_of(FullFinetuning(**{key: value})))
        assert asked == {**plain, key: value}


def test_the_config_of_a_composed_strategy_builds_the_same_one():
    made = FullFinetuning(**ALL)
    assert build(config_of(made)).hparams == made.hparams


@pytest.mark.parametrize(
    ("strategy", "key", "why"),
    [
        (LayerwiseLR, "layer_decay", "strategy.decay"),
        (GradualUnfreezing, "layer_decay", "strategy.decay"),
        (L2SP, "l2_sp", "strategy.alpha"),
        (LinearProbeThenFinetuning, "probe_first", "begins with a probe"),
        (FeatureExtraction, "probe_first", "strategy=logistic_probe"),
        (FeatureExtraction, "layer_decay", "no layer of the backbone learns"),
        (FeatureExtraction, "l2_sp", "no layer of the backbone learns"),
        (Scratch, "l2_sp", "does not start from a source"),
        (WiseFT, "probe_first", "begins with a probe"),
        (WeightAveraging, "weight_averaging", "strategy.begin"),
        (Coral, "probe_first", "can do without target labels"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(strategy, key, why):
    with pytest.raises(ImpossibleError, match=f"^{key} cannot be added: .*{why}"):
        Bench(strategy, {key: ALL[key]}).set_up(10)


@pytest.mark.parametrize("name", sorted(strategies()))
def test_what_a_page_offers_can_be_and_what_it_leaves_out_cannot(name):
    kind = locate(strategies()[name])
    bench = bench_for(kind, conf_dir() / "strategy" / f"{name}.yaml")
    budget = 0 if kind.needs.target_labels == "unused" else 5
    for addition in ADDITIONS:
        if addition.key not in inspect.signature(kind).parameters or bench.of_numbers:
            continue
        offered = addition.key not in kind.closed_to and not addition.why_not(kind.needs)
        arguments = {**bench.arguments, addition.key: ALL[addition.key]}
        try:
            dataclasses.replace(bench, arguments=arguments).set_up(budget)
            possible = True
        except ImpossibleError:
            possible = False
        assert possible == offered, addition.key


@pytest.mark.parametrize("name", sorted(strategies()))
def test_whoever_offers_smoothed_labels_learns_from_them(name):
    kind = locate(strategies()[name])
    bench = bench_for(kind, conf_dir() / "strategy" / f"{name}.yaml")
    key = "label_smoothing"
    if key not in inspect.signature(kind).parameters or key in kind.closed_to or bench.of_numbers:
        pytest.skip("does not offer them")
    budget = 0 if kind.needs.target_labels == "unused" else 5
    arguments = {**bench.arguments, key: ALL[key]}
    one, other = bench.run(budget), dataclasses.replace(bench, arguments=arguments).run(budget)
    assert far_apart(one, other) > 1e-7


@pytest.mark.parametrize("key", ["label_smoothing", "probe_first"])
def test_what_is_for_classes_is_refused_for_numbers(key):
    with pytest.raises(ImpossibleError, match="it is for classes"):
        Bench(FullFinetuning, {key: ALL[key]}).on_numbers().set_up(10)


@pytest.mark.parametrize("neck", ["linear", "mlp"])
def test_a_head_on_a_new_neck_is_no_probe_of_features(neck):
    with pytest.raises(ImpossibleError, match="probe_first cannot be added: the head is on some"):
        Bench(NetworkSurgery, {"probe_first": 1.0, "neck": neck}).set_up(10)
    begun = Bench(NetworkSurgery, {"probe_first": 1.0, "neck": "bottleneck"}).set_up(10)
    assert [p.name for p in begun.strategy.all_phases()] == ["probe first", "train"]


def test_what_is_made_anew_is_pulled_nowhere_and_keeps_its_weight_decay():
    told = {"l2_sp": 0.3, "cut": 2, "granularity": "fine", "kept": "tuned"}
    strategy = Bench(NetworkSurgery, told).set_up(10).strategy
    starts = {name.replace("/", ".") for name, _ in strategy.scaffold["l2_sp"].named_buffers()}
    assert {name.split(".")[1] for name in starts} == {"conv1", "bn1"}
    decays = {g.name: g.decay for g in strategy.all_phases()[0].learning()}
    names = [block.name for block in strategy.backbone.blocks("fine")]
    assert [decays[name] for name in names] == [False, False, True, True, True]
    with pytest.raises(ImpossibleError, match="no layer of the backbone learns that is the sour"):
        Bench(NetworkSurgery, {"l2_sp": 0.3, "cut": 0}).set_up(10)


def test_a_student_starts_from_no_source():
    with pytest.raises(ImpossibleError, match="does not start from a source"):
        Bench(Distillation, {"teacher": FullFinetuning(), "l2_sp": 0.1}).set_up(10)


# Each -------------------------------------------------------------------------------------------


def test_labels_are_smoothed_as_pytorch_smooths_them_and_scores_are_not():
    logits, labels = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([0])
    plain = Classification(("a", "b", "c"))
    task = plain.smoothed(0.3)
    log_p = logits.log_softmax(1)[0]
    expected = -(0.7 * log_p[0] + 0.1 * log_p.sum())
    torch.testing.assert_close(task.loss(logits, labels), expected)
    said = logits.softmax(1)
    assert task.criterion(said, labels) == plain.criterion(said, labels)


def test_rates_fall_by_block_whatever_a_group_s_own_factor():
    class Twofold(Strategy):
        def phases(self):
            groups = [self.head_group(), self.backbone_group(2.0)]
            return [Phase("train", [Objective(self.loss, groups)])]

    strategy = Bench(Twofold, {"layer_decay": 0.5}).set_up(10).strategy
    (phase,) = strategy.all_phases()
    named = {id(p): n for n, p in strategy.named_parameters()}
    rates = {named[id(p)]: g.factor_now for g in phase.learning() for p in g.parameters}
    blocks = strategy.backbone.blocks("coarse")
    for number, block in enumerate(blocks):
        for name in block.parameters:
            assert rates[f"backbone.{name}"] == 2.0 * 0.5 ** (len(blocks) - number)
    assert {rate for name, rate in rates.items() if name.startswith("head")} == {1.0}


def test_rates_by_layer_are_those_of_the_strategy_that_has_nothing_else():
    composed = trained(FullFinetuning, layer_decay=0.5, lr_factor=2.0)
    alone = trained(LayerwiseLR, decay=0.5, lr_factor=2.0)
    assert far_apart(composed, alone) == 0.0


def test_a_changing_factor_still_changes():
    class Heating(Strategy):
        heat = 1.0

        def rate(self):
            return self.heat

        def phases(self):
            return [Phase("train", [Objective(self.loss, [self.backbone_group(self.rate)])])]

    strategy = Bench(Heating, {"layer_decay": 0.5}).set_up(10).strategy
    last = strategy.all_phases()[0].learning()[-1]
    assert last.factor_now == 0.5
    strategy.heat = 3.0
    assert last.factor_now == 1.5
    assert strategy.all_phases()[0].learning()[-1] == last


def test_the_pull_is_half_the_squared_way_and_replaces_weight_decay():
    strategy = Bench(FullFinetuning, {"l2_sp": 0.3}).set_up(10).strategy
    plain = Bench(FullFinetuning).set_up(10).strategy
    with torch.no_grad():
        for number, parameter in enumerate(strategy.backbone.parameters()):
            parameter += 0.1 * (number + 1)
        for own, other in zip(strategy.parameters(), plain.parameters(), strict=False):
            other.copy_(own)
    way = sum(
        p.numel() * (0.1 * (number + 1)) ** 2
        for number, p in enumerate(strategy.backbone.parameters())
    )
    bench = Bench(FullFinetuning)
    batch = bench.batch(bench.set_up(10).data)
    (phase,), (without,) = strategy.all_phases(), plain.all_phases()
    assert not strategy.eval().training | plain.eval().training
    losses = [p.objectives[0].loss(batch, 0.0).item() for p in (phase, without)]
    assert losses[0] - losses[1] == pytest.approx(0.3 / 2 * way, rel=1e-4)
    decays = {g.name: g.decay for g in phase.learning()}
    assert decays == {"head": True, "backbone": False}


def test_one_group_of_head_and_backbone_is_divided_by_its_decay():
    class Whole(Strategy):
        def phases(self):
            group = Group("all", [*self.backbone.parameters(), *self.head.parameters()])
            return [Phase("train", [Objective(self.loss, [group])])]

    strategy = Bench(Whole, {"l2_sp": 0.3}).set_up(10).strategy
    groups = strategy.all_phases()[0].learning()
    assert [(g.name, g.decay) for g in groups] == [("all", True), ("all: backbone", False)]
    assert {id(p) for p in groups[0].parameters} == {id(p) for p in strategy.head.parameters()}


def test_the_mean_is_that_of_the_last_steps():
    seen = []

    class Told(FullFinetuning):
        def phases(self):
            (phase,) = super().phases()
            learns, after = phase.objectives, self.tell
            return [Phase("train", learns, after=after)]

        def tell(self, step, steps):
            seen.append(self.head.weight.detach().clone())

    run = trained(Told, weight_averaging=0.5)
    half = seen[len(seen) // 2 - 1 :]
    mean = torch.stack(half).mean(0)
    torch.testing.assert_close(run.setup.strategy.head.weight.detach(), mean)


def test_the_head_begins_as_scikit_learn_s_logistic_regression():
    started, seen = {}, {}

    class Told(FullFinetuning):
        def all_phases(self):
            return [Phase("look", before=self.look), *super().all_phases()]

        def look(self, data):
            seen.update(features=data.target.features(), labels=data.target.labels)

        def loss(self, batch, progress):
            if not started:
                head = self.head
                started.update(weight=head.weight.detach().clone(), bias=head.bias.detach().clone())
            return super().loss(batch, progress)

    trained(Told, probe_first=1.0)
    features, labels = seen["features"].double().numpy(), seen["labels"].numpy()
    solved = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(features, labels)
    said = features @ started["weight"].double().numpy().T + started["bias"].double().numpy()
    ours = np.exp(said - said.max(1, keepdims=True))
    ours /= ours.sum(1, keepdims=True)
    np.testing.assert_allclose(ours, solved.predict_proba(features), atol=1e-5)


def test_the_probe_comes_after_what_trains_no_head():
    class Later(Strategy):
        def phases(self):
            warm = Phase("warm", [Objective(self.loss, [self.backbone_group()])], 0.5)
            tune = Phase("tune", [Objective(self.loss, self.everything())], 0.5)
            return [warm, tune]

    strategy = Bench(Later, {"probe_first": 1.0}).set_up(10).strategy
    assert [p.name for p in strategy.all_phases()] == ["warm", "probe first", "tune"]


@pytest.mark.parametrize("strategy", [FullFinetuning, GradualUnfreezing, LinearProbeThenFinetuning])
def test_a_window_of_one_step_changes_no_method_whatever_its_phases(strategy):
    """With a validation part, which a phase that is judged by another function would begin anew."""
    assert far_apart(trained(strategy, 10, weight_averaging=1.0), trained(strategy, 10)) == 0.0


def test_statistics_of_the_mean_are_taken_of_all_labelled_streams():
    for labels, streams in ((0, ["source"]), (10, ["source", "target"])):
        strategy = Bench(SourceAndTarget if labels else SourceOnly, {"weight_averaging": 0.5})
        phases = strategy.set_up(labels).strategy.all_phases()
        assert sorted(phases[-1].reads) == streams
        assert phases[-1].name == "average"


def test_objectives_that_make_one_step_are_pulled_once():
    strategy = Bench(Multitask, {"l2_sp": 0.3}).set_up(10).strategy
    with torch.no_grad():
        for parameter in strategy.backbone.parameters():
            parameter += 0.5
    (phase,) = strategy.all_phases()
    learning = [p for group in phase.learning() for p in group.parameters]
    found = phase.combine([[torch.zeros_like(p) for p in learning] for _ in phase.objectives])
    inside = {id(p) for p in strategy.backbone.parameters()}
    for parameter, gradient in zip(learning, found, strict=True):
        pull = 0.3 * 0.5 if id(parameter) in inside else 0.0
        torch.testing.assert_close(gradient, torch.full_like(gradient, pull))
