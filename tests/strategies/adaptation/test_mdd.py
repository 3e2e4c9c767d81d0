"""Margin disparity discrepancy (Zhang et al. 2019)."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from golden import golden, golden_number
from transfergrid.strategies.adaptation.mdd import Mdd, disparity, log_of_the_others
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "mdd")
def test_the_disparity_is_the_librarys_less_its_offset():
    given, expected, tolerance = golden("mdd", "loss")
    names = ("source_logits", "source_adv_logits", "target_logits", "target_adv_logits")
    source, of_source, target, of_target = (
        torch.tensor(given[n], dtype=torch.float64) for n in names
    )
    said = source.argmax(1), target.argmax(1)
    others = log_of_the_others(of_target, said[1]).tolist()
    assert others == pytest.approx(expected["target_log_one_minus_p"], abs=tolerance)
    each = [cross_entropy(of_source[[i]], said[0][[i]]).item() for i in range(2)]
    assert each == pytest.approx(expected["source_ce"], abs=tolerance)
    found = disparity((of_source, said[0]), (of_target, said[1]), given["margin"])
    assert -found.item() == pytest.approx(expected["transfer"], abs=tolerance)


@pytest.mark.proves("formula_exact", "mdd")
@pytest.mark.parametrize("margin", [4.0, 2.0])
def test_where_domains_are_alike_the_second_head_ends_at_the_margins_share(margin):
    """Descending on one logit from a half, until nothing moves."""
    expected = margin / (1 + margin)
    if margin == 4.0:
        assert golden_number("MDD_margin4_equilibrium_prob") == expected
    logit = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([logit], lr=0.5)
    label = torch.tensor([0])
    for _ in range(200):
        both = torch.stack([logit, logit.new_zeros(())])[None]
        optimiser.zero_grad()
        disparity((both, label), (both, label), margin).backward()
        optimiser.step()
    assert logit.sigmoid().item() == pytest.approx(expected, abs=1e-9)


def test_of_a_sure_label_the_log_is_finite_and_exact():
    """1 - p is e^-200: in whichever precision, log(1 - p) of a softmax would be infinite."""
    logits = torch.tensor([[200.0, 0.0, -torch.inf]], requires_grad=True)
    found = log_of_the_others(logits[:, :2], torch.tensor([0]))
    assert found.item() == pytest.approx(-200.0)
    found.backward()
    assert logits.grad[0, :2].tolist() == pytest.approx([-1.0, 1.0])


@pytest.fixture
def parts():
    """Return a strategy and points of both domains, in float64."""
    (moment,) = Bench(Mdd, {"margin": 3.0, "reversal": 0.4, "ramp": 6.0}).moments(0)
    rng = torch.Generator().manual_seed(0)
    points = [torch.randn(n, 12, generator=rng, dtype=torch.float64) for n in (5, 4)]
    return moment.strategy.double().eval(), points


def plainly(strategy, source, target):
    """Return the disparity by probabilities and one-hot rows."""
    values = []
    for part in (source, target):
        said = one_hot(strategy.head(part).argmax(1), 3)
        values.append((strategy.scaffold["second"](part).softmax(1) * said).sum(1))
    return (-3.0 * values[0].log().mean() - (1 - values[1]).log().mean()).item()


def test_features_climb_at_the_risen_strength_what_the_second_head_descends(parts):
    strategy, points = parts
    own = [part.clone().requires_grad_() for part in points]
    value = strategy.distance(*own, 0.25)
    assert value.item() == pytest.approx(plainly(strategy, *points), abs=1e-12)
    value.backward()
    strength = 0.4 * (2 / (1 + math.exp(-1.5)) - 1)

    def slope(tensor, place):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor[place] += sign * 1e-6
                values.append(plainly(strategy, *points))
                tensor[place] -= sign * 1e-6
        return (values[0] - values[1]) / 2e-6

    for part, moved in zip(points, own, strict=True):
        for place in [(0, 0), (3, 8)]:
            expected = -strength * slope(part, place)
            assert moved.grad[place].item() == pytest.approx(expected, rel=1e-5, abs=1e-10)
    weight = strategy.scaffold["second"].weight
    for place in [(0, 0), (2, 7)]:
        expected = slope(weight, place)
        assert weight.grad[place].item() == pytest.approx(expected, rel=1e-5, abs=1e-10)
    assert all(p.grad is None for p in strategy.head.parameters())  # labels teach nothing


def test_the_reversal_begins_at_nothing_and_ends_at_its_strength(parts):
    strategy, points = parts
    grown = []
    for progress in (0.0, 1.0):
        own = [part.clone().requires_grad_() for part in points]
        slopes = torch.autograd.grad(strategy.distance(*own, progress), own)
        grown.append(torch.cat(slopes).abs().sum().item())
    strategy.reversal = 1.0
    own = [part.clone().requires_grad_() for part in points]
    full = torch.cat(torch.autograd.grad(strategy.distance(*own, 1.0), own)).abs().sum().item()
    assert grown[0] == 0.0
    assert grown[1] == pytest.approx(0.4 * full)


def test_the_second_head_starts_elsewhere_and_only_trains():
    run = Bench(Mdd).trained(0)
    start = run.notes.starts[0]
    assert not torch.equal(start["head.weight"], start["scaffold.second.weight"])
    assert not torch.equal(run.state["scaffold.second.weight"], start["scaffold.second.weight"])
    assert not any("second" in name for name in run.setup.strategy.kept_state())


@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (2, SourceAndTarget)])
def test_without_weight_it_is_its_baseline_bit_for_bit(labels, baseline):
    adapted, plain = Bench(Mdd, {"weight": 0.0}).run(labels), Bench(baseline).run(labels)
    assert all(torch.equal(adapted.state[name], value) for name, value in plain.state.items())
    assert not torch.equal(Bench(Mdd).run(labels).predictions, plain.predictions)
