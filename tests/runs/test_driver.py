"""A run keeps its curves and stays at the step that validation chose."""

import dataclasses
import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision

from transfergrid.records.errors import BadInputError
from transfergrid.records.needs import Needs
from transfergrid.records.training import Training
from transfergrid.runs.machine import Machine
from transfergrid.runs.predictions import predictions
from transfergrid.runs.seen import Seen
from transfergrid.sources.backbone import evaluating
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.baselines.majority import Majority
from transfergrid.strategies.baselines.scratch_converged import ScratchConverged
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.linear_probe_then_finetuning import (
    LinearProbeThenFinetuning,
)
from transfergrid.strategies.phases import Group, Objective, Phase
from transfergrid.testing.bench import Bench, state_of
from transfergrid.testing.cutting import killed
from transfergrid.testing.tiny_text import TinyTextDomain, TinyTextSource

PLAN = Training(steps=24, batch_size=8, lr=0.01, schedule="constant", validations=8)


class Unlearns(Strategy):
    """Minimises the loss over the first half and maximises it over the second."""

    def loss(self, batch, progress):
        return super().loss(batch, progress) * (1.0 if progress < 0.5 else -1.0)


def on_validation(run, metric):
    view = run.setup.data.validation
    said = predictions(run.setup.strategy, view, Bench(Strategy).machine)
    return run.setup.strategy.task.score(metric, said, torch.from_numpy(view.labels))


@pytest.mark.parametrize("strategy", [Unlearns, FullFinetuning])
def test_weights_are_those_of_the_chosen_step(strategy):
    run = Bench(strategy, training=PLAN).run(10)
    curves, chosen = run.fitted.curves, run.fitted.chosen_step
    at = list(curves["validation_step"]).index(chosen)
    assert run.fitted.chosen_by == "validation"
    assert on_validation(run, "accuracy") == pytest.approx(curves["validation_score"][at])
    assert on_validation(run, "loss") == pytest.approx(curves["validation_loss"][at], rel=1e-5)


def test_the_earliest_best_step_is_chosen_and_not_the_last():
    fitted = Bench(Unlearns, training=PLAN).run(10).fitted
    scores = fitted.curves["validation_score"]
    assert fitted.chosen_step == fitted.curves["validation_step"][np.argmax(scores)]
    assert fitted.chosen_step < fitted.steps == 24


def test_without_validation_the_last_step_stays():
    fitted = Bench(Unlearns, training=PLAN).run(2).fitted
    assert (fitted.chosen_step, fitted.chosen_by, fitted.validation_checks) == (24, "last_step", 0)


def test_curves_are_by_step_and_by_examples_seen():
    fitted = Bench(FullFinetuning, training=PLAN).run(10).fitted
    assert list(fitted.curves["train_step"]) == list(range(1, 25))
    assert list(fitted.curves["examples_seen"]) == list(range(8, 200, 8))
    assert list(fitted.curves["validation_step"]) == list(range(3, 25, 3))
    assert fitted.validation_checks == 8


def test_a_closed_form_takes_no_step():
    fitted = Bench(Majority, training=PLAN).run(10).fitted
    assert (fitted.steps, fitted.chosen_by, fitted.curves) == (0, "closed_form", {})


class Diverges(Strategy):
    def loss(self, batch, progress):
        return super().loss(batch, progress) * (math.inf if progress > 0.5 else 1.0)


def test_a_loss_that_is_not_finite_fails_the_run():
    with pytest.raises(FloatingPointError, match=r"the training loss is (inf|nan) at step 1\d"):
        Bench(Diverges, training=PLAN).run(2)


@pytest.mark.parametrize(
    ("steps", "validations", "looks"),
    [(24, 8, list(range(3, 25, 3))), (25, 8, [4, 8, 12, 16, 20, 24, 25]), (3, 8, [1, 2, 3])],
)
def test_the_last_step_is_looked_at_and_no_run_has_more_looks_than_declared(
    steps, validations, looks
):
    plan = Training(steps=steps, batch_size=8, validations=validations)
    fitted = Bench(FullFinetuning, training=plan).run(10).fitted
    assert list(fitted.curves["validation_step"]) == looks
    assert fitted.validation_checks == len(looks) <= validations


