"""Two networks, fixed mixtures, and what each says to the other (Na et al. 2021)."""

import math

import pytest
import torch

from golden import golden
from transfergrid.records.errors import ImpossibleError
from transfergrid.records.training import Training
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.self_training.fixbi import Fixbi, confidence, matching, penalty
from transfergrid.testing.bench import Bench


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


def given():
    """Return the golden inputs, what is expected, and the logits of both networks."""
    told, expected, tolerance = golden("fixbi", "parts")
    both = [exact(told[f"logits_{name}_net"]) for name in ("source", "target")]
    return told, expected, tolerance, both


@pytest.mark.proves("formula_exact", "fixbi")
@pytest.mark.parametrize(("number", "net"), [(0, "source"), (1, "target")])
def test_the_threshold_is_the_mean_less_deviations(number, net):
    told, expected, tolerance, both = given()
    top, threshold = confidence(both[number], told["threshold_std_factor"])
    assert top.tolist() == pytest.approx(expected[f"top_{net}_net"], abs=tolerance)
    assert threshold.item() == pytest.approx(expected[f"threshold_{net}_net"], abs=tolerance)
    sure = (top >= threshold).nonzero()[:, 0].tolist()
    assert sure == expected[f"confident_{net}_net"]


def test_one_row_is_at_its_threshold():
    top, threshold = confidence(exact([[1.0, 0.0]]), 2.0)
    assert top.tolist() == [threshold.item()]


@pytest.mark.proves("formula_exact", "fixbi")
@pytest.mark.parametrize(("ratio", "told_as", "net"), [(0.7, "0p7", 0), (0.3, "0p3", 1)])
def test_mixed_inputs_have_both_labels(ratio, told_as, net):
    """Labels of the target are each network's own, which differ here."""
    told, expected, tolerance, both = given()
    strategy = Bench(Fixbi).set_up(0).strategy
    labels, pseudo = torch.tensor(told["source_labels"]), both[net].argmax(1)
    found = strategy.mixture(exact(told["mixed_logits"]), labels, pseudo, ratio).item()
    assert found == pytest.approx(expected[f"mixup_ratio_{told_as}"], abs=tolerance)


def test_a_mixture_of_the_source_alone_is_its_loss():
    """The neutral case: at ratio 1 no label of the target counts."""
    told, _, _, both = given()
    strategy = Bench(Fixbi).set_up(0).strategy
    logits, labels = exact(told["mixed_logits"]), torch.tensor(told["source_labels"])
    plain = torch.nn.functional.cross_entropy(logits, labels)
    assert torch.equal(strategy.mixture(logits, labels, both[0].argmax(1), 1.0), plain)


@pytest.mark.proves("formula_exact", "fixbi")
def test_each_learns_what_the_other_is_sure_of():
    told, expected, tolerance, both = given()
    one, other = matching(*both, told["threshold_std_factor"])
    assert one.item() == pytest.approx(expected["bidirectional_source_net"], abs=tolerance)
    assert other.item() == pytest.approx(expected["bidirectional_target_net"], abs=tolerance)


def test_nobody_learns_from_being_the_teacher():
    _, _, _, both = given()
    one, other = (logits.clone().requires_grad_() for logits in both)
    first, _ = matching(one, other, 1.0)
    assert torch.autograd.grad(first, other, allow_unused=True) == (None,)


@pytest.mark.proves("formula_exact", "fixbi")
def test_what_a_network_is_unsure_of_is_pushed_away():
    told, expected, tolerance, both = given()
    temperature = exact(told["temperature"])
    found = penalty(both[0], temperature, told["threshold_std_factor"]).item()
    assert found == pytest.approx(expected["self_penalty_source_net"], abs=tolerance)
    sure = both[0][[0, 0, 0]].requires_grad_()
    nobody = penalty(sure, temperature, 1.0)
    assert nobody.item() == 0.0
    assert torch.autograd.grad(nobody, sure)[0].eq(0).all()


