"""A critic under a penalty of its slopes, and features that it sees apart (Shen et al. 2018)."""

import pytest
import torch
from torch import nn

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.adaptation.wdgrl import Wdgrl, between, penalty
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench


class Quadratic(nn.Module):
    """h'Qh / 2 + b'h, whose gradient is Qh + b."""

    def __init__(self, q, b):
        super().__init__()
        self.q = nn.Parameter(torch.tensor(q, dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor(b, dtype=torch.float64))

    def forward(self, points):
        return (0.5 * (points @ self.q * points).sum(1) + points @ self.b)[:, None]


@pytest.fixture
def case():
    given, expected, tolerance = golden("wdgrl", "critic")
    tensors = {
        name: torch.tensor(given[name], dtype=torch.float64)
        for name in ("source", "target", "interpolation")
    }
    tensors["shares"] = tensors.pop("interpolation")[:, None]
    return tensors, Quadratic(given["Q"], given["b"]), given, expected, tolerance


@pytest.mark.proves("formula_exact", "wdgrl")
def test_the_penalty_is_of_whole_gradients_at_the_points(case):
    told, critic, _, expected, tolerance = case
    points = between(**told)
    assert points.tolist() == expected["interpolates"]
    found = penalty(critic, points).item()
    assert found == pytest.approx(expected["gradient_penalty"], abs=tolerance)
    assert found != pytest.approx(expected["penalty_per_coordinate_WRONG"], abs=1.0)
    ends = torch.cat([points, told["source"], told["target"]])
    both = expected["penalty_over_interpolates_and_both_ends"]
    assert penalty(critic, ends).item() == pytest.approx(both, abs=tolerance)


@pytest.mark.proves("formula_exact", "wdgrl")
@pytest.mark.parametrize(
    ("points", "held"),
    [("between", "gradient_penalty"), ("all", "penalty_over_interpolates_and_both_ends")],
)
def test_the_critics_loss_is_the_penalty_less_the_distance(case, monkeypatch, points, held):
    told, critic, given, expected, tolerance = case
    strategy = Bench(Wdgrl, {"points": points, "penalty": given["penalty_weight"]}).set_up(0)
    strategy, batch = strategy.strategy, Bench(Wdgrl).batch(strategy.data)
    strategy.scaffold["critic"] = critic
    features = iter([told["source"], told["target"]])
    monkeypatch.setattr(strategy, "features", lambda inputs, recorded: next(features))
    monkeypatch.setattr(torch, "rand", lambda *size, **kind: told["shares"])
    wasserstein = strategy.distance(told["source"], told["target"], 0.5).item()
    assert wasserstein == pytest.approx(expected["wasserstein_estimate"], abs=tolerance)
    found = strategy.criticise(batch, 0.5).item()
    assert found == pytest.approx(10 * expected[held] - wasserstein, abs=1e-8)
    if points == "between":
        assert found == pytest.approx(expected["critic_loss"], abs=1e-8)


def test_the_critic_learns_from_the_penalty_by_its_second_slopes(case):
    """Finite differences in the critic's own parameters, through the gradient at the points."""
    told, critic, *_ = case
    points = between(**told)
    penalty(critic, points).backward()
    for parameter, place in ((critic.q, (0, 1)), (critic.b, (1,))):
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[place] += sign * 1e-6
            ends.append(penalty(critic, points).item())
            with torch.no_grad():
                parameter[place] -= sign * 1e-6
        slope = (ends[0] - ends[1]) / 2e-6
        assert parameter.grad[place].item() == pytest.approx(slope, rel=1e-6)


def test_a_critic_without_a_slope_is_no_crash():
    flat = nn.Linear(2, 1)
    nn.init.zeros_(flat.weight)
    held = penalty(flat, torch.randn(3, 2))
    held.backward()
    assert held.item() == pytest.approx(1.0, abs=1e-5)
    assert flat.weight.grad.isfinite().all()


def test_critic_and_network_pull_apart():
    (moment,) = Bench(Wdgrl).moments(0)
    strategy, batch = moment.strategy.eval(), moment.batch
    network, critic = moment.phase.objectives
    assert [g.name for g in critic.learns] == ["critic"]
    assert "critic" not in {g.name for g in network.learns}
    assert critic.repeat == 5
    assert not any(isinstance(m, nn.BatchNorm1d) for m in strategy.scaffold["critic"])

    def apart():
        (source,) = batch.source
        embedded = strategy.features(source.inputs), strategy.features(batch.unlabelled)
        return strategy.distance(*embedded, 0.5)

    for groups, grows in ((critic.learns, True), ([strategy.backbone_group()], False)):
        own = [p for group in groups for p in group.parameters]
        before = apart()
        loss = critic.loss if grows else network.loss
        strategy.weight, strategy.penalty = 1e3, 0.0
        slopes = torch.autograd.grad(loss(batch, 0.5), own)
        with torch.no_grad():
            for p, slope in zip(own, slopes, strict=True):
                p -= 1e-2 * slope / (1.0 if grows else 1e3)
        assert (apart() > before).item() is grows


PLAN = Training(steps=12, batch_size=8, lr=0.01, validations=3)


@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (10, SourceAndTarget)])
def test_without_weight_it_is_its_baseline_bit_for_bit(labels, baseline):
    """Its critic draws random numbers all the same, and the network drops what it would."""
    adapted = Bench(Wdgrl, {"weight": 0.0}, training=PLAN).run(labels)
    plain = Bench(baseline, training=PLAN).run(labels)
    assert all(torch.equal(adapted.state[name], value) for name, value in plain.state.items())
    assert torch.equal(adapted.predictions, plain.predictions)
    assert not torch.equal(Bench(Wdgrl, training=PLAN).run(labels).predictions, plain.predictions)


def test_every_pass_of_the_critic_has_points_of_its_own(monkeypatch):
    seen, rand = [], torch.rand
    plan = Training(steps=2, batch_size=8, augmentation="none")
    monkeypatch.setattr(torch, "rand", lambda *a, **k: seen.append(rand(*a, **k)) or seen[-1])
    Bench(Wdgrl, {"steps": 3}, training=plan).run(0)
    assert len(seen) == 6
    assert len({tuple(shares.flatten().tolist()) for shares in seen}) == 6