def test_a_longer_run_is_looked_at_as_often_per_step():
    plan = Training(steps=10, batch_size=8, validations=5)
    fitted = Bench(ScratchConverged, training=plan).run(10).fitted
    assert fitted.steps > 10
    assert list(np.diff(fitted.curves["validation_step"]))[:-1] == [2] * (len(looked(fitted)) - 2)
    assert looked(fitted)[-1] == fitted.steps


def looked(fitted):
    return list(fitted.curves["validation_step"])


class SaysNothing(Majority):
    """Predicts NaN."""

    def predict(self, inputs):
        return super().predict(inputs) * float("nan")


def test_predictions_that_are_not_finite_are_no_score():
    run = Bench(Majority, training=PLAN).run(10)
    run.setup.strategy.__class__ = SaysNothing
    with pytest.raises(FloatingPointError, match="not finite"):
        predictions(run.setup.strategy, run.setup.data.train, Bench(Strategy).machine)


# Phases -------------------------------------------------------------------------------------------


class Alternates(Strategy):
    """Two objectives of one batch: the head learns twice, the backbone once."""

    def phases(self):
        first = Objective(self.loss, [self.head_group()], repeat=2)
        second = Objective(self.loss, [self.backbone_group()])
        return [Phase("train", [first, second])]


def test_objectives_take_turns_and_a_batch_counts_once(monkeypatch):
    moved, step = [], torch.optim.AdamW.step

    def stepping(self, *args, **kwargs):
        moved.append([g["name"] for g in self.param_groups if g["params"][0].grad is not None])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", stepping)
    run = Bench(Alternates, training=Training(steps=2, batch_size=8)).run(2)
    assert moved == [["head"], ["head"], ["backbone"]] * 2
    assert run.fitted.steps == 2
    assert run.fitted.taken["optimiser"] == 6


class Stages(Strategy):
    """A head without decay first; then something is computed; then all learn."""

    def phases(self):
        head = Objective(self.loss, [self.head_group()._replace(decay=False)])
        whole = Objective(self.loss, self.everything())
        return [
            Phase("head", [head], 0.5),
            Phase("halve", before=self.halve),
            Phase("all", [whole], 0.5, before=self.note, every=0.5),
        ]

    def build(self, sizes):
        self.scaffold.register_buffer("noted", torch.zeros(2))

    def halve(self, data):
        self.head.weight.mul_(0.5)

    def note(self, data):
        noted = self.scaffold.get_buffer("noted")
        noted += torch.stack([torch.rand(()), data.target.features().sum()])


def test_what_is_computed_between_steps_is_part_of_the_run_and_of_its_seed_block():
    one, other = (Bench(Stages).run(2) for _ in range(2))
    assert one.fitted.steps == 8
    assert all(torch.equal(value, other.state[name]) for name, value in one.state.items())
    draws = one.state["scaffold.noted"][0].item()
    assert 0 < draws < 2  # asked twice


@pytest.mark.parametrize("labels", [2, 10])
@pytest.mark.parametrize("stop", range(1, 8))
def test_cut_anywhere_and_gone_on_with_it_is_the_same_run(labels, stop):
    bench = Bench(Stages)
    whole, setup = bench.trained(labels), bench.set_up(labels)
    state, fresh = killed(bench, setup, stop), bench.set_up(labels)
    second = bench.driver(fresh)
    second.restore(state)
    fitted = second.run()
    found = fresh.strategy.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in whole.state.items())
    assert (fitted.steps, fitted.chosen_step) == (whole.fitted.steps, whole.fitted.chosen_step)
    for name, curve in whole.fitted.curves.items():
        assert np.array_equal(curve, fitted.curves[name])


class Worsens(Strategy):
    """Learns, and then throws its head away: the method's end, not a step to be chosen between."""

    def phases(self):
        return [
            Phase("train", [Objective(self.loss, self.everything())]),
            Phase("forget", before=lambda data: self.head.weight.zero_()),
        ]


def test_what_a_last_phase_computes_is_what_is_tested():
    run = Bench(Worsens).run(10)
    assert not run.state["head.weight"].any()
    assert run.fitted.chosen_step == 8
    assert run.fitted.validation_checks == 3


