"""The cheapest way from a batch of the source to one of the target (Damodaran et al. 2018)."""

import itertools

import pytest
import torch
from torch.nn.functional import cross_entropy

from golden import golden
from transfergrid.strategies.adaptation.deep_jdot import DeepJdot, cheapest_plan, label_costs
from transfergrid.strategies.adaptation.kernels import squared_distances
from transfergrid.strategies.baselines.source_and_target import SourceAndTarget
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.testing.bench import Bench


def of_golden():
    given, expected, tolerance = golden("deep_jdot", "loss")
    names = ("source_features", "target_features", "target_log_probabilities", "source_onehot")
    return given, *(torch.tensor(given[n], dtype=torch.float64) for n in names), expected, tolerance


@pytest.mark.proves("formula_exact", "deep_jdot")
def test_costs_plan_and_loss_are_the_libraries():
    given, source, target, log_said, true, expected, tolerance = of_golden()
    labels = true.argmax(1)
    apart, wrong = squared_distances(source, target), label_costs(labels, log_said, "cross_entropy")
    costs = given["alpha"] * apart + given["lam"] * wrong
    wanted = torch.tensor(expected["cost_matrix"], dtype=torch.float64)
    assert torch.allclose(costs, wanted, atol=tolerance, rtol=0)
    plan = cheapest_plan(costs)
    assert (3 * plan).tolist() == expected["plan_times_3"]
    assert (plan * costs).sum().item() == pytest.approx(expected["loss"], abs=tolerance)


@pytest.mark.proves("formula_exact", "deep_jdot")
def test_the_strategy_gives_that_loss():
    """Its weight is the library's lambda, its alpha the library's for a weight of 1."""
    given, source, target, log_said, true, expected, tolerance = of_golden()
    strategy = DeepJdot(weight=given["lam"], alpha=given["alpha"] / given["lam"])
    strategy.head = lambda features: log_said  # what a softmax leaves as it is
    found = strategy.weight * strategy.transport(source, true.argmax(1), target).item()
    assert found == pytest.approx(expected["loss"], abs=tolerance)


def test_of_as_many_it_is_the_best_of_all_assignments():
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        costs = torch.randn(5, 5, generator=rng, dtype=torch.float64)
        orders = [list(order) for order in itertools.permutations(range(5))]
        best = min(costs[range(5), order].mean().item() for order in orders)
        plan = cheapest_plan(costs)
        assert (plan * costs).sum().item() == pytest.approx(best, abs=1e-12)
        assert sorted(plan.flatten().tolist())[-5:] == [0.2] * 5


def test_of_unequal_numbers_masses_are_split():
    """Two sources to three targets: each gives 1/2, each takes 1/3, the middle one of both."""
    costs = torch.tensor([[0.0, 1.0, 5.0], [5.0, 1.0, 0.0]], dtype=torch.float64)
    expected = torch.tensor([[2, 1, 0], [0, 1, 2]], dtype=torch.float64) / 6
    assert torch.allclose(cheapest_plan(costs), expected, atol=1e-12)
    assert torch.allclose(cheapest_plan(costs.T), expected.T, atol=1e-12)


def test_label_costs_by_hand():
    said = torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]], dtype=torch.float64)
    labels = torch.tensor([1, 0])
    found = label_costs(labels, said.log(), "cross_entropy")
    expected = -torch.stack([said[:, 1].log(), said[:, 0].log()])
    assert torch.allclose(found, expected, atol=1e-12)
    found = label_costs(labels, said.log(), "squared_error").flatten().tolist()
    assert found == pytest.approx([1.28, 0.5, 0.02, 0.08, 0.5, 1.62], abs=1e-12)


def test_the_two_rules_find_other_plans_and_pay_the_same_price_for_one():
    """Where a prediction is sure and wrong, cross-entropy shuns it more than squared error does."""
    said = torch.tensor([[1e-4, 1 - 1e-4], [0.2, 0.8]], dtype=torch.float64)
    source = torch.tensor([[0.0], [0.0]], dtype=torch.float64)
    target = torch.tensor([[0.0], [6.0]], dtype=torch.float64)
    labels, values = torch.tensor([0, 1]), {}
    source[1] = 1.0
    for plan in ("cross_entropy", "squared_error"):
        strategy = DeepJdot(alpha=0.1, plan=plan)
        strategy.head = lambda features: said.log()
        values[plan] = strategy.transport(source, labels, target).item()
    costs = 0.1 * squared_distances(source, target) - said.log().T[labels]
    crossed, straight = (costs[0, 1] + costs[1, 0]) / 2, (costs[0, 0] + costs[1, 1]) / 2
    assert values["cross_entropy"] == pytest.approx(crossed.item(), abs=1e-12)
    assert values["squared_error"] == pytest.approx(straight.item(), abs=1e-12)


def test_the_gradient_is_that_under_a_plan_that_stands_still():
    rng = torch.Generator().manual_seed(3)
    source, target = (torch.randn(4, 12, generator=rng, dtype=torch.float64) for _ in range(2))
    labels = torch.tensor([0, 1, 2, 1])
    (moment,) = Bench(DeepJdot, {"alpha": 0.1}).moments(0)
    strategy = moment.strategy.double().eval()
    head = strategy.head.requires_grad_(False)
    said = head(target).log_softmax(1)
    near = (source[:, None] - target[None]).square().sum(2)
    costs = 0.1 * near - torch.stack([said[:, k] for k in labels])
    orders = itertools.permutations(range(4))
    best = list(min(orders, key=lambda order: costs[range(4), order].sum()))
    own = target.clone().requires_grad_()
    strategy.transport(source, labels, own).backward()
    for place in [(0, 0), (1, 5), (3, 11)]:
        values = []
        for sign in (1, -1):
            moved = target.clone()
            moved[place] += sign * 1e-6
            kept = 0.1 * (source - moved[best]).square().sum(1).mean()
            values.append(kept + cross_entropy(head(moved[best]), labels))
        slope = ((values[0] - values[1]) / 2e-6).item()
        assert own.grad[place].item() == pytest.approx(slope, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("plan", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize(("labels", "baseline"), [(0, SourceOnly), (2, SourceAndTarget)])
def test_without_weight_it_is_its_baseline_bit_for_bit(plan, labels, baseline):
    adapted = Bench(DeepJdot, {"weight": 0.0, "plan": plan}).run(labels)
    plain = Bench(baseline).run(labels)
    assert all(torch.equal(adapted.state[name], value) for name, value in plain.state.items())
    assert not torch.equal(
        Bench(DeepJdot, {"plan": plan}).run(labels).predictions, plain.predictions
    )
