"""What all strategies share."""

import pytest
import torch
from torch import nn

from transfergrid.data.task import Classification
from transfergrid.records.errors import BadInputError
from transfergrid.records.factory import build, config_of
from transfergrid.records.training import Training
from transfergrid.strategies.adaptation.domain_adversarial import DomainAdversarial
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.baselines.majority import Majority
from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.fine_tuning.layerwise_lr import LayerwiseLR
from transfergrid.strategies.phases import Group, Objective, Phase
from transfergrid.testing import check_strategy
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import CLASSES, TinyArchitecture, TinySource
from watched_rates import rates_of

TASK = Classification(CLASSES)


def attached(strategy, seed=0, training=None):
    torch.manual_seed(7)
    strategy.attach(TinyArchitecture().build(), TASK, training or Training(), seed)
    return strategy


def test_head_depends_on_the_seed_alone():
    first, again = attached(Scratch(), seed=1), attached(DomainAdversarial(hidden=5), seed=1)
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, attached(Scratch(), seed=2).head.weight)


def test_attaching_leaves_the_global_random_state_alone():
    torch.manual_seed(3)
    backbone, expected = TinyArchitecture().build(), torch.get_rng_state()
    DomainAdversarial().attach(backbone, TASK, Training(), 0)
    assert torch.equal(torch.get_rng_state(), expected)


class HalfFrozen(Strategy):
    """Trains the head and the second half of the backbone."""

    def phases(self):
        named = self.backbone.named_parameters()
        late = Group("late", tuple(p for n, p in named if "conv2" in n or "bn2" in n))
        return [Phase("train", [Objective(self.loss, [self.head_group(), late])])]


def test_frozen_layers_are_in_eval_mode_and_learning_ones_are_not():
    network = attached(HalfFrozen()).train().backbone.network
    assert [n for n, m in network.named_children() if m.training and list(m.parameters())] == [
        "conv2",
        "bn2",
    ]
    assert {n for n, p in network.named_parameters() if p.requires_grad} == {
        "conv2.weight",
        "bn2.weight",
        "bn2.bias",
    }


@pytest.mark.parametrize(("strategy", "moves"), [(Scratch, True), (FeatureExtraction, False)])
def test_batchnorm_without_weights_does_as_the_part_it_is_in(strategy, moves):
    backbone = TinyArchitecture().build()
    backbone.network.bn1 = nn.BatchNorm2d(6, affine=False)
    made = strategy()
    made.attach(backbone, TASK, Training(), 0)
    assert made.train().backbone.network.bn1.training == moves


def test_whole_backbone_keeps_its_bits_under_a_probe():
    run = Bench(FeatureExtraction).run(10)
    source = TinySource().load(None, 0)
    assert run.setup.backbone.fingerprint() == source.fingerprint()
    run = Bench(FullFinetuning).run(10)
    moved = dict(run.setup.backbone.named_parameters())
    assert not any(torch.equal(p, moved[n]) for n, p in source.named_parameters())


def test_scratch_knows_nothing_of_the_source():
    setup = Bench(Scratch).set_up(10)
    source = TinySource().load(None, 0)
    assert not torch.equal(setup.backbone.network.conv1.weight, source.network.conv1.weight)
    assert torch.equal(setup.backbone.network.bn1.running_mean, torch.zeros(6))
    other = Bench(DomainAdversarial).set_up(10)
    assert setup.backbone.fingerprint() == other.backbone.fingerprint()  # one start per block


def test_rate_is_base_times_factors_times_schedule(monkeypatch):
    bench = Bench(LayerwiseLR, {"lr_factor": 3.0, "decay": 0.5, "schedule": "inverse_decay"})
    for step, row in enumerate(rates_of(bench, 10, monkeypatch)):
        rate = 0.01 * 3.0 * (1 + 10 * step / 8) ** -0.75
        assert row == pytest.approx([rate, rate / 8, rate / 4, rate / 2])


class DrawsMore(Strategy):
    """Draws more random numbers in each step, as a second forward pass would."""

    def loss(self, batch, progress):
        loss = super().loss(batch, progress)
        torch.rand(7)
        return loss