def test_a_phase_without_steps_starts_from_the_best_one():
    bench = Bench(Worsens, training=PLAN)
    setup = bench.set_up(10)
    driver, kept = bench.driver(setup), {}
    forget = driver.phases[1]
    took = Phase("look", before=lambda data: kept.update(state_of(setup.strategy)))
    driver.phases = [driver.phases[0], took, forget]
    driver.lengths = [24, 0, 0]
    driver.run()
    best = Bench(FullFinetuning, {"lr_factor": 1.0}, training=PLAN).run(10)
    assert torch.equal(kept["head.weight"], best.state["head.weight"])


class StopsEarly(Strategy):
    def phases(self):
        whole = [Objective(self.loss, self.everything())]
        stops = lambda losses: len(losses) == 3  # noqa: E731
        return [Phase("short", whole, 0.5, until=stops), Phase("rest", whole, 0.5)]


def test_a_phase_that_ends_early_hands_over_to_the_next():
    fitted = Bench(StopsEarly).run(10).fitted
    assert fitted.steps == 3 + 4
    assert fitted.curves["train_step"][-1] == 7


# Steps --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["share", "tuning_lr_factor"])
def test_what_a_phase_cannot_be_given_is_refused_as_an_argument(name):
    with pytest.raises(BadInputError, match=f"strategy.{name}"):
        LinearProbeThenFinetuning(**{name: 0.0})


@pytest.mark.parametrize("parts", [2, 3])
def test_a_batch_in_parts_gives_the_gradients_of_the_whole(parts):
    source = TinyTextSource()  # without BatchNorm
    plans = (
        Training(steps=3, batch_size=6, lr=0.01, accumulate=n, optimizer="sgd") for n in (1, parts)
    )
    one, other = (
        Bench(NoDropout, domain=TinyTextDomain, source=source, training=plan).run(2).state
        for plan in plans
    )
    for name, value in one.items():
        assert torch.allclose(value, other[name], atol=1e-6), name


class NoDropout(Strategy):
    def loss(self, batch, progress):
        self.backbone.network["dropout"].p = 0.0
        return super().loss(batch, progress)


def test_clipping_bounds_the_step():
    plan = Training(
        steps=1,
        batch_size=8,
        lr=1.0,
        optimizer="sgd",
        momentum=0.0,
        weight_decay=0.0,
        schedule="constant",
        gradient_clip=1e-3,
    )
    bench = Bench(FullFinetuning, {"lr_factor": 1.0}, training=plan)
    before = state_of(bench.set_up(2).strategy)
    after = bench.run(2)
    moved = dict(after.setup.strategy.named_parameters())
    way = sum((p - before[name]).square().sum().item() for name, p in moved.items()) ** 0.5
    assert way == pytest.approx(1e-3, rel=1e-2)


class HeadAlone(Strategy):
    def phases(self):
        groups = [self.head_group()._replace(decay=False), self.backbone_group()]
        return [Phase("train", [Objective(lambda b, p: 0.0 * self.loss(b, p), groups)])]


def test_who_is_not_decayed_stays_without_a_gradient():
    plan = Training(steps=2, batch_size=8, weight_decay=0.5, lr=0.1)
    bench = Bench(HeadAlone, training=plan)
    before, after = state_of(bench.set_up(2).strategy), bench.run(2).state
    assert torch.equal(before["head.weight"], after["head.weight"])
    moved = "backbone.network.conv1.weight"
    assert not torch.equal(before[moved], after[moved])


# What a strategy writes itself --------------------------------------------------------------------


class Counts(Unlearns):
    """Counts its steps in a parameter that no objective names."""

    def build(self, sizes):
        self.scaffold["count"] = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.scaffold["count"].weight)

    def phases(self):
        learns = Objective(self.loss, self.everything())
        return [Phase("train", [learns], before=self.count, every=1e-9)]

    def count(self, data):
        self.scaffold["count"].weight += 1


def test_what_a_strategy_writes_itself_is_that_of_the_chosen_step_too():
    run = Bench(Counts, training=PLAN).run(10)
    assert run.fitted.chosen_step < 24
    assert run.state["scaffold.count.weight"].item() == run.fitted.chosen_step