def test_the_temperature_learns_from_the_penalty():
    """Its gradient is that of finite differences, and warmer is better."""
    _, _, _, both = given()
    temperature = exact(5.0).requires_grad_()
    (slope,) = torch.autograd.grad(penalty(both[0], temperature, 1.0), temperature)
    warm, cold = (penalty(both[0], exact(5.0 + d), 1.0).item() for d in (1e-5, -1e-5))
    assert slope.item() == pytest.approx((warm - cold) / 2e-5, rel=1e-6)
    assert slope.item() < 0


@pytest.mark.proves("formula_exact", "fixbi")
def test_apart_is_a_mean_over_batch_and_classes():
    _, expected, tolerance, both = given()
    found = torch.nn.functional.mse_loss(*both).item()  # as `of_pair` asks it
    assert found == pytest.approx(expected["consistency_mse_logits"], abs=tolerance)


def test_phases_share_the_steps():
    plan = Training(steps=50, batch_size=8)
    run = Bench(Fixbi, {"share": 0.4, "switch": 0.5}, training=plan).run(0)
    assert run.fitted.steps == 50
    phases = run.setup.strategy.phases()
    assert [round(50 * phase.share) for phase in phases] == [20, 15, 15]
    assert [phase.carries_on for phase in phases] == [False, False, True]


def test_a_source_model_is_trained_and_becomes_both():
    """The first phase is the baseline, of as many steps; the second network is a copy of it."""
    source, apart, _ = Bench(Fixbi).moments(0)
    strategy = source.strategy
    assert apart.setup is source.setup
    run = Bench(Fixbi, {"share": 0.5}, training=Training(steps=8, batch_size=8)).trained(0)
    plan = Training(steps=4, batch_size=8)
    plain = Bench(SourceOnly, training=plan).run(0)
    begun = run.notes.starts[1]
    assert all(torch.equal(value, begun[name]) for name, value in plain.state.items())
    strategy.load_state_dict(begun)
    strategy.become_two(None)
    pairs = ((strategy.backbone, strategy.second), (strategy.head, strategy.second_head))
    for one, other in pairs:
        both = (module.state_dict().values() for module in (one, other))
        assert all(torch.equal(a, b) for a, b in zip(*both, strict=True))
    assert run.state["second_head.weight"].ne(run.state["head.weight"]).any()


def test_both_predict_by_the_mean_of_their_probabilities():
    run = Bench(Fixbi).run(0)
    strategy, view = run.setup.strategy.eval(), run.setup.data.unlabelled
    inputs = view.inputs(view.rows[:4])
    first, second = strategy.first_says(inputs), strategy.second_says(inputs)
    assert not torch.allclose(first, second)
    expected = (first.softmax(1) + second.softmax(1)) / 2
    torch.testing.assert_close(strategy.predict(inputs).softmax(1), expected)
    torch.testing.assert_close(strategy.predict(inputs).exp().sum(1), torch.ones(4))
    assert {"second.network.dense.weight", "second_head.bias"} <= strategy.kept_state().keys()
    assert not any("scaffold" in name for name in strategy.kept_state())


def test_the_networks_lean_to_their_own_domain():
    """The first one's gradient from source labels is .7 of the whole, the second's .3."""
    _, apart, _ = Bench(Fixbi).moments(0)
    strategy, batch = apart.strategy.eval(), apart.batch
    seen = []
    strategy.mixture = lambda logits, labels, pseudo, ratio: seen.append(ratio) or logits.sum() * 0
    inputs = []
    strategy.second_says = lambda x: inputs.append(x) or strategy.first_says(x)
    strategy.of_pair("apart", batch, 0.0)
    assert seen == pytest.approx([0.7, 0.3])
    source, target = batch.source[0].inputs, batch.unlabelled
    torch.testing.assert_close(inputs[1], 0.3 * source + 0.7 * target)


def test_as_many_of_one_domain_as_of_the_other():
    _, apart, together = Bench(Fixbi).moments(0)
    for moment in (apart, together):
        batch = moment.batch
        batch.unlabelled = batch.unlabelled[:3]
        loss = moment.strategy.of_pair(moment.phase.name, batch, 0.0)
        assert math.isfinite(loss.item())


def test_texts_cannot_be_mixed():
    with pytest.raises(ImpossibleError, match="tokens of texts cannot be mixed"):
        Bench(Fixbi).on_texts().set_up(0)