def test_an_arm_that_draws_more_dropout_sees_that_of_the_others_in_the_next_step():
    rate = {"lr_factor": 1.0}
    runs = [Bench(strategy, rate).run(10) for strategy in (FullFinetuning, DrawsMore)]
    weights = [run.state["backbone.network.conv1.weight"] for run in runs]
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    "strategy",
    [
        Majority(),
        LayerwiseLR(decay=0.5, granularity="fine"),
        Distillation(LayerwiseLR(lr_factor=2.0), student=TinyArchitecture(3)),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_config_is_the_constructors_own_arguments(strategy):
    config = config_of(strategy)
    assert config_of(build(config)) == config
    assert "lr_factor" not in config_of(Majority())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scratch(lr_factor=0.0), "strategy.lr_factor must be above 0, or null: 0.0"),
        (lambda: Scratch(schedule="cosin"), "unknown strategy.schedule 'cosin'; did you mean cos"),
        (lambda: LayerwiseLR(granularity="corse"), "did you mean coarse"),
        (lambda: LayerwiseLR(decay=0.0), "strategy.decay must be above 0"),
        (lambda: Distillation(Scratch(), temperature=0.0), "strategy.temperature must be above"),
        (lambda: Distillation(Scratch(), weight=1.5), "strategy.weight must be from 0 to 1: 1.5"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(make, message):
    with pytest.raises(BadInputError, match=message):
        make()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"setting": "transductve"}, r"setting of Odd 'transductve'; did you mean transductive\?"),
        ({"transfers": "parameter"}, r"transfers of Odd 'parameter'; did you mean parameters\?"),
    ],
)
def test_a_kind_that_there_is_not_is_refused_with_the_class(said, meant):
    with pytest.raises(BadInputError, match=meant):
        type("Odd", (Strategy,), said)


class Averaged(Strategy):
    """Keeps the mean of the head's weights over all steps, and heats up as it goes."""

    def build(self, sizes):
        self.scaffold.register_buffer("mean", torch.zeros_like(self.head.weight))
        self.scaffold.register_buffer("done", torch.zeros(()))

    def heat(self):
        return 1.0 + float(self.scaffold.done)

    def phases(self):
        head = Group("head", self.head.parameters(), self.heat)
        train = Objective(self.loss, [head, self.backbone_group()])
        return [Phase("train", [train], after=self.note)]

    def note(self, step, steps):
        self.scaffold.done.fill_(step)
        self.scaffold.mean += self.head.weight / steps


class Remembering(Averaged):
    """Keeps them one by one, too."""

    def build(self, sizes):
        super().build(sizes)
        self.seen = []

    def note(self, step, steps):
        assert not torch.is_grad_enabled()
        super().note(step, steps)
        self.seen.append(self.head.weight.clone())


def test_after_follows_each_step_with_the_weights_that_it_left():
    run = Bench(Remembering).run(5)  # too few labels to choose a step
    strategy, steps = run.setup.strategy, run.setup.strategy.training_plan.steps
    assert len(strategy.seen) == steps == int(strategy.scaffold.done)
    assert torch.equal(strategy.seen[-1], strategy.head.weight)
    mean = torch.stack(strategy.seen).mean(0)
    torch.testing.assert_close(strategy.scaffold.mean, mean)


def test_a_factor_that_changes_is_asked_before_each_step(monkeypatch):
    rates = rates_of(Bench(Averaged), 10, monkeypatch)
    assert [head / rest for head, rest in rates if rest] == pytest.approx(
        [1.0 + step for step, (_, rest) in enumerate(rates) if rest]
    )


def test_a_strategy_with_state_between_steps_keeps_all_rules():
    check_strategy(Averaged)


@pytest.mark.parametrize("key", ["badges", "also_called", "assumes"])
def test_what_is_proven_and_how_it_is_called_are_each_class_s_own(key):
    class Named(HalfFrozen):
        also_called = ("half",)
        badges = ("formula_exact",)
        assumes = ("equal_shares",)

    class Below(Named):
        pass

    assert key in Named.about()
    assert key not in Below.about()


def test_an_assumption_that_there_is_not_is_refused():
    with pytest.raises(BadInputError, match=r"unknown assumption of .* did you mean equal_shares"):
        type("Assuming", (HalfFrozen,), {"assumes": ("equal_share",)})


def test_a_badge_that_there_is_not_is_refused():
    with pytest.raises(BadInputError, match=r"unknown badge of .* did you mean formula_exact"):
        type("Boasting", (HalfFrozen,), {"badges": ("formula",)})