class Looks(FullFinetuning):
    """Notes whether data between steps are embedded by itself."""

    def phases(self):
        return [dataclasses.replace(phase, before=self.note) for phase in super().phases()]

    def note(self, data):
        mine = self.features(data.target.inputs())
        self.saw_itself = torch.allclose(data.target.features(), mine, atol=1e-6)
        said = self.predict(data.target.inputs())
        self.heard_itself = torch.allclose(data.target.outputs(), said, atol=1e-6)


def test_a_teacher_sees_data_between_steps_by_its_own_network():
    run = Bench(Distillation, {"teacher": Looks()}, training=PLAN).run(2)
    teacher = run.setup.strategy.teacher
    assert (teacher.saw_itself, teacher.heard_itself) == (True, True)


# What cannot be meant -----------------------------------------------------------------------------


def whole(self):
    return [Objective(self.loss, self.everything())]


def a_number(batch, progress):
    return 1.0


def named_alike(self):
    heads = [self.head_group(), self.head_group(0.5)]
    return [Phase("train", [Objective(self.loss, [group]) for group in heads])]


def twice(self):
    return [
        Phase(
            "train", [Objective(self.loss, [*self.everything(), Group("h", self.head_group()[1])])]
        )
    ]


FAULTY = {
    "lr_factor must be above 0, and is -1": lambda self: [Phase("t", whole(self), lr_factor=-1.0)],
    "repeats 0 times": lambda self: [
        Phase("t", [*whole(self), Objective(self.loss, self.everything(), 0)])
    ],
    "just once where combine makes one step": lambda self: [
        Phase("t", [Objective(self.loss, self.everything(), 3)], combine=lambda found: found[0])
    ],
    "shares of its phases make 50": lambda self: [Phase("train", whole(self), 50)],
    "share must be above 0": lambda self: [Phase("train", whole(self), 0.0)],
    "every above 0 and at most 1": lambda self: [Phase("train", whole(self), every=5)],
    r"'targets'; did you mean target\?": lambda self: [Phase("t", whole(self), reads=["targets"])],
    "reads must be a list of str": lambda self: [Phase("t", whole(self), reads="target")],
    r"'cosin'; did you mean cosine\?": lambda self: [Phase("t", whole(self), schedule="cosin")],
    r"phases\(\) must be a list of Phase, and is one Phase": lambda self: Phase("t", whole(self)),
    "objectives must be a list": lambda self: [Phase("t", whole(self)[0])],
    "learns must be a list": lambda self: [Phase("t", [Objective(self.loss, self.head_group())])],
    r"no parameter to learn \(a\)": lambda self: [
        Phase("t", [Objective(self.loss, [Group("a", [])])])
    ],
    "called 'head' and differ": named_alike,
    "'head' and 'h' share a parameter": twice,
    "must return one number, not float": lambda self: [
        Phase("t", [Objective(a_number, self.everything())])
    ],
}


@pytest.mark.parametrize("told", FAULTY)
def test_phases_that_cannot_be_meant_are_refused_in_one_line(told):
    faulty = type("Faulty", (Strategy,), {"phases": FAULTY[told]})
    with pytest.raises(BadInputError, match=told) as refused:
        Bench(faulty).run(2)
    assert "\n" not in str(refused.value)


class LearnsFromAnIterator(Strategy):
    def phases(self):
        groups = [Group("head", self.head.parameters()), self.backbone_group()]
        return [Phase("train", [Objective(self.loss, groups)])]


def test_parameters_may_come_as_a_module_gives_them():
    one, other = (Bench(kind).run(2).state for kind in (LearnsFromAnIterator, Strategy))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


