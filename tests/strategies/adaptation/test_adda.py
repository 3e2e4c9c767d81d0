"""Two stages, an encoder for the target alone, inverted labels (Tzeng et al. 2017)."""

import math

import pytest
import torch

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.adaptation.adda import (
    Adda,
    classes_in,
    taken_for_source,
    told_apart,
)
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "adda")
def test_both_losses_are_the_papers():
    given, expected, tolerance = golden("adda", "losses")
    source, target = (
        torch.tensor(given[name], dtype=torch.float64).logit() for name in ("d_source", "d_target")
    )
    apart, fooled = told_apart(source, target).item(), taken_for_source(target).item()
    assert apart == pytest.approx(expected["discriminator"], abs=tolerance)
    assert fooled == pytest.approx(expected["encoder_inverted_labels"], abs=tolerance)
    assert fooled != pytest.approx(expected["minimax_instead"], abs=0.1)


@pytest.mark.proves("formula_exact", "adda")
@pytest.mark.parametrize("said", [0.01, 0.3, 0.9])
def test_the_encoder_has_the_slope_of_inverted_labels_not_of_the_reversal(said):
    """By d itself -1 / d, steep where the discriminator is sure; the reversal's is -1 / (1 - d)."""
    d = torch.tensor([said], dtype=torch.float64, requires_grad=True)
    taken_for_source(d.logit()).backward()
    assert d.grad.item() == pytest.approx(-1 / said, rel=1e-9)


def test_logits_of_any_size_have_a_loss():
    far = torch.tensor([1e4, -1e4])
    assert told_apart(far, far).isfinite()
    assert taken_for_source(far).isfinite()


def test_the_source_stands_still_while_the_target_learns_and_the_head_is_the_source_s():
    run = Bench(Adda).trained(0)
    begun, ended = run.notes.starts[1], run.state
    for name, value in begun.items():
        if name.startswith("head."):
            assert torch.equal(ended[name], value), name
        elif name.startswith("backbone."):  # the copy is kept as the phase begins
            assert torch.equal(ended[name.replace("backbone", "scaffold.source", 1)], value), name
            assert not torch.equal(ended[name], value), name


def test_each_step_moves_its_own_player():
    _, adapt = Bench(Adda).moments(0)
    critic, encoder = adapt.phase.objectives
    assert [g.name for g in critic.learns] == ["discriminator"]
    assert [g.name for g in encoder.learns] == ["backbone"]
    assert adapt.batch.target is None
    strategy = adapt.strategy.eval()
    before = [objective.loss(adapt.batch, 0.5).item() for objective in (critic, encoder)]
    for objective, was in zip((critic, encoder), before, strict=True):
        own = [p for group in objective.learns for p in group.parameters]
        slopes = torch.autograd.grad(objective.loss(adapt.batch, 0.5), own, allow_unused=True)
        with torch.no_grad():
            for p, slope in zip(own, slopes, strict=True):
                p -= 1e-2 * slope
        assert objective.loss(adapt.batch, 0.5).item() < was
    assert not strategy.training


def test_target_batches_are_recorded_once_a_step_and_source_batches_never():
    _, adapt = Bench(Adda).moments(0)
    network = adapt.strategy.backbone.network
    before, counted = network.bn1.running_mean.clone(), network.bn1.num_batches_tracked.item()
    own = adapt.strategy.scaffold["source"].network.bn1
    still = own.running_mean.clone()
    for objective in adapt.phase.objectives:
        objective.loss(adapt.batch, 0.5)
    with torch.no_grad():
        target = network.conv1(adapt.batch.unlabelled).mean(dim=(0, 2, 3))
    assert torch.allclose(network.bn1.running_mean, 0.9 * before + 0.1 * target, atol=1e-6)
    assert network.bn1.num_batches_tracked.item() == counted + 1
    assert torch.equal(own.running_mean, still)


def test_all_steps_on_the_source_make_it_source_only_bit_for_bit():
    plan = Training(steps=8, batch_size=8, lr=0.01)
    adapted = Bench(Adda, {"share": 0.99}, training=plan).run(0)
    plain = Bench(SourceOnly, training=plan).run(0)
    assert all(torch.equal(adapted.state[name], value) for name, value in plain.state.items())
    assert torch.equal(adapted.predictions, plain.predictions)


@pytest.mark.parametrize(
    ("classes", "many"),
    [([0, 1, 2, 3], 4.0), ([1, 1, 1, 1], 1.0), ([0, 0, 2, 2], 2.0), ([0, 0, 0, 1], 1.7548)],
)
def test_how_many_classes_are_predicted(classes, many):
    """0.7548 is 4 / 3^(3/4) - 1: shares of three quarters and one."""
    outputs = 5.0 * torch.nn.functional.one_hot(torch.tensor(classes), 4).double()
    assert classes_in(outputs).item() == pytest.approx(many, abs=1e-4)
    assert pytest.approx(1.7548, abs=1e-4) == 4 / 3**0.75


@pytest.mark.parametrize(("after", "collapsed"), [(3.0, False), (1.1, True)])
def test_a_collapse_is_told(after, collapsed):
    strategy = Bench(Adda).set_up(0).strategy
    strategy.scaffold.get_buffer("found").copy_(torch.tensor([2.5, after, 0.1]))
    told = strategy.tells()
    assert told["collapsed"] is collapsed
    assert told["classes_predicted"] == pytest.approx(after)


def test_what_a_run_tells_is_what_it_predicts():
    """By the source's encoder, which is still there, and by the target's."""
    plan = Training(steps=20, batch_size=8, lr=0.05)
    run = Bench(Adda, {"adapt_rate": 1.0}, training=plan).run(0)
    strategy, view = run.setup.strategy.eval(), run.setup.data.unlabelled
    inputs = view.inputs(view.rows)
    before = strategy.head(strategy.scaffold["source"].embed(inputs)).argmax(1)
    after = strategy.predict(inputs).argmax(1)
    told = strategy.tells()
    for said, name in ((before, "classes_predicted_before"), (after, "classes_predicted")):
        shares = (said.bincount(minlength=3).double() / len(said)).tolist()
        expected = math.exp(-sum(p * math.log(p) for p in shares if p))
        assert told[name] == pytest.approx(expected, rel=1e-5)
    differ = sum(a != b for a, b in zip(before.tolist(), after.tolist(), strict=True))
    assert told["predictions_changed"] == pytest.approx(differ / len(view), abs=1e-6)
    assert differ


def test_the_second_stage_has_a_rate_of_its_own_for_both_players():
    _, adapt, _ = Bench(Adda, {"adapt_rate": 0.03}).set_up(0).strategy.phases()
    assert {group.factor for group in adapt.learning()} == {0.03}