class TakesStatistics(Strategy):
    """BatchNorm's statistics become those of the unlabelled inputs; nothing else moves."""

    needs = Needs(unlabelled=True, steps=False)

    def __init__(self, whole: bool = False):
        super().__init__()
        self.whole = whole

    def phases(self):
        return [Phase("statistics", reads=["unlabelled"], before=self.measure)]

    def measure(self, data):
        norms = [m for m in self.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all batches
        with evaluating(self.backbone, training=True):
            if self.whole:
                self.backbone.embed(data.unlabelled.inputs())
            else:
                for batch in data.unlabelled.batches():
                    self.backbone.embed(batch.inputs)


@pytest.mark.parametrize("whole", [True, False])
def test_a_pass_over_data_between_steps_leaves_modes_as_the_strategy_sets_them(whole):
    run = Bench(TakesStatistics, {"whole": whole}).run(2)
    setup = run.setup
    inputs = setup.data.unlabelled.inputs(setup.data.unlabelled.rows)
    maps = setup.strategy.backbone.network.conv1(inputs)
    found = run.state["backbone.network.bn1.running_mean"]
    assert torch.allclose(found, maps.mean(dim=(0, 2, 3)), atol=1e-5)


def test_examples_come_in_batches_that_say_which_they_are():
    setup = Bench(FullFinetuning, domain=TinyTextDomain, source=TinyTextSource()).set_up(2)
    data = Seen(setup.strategy, setup.data, Bench(Strategy).machine, ["target"])
    batches = list(data.target.batches())
    rows = torch.cat([batch.rows for batch in batches])
    labels = torch.cat([batch.labels for batch in batches])
    assert sorted(rows.tolist()) == list(range(len(data.target)))
    assert torch.equal(labels, data.target.labels[rows])


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true", "64-true"])
def test_between_steps_features_are_as_precise_as_weights(precision):
    plan = Training(steps=2, batch_size=8, validations=1, precision=precision)
    run = Bench(LooksBetweenSteps, training=plan).run(10)
    kind = torch.float64 if precision == "64-true" else torch.float32
    assert run.setup.strategy.seen == {kind}


class LooksBetweenSteps(Strategy):
    def phases(self):
        train = Objective(self.loss, self.everything())
        return [Phase("train", [train], before=self.look)]

    def look(self, data):
        features = data.target.features()
        self.seen = {self.head(features).dtype, data.target.outputs().dtype}


def test_batches_are_mixed_for_a_pool_may_lie_class_by_class():
    setup = Bench(FullFinetuning).set_up(10)
    data = Seen(setup.strategy, setup.data, Bench(Strategy).machine, ["target"])
    first, again = (torch.cat([b.rows for b in data.target.batches()]) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, first.sort().values)
    (batch,) = data.target.batches()
    assert torch.equal(batch.inputs, data.target.inputs()[batch.rows])


class NotesGradients(Strategy):
    def phases(self):
        both = [Objective(self.loss, self.everything())] * 2
        return [Phase("train", both, combine=self.summed)]

    def summed(self, gradients):
        pulled = [sum(parts) for parts in zip(*gradients, strict=True)]
        self.noted = [*vars(self).get("noted", []), torch.cat([g.flatten() for g in pulled])]
        return pulled


@dataclasses.dataclass(frozen=True)
class Scaling(Machine):
    """Trains as `16-mixed` does where there is a GPU: losses are multiplied ahead of gradients."""

    def trainer(self, training, **options):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        plugin = MixedPrecision("16-mixed", "cpu", scaler)
        own = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        own |= {"accelerator": "cpu", "devices": 1, "enable_model_summary": False}
        return pl.Trainer(plugins=[plugin], **own, **options)


def test_what_combines_gradients_is_given_them_unscaled_and_steps_as_far():
    plan = Training(steps=1, batch_size=8, lr=1e-3, optimizer="sgd", validations=1)
    plan = dataclasses.replace(plan, gradient_clip=1.0)  # by norm: a step shows the scale
    bench = Bench(NotesGradients, training=plan)
    plain = bench.run(2)
    scaled = dataclasses.replace(bench, machine=Scaling("cpu")).run(2)
    (true,), (found,) = plain.setup.strategy.noted, scaled.setup.strategy.noted
    assert torch.linalg.norm(found - true) < 0.05 * torch.linalg.norm(true)
    for name, value in plain.state.items():
        assert torch.allclose(value.float(), scaled.state[name].float(), atol=1e-4), name


@dataclasses.dataclass(frozen=True)
class Elsewhere(Machine):
    device = "elsewhere"


def test_what_a_phase_without_steps_computes_is_computed_on_the_device():
    bench = Bench(Majority, machine=Elsewhere("cpu"))
    setup = bench.set_up(2)
    driver, met = bench.driver(setup), []
    driver.phases = [Phase("solve", before=lambda data: met.append("before"))]
    setup.strategy.to = met.append
    driver.run()
    assert met[:3] == ["elsewhere", "before", torch.device("cpu")]
