"""From few examples of new classes: published values, and what must hold of episodes."""

import pytest
import torch

from golden import golden
from transfergrid.strategies.closed_form.prototypes import brought
from transfergrid.strategies.few_examples.inner_loop import descended
from transfergrid.strategies.few_examples.maml import MAML
from transfergrid.strategies.few_examples.matching_networks import MatchingNetworks, attended
from transfergrid.strategies.few_examples.prototypical_networks import (
    PrototypicalNetworks,
    nearest_mean,
)
from transfergrid.strategies.few_examples.reptile import Reptile
from transfergrid.strategies.few_examples.siamese import Siamese, contrastive, distances
from transfergrid.strategies.few_examples.simple_shot import SimpleShot
from transfergrid.testing.bench import Bench

LEARNED = (PrototypicalNetworks, MatchingNetworks, Siamese, MAML, Reptile)


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "prototypical_networks")
def test_distances_to_means_are_squared():
    given, expected, tolerance = golden("prototypes", "numbers")
    weight, bias = nearest_mean(exact(given["support"]), torch.tensor(given["labels"]), 2)
    found = (exact(given["query"]) @ weight.T + bias).softmax(1)
    torch.testing.assert_close(found, exact(expected["probabilities"]), rtol=0, atol=tolerance)


@pytest.mark.proves("formula_exact", "matching_networks")
def test_the_probability_of_a_class_is_the_sum_over_its_examples():
    given, expected, tolerance = golden("matching_networks", "cosine_attention")
    support, query = (exact(given[f"{part}_normalised"]) for part in ("support", "query"))
    labels = torch.tensor(given["labels"])
    for stretched in (1.0, 7.0):  # cosines do not feel lengths
        found = attended(stretched * support, labels, query / stretched, 2).exp()
        torch.testing.assert_close(found, exact(expected["probabilities"]), rtol=0, atol=tolerance)


def test_a_class_without_examples_has_next_to_no_probability():
    found = attended(torch.eye(2), torch.tensor([0, 2]), torch.eye(2), 3).exp()
    assert found[:, 1].tolist() == pytest.approx([1e-12, 1e-12])


@pytest.mark.proves("formula_exact", "siamese")
def test_pairs_are_drawn_together_and_pushed_a_margin_apart():
    given, expected, tolerance = golden("siamese", "contrastive")
    apart, same = exact(given["distances"]), torch.tensor(given["same"]).bool()
    found = contrastive(apart, same, given["margin"]).item()
    assert found == pytest.approx(expected["mean_half"], abs=tolerance)


def test_equal_inputs_have_a_finite_slope():
    points = torch.ones(2, 3, requires_grad=True)
    distances(points, points).sum().backward()
    assert points.grad.isfinite().all()


def test_the_nearest_example_of_a_class_speaks_for_it():
    strategy = Bench(Siamese).set_up(10).strategy
    strategy.features = lambda inputs: inputs
    strategy.kept = torch.tensor([[0.0], [10.0], [4.0]])
    strategy.labels = torch.tensor([0, 0, 1])
    said = strategy.predict(torch.tensor([[1.0], [9.0], [5.0]]))
    assert said.argmax(1).tolist() == [0, 0, 1]
    assert (said[:, 2] < said[:, :2].min(1).values - 9_000).all(), "of class 2 nothing is known"
    assert said[0, :2].tolist() == [-1.0, -9.0]
    far = strategy.predict(torch.tensor([[-150.0]]))
    assert far[0, :2].tolist() == [-(150.0**2), -(154.0**2)], "however far"


@pytest.mark.proves("formula_exact", "simple_shot")
def test_features_are_centred_by_the_source_s_mean_then_brought_to_length_1():
    given, expected, tolerance = golden("simple_shot", "cl2n")
    for trial in range(2):
        support, query, base = (
            exact(given[part][trial]) for part in ("support", "query", "base_mean")
        )
        labels = torch.tensor(given["labels"])
        weight, bias = nearest_mean(brought(support, base, normalised=True), labels, 2)
        moved = brought(query, base, normalised=True)
        found = moved.square().sum(1, keepdim=True) - (moved @ weight.T + bias)
        wanted = exact(expected["sq_distances_cl2n"][trial])
        torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)


def test_the_centre_is_the_mean_of_all_source_examples():
    run = Bench(SimpleShot).run(10)
    (source,) = run.setup.data.source
    with torch.no_grad():
        features = run.setup.backbone.eval()(source.inputs(source.rows))
    torch.testing.assert_close(run.state["centre"], features.mean(0))


@pytest.mark.proves("formula_exact", "maml")
@pytest.mark.parametrize("second", [True, False])
def test_the_gradient_goes_through_the_inner_step(second):
    given, expected, tolerance = golden("maml", "quadratic")
    slopes, reached = [], []
    for a, c in zip(given["a"], given["c"], strict=True):
        begun = {"w": exact(given["theta"]).requires_grad_()}
        loss = lambda w, a=a, c=c: 0.5 * a * (w["w"] - c) ** 2  # noqa: E731
        found = descended(loss, begun, given["inner_lr"], given["inner_steps"], second)
        (slope,) = torch.autograd.grad(loss(found), begun["w"])
        slopes.append(slope.item())
        reached.append(found["w"].item())
    order = "second" if second else "first"
    assert reached == pytest.approx(expected["adapted"], abs=tolerance)
    if second:
        assert slopes == pytest.approx(expected["second_order_per_task"], abs=tolerance)
    assert slopes == pytest.approx(expected[f"{order}_order_per_task"], abs=tolerance)
    assert sum(slopes) == pytest.approx(expected[f"{order}_order_sum"], abs=tolerance)


@pytest.mark.proves("formula_exact", "reptile")
@pytest.mark.parametrize("steps", [3, 1])
def test_weights_move_towards_where_inner_steps_lead(steps):
    given, expected, tolerance = golden("reptile", "update")
    begun, h, moved = exact(given["theta"]), exact(given["h"]), []
    for target in map(exact, given["tasks"]):
        loss = lambda w, t=target: 0.5 * (h * (w["w"] - t) ** 2).sum()  # noqa: E731
        free = {"w": begun.clone().requires_grad_()}
        moved.append(descended(loss, free, given["inner_lr"], steps)["w"].detach())
    if steps == 3:
        torch.testing.assert_close(
            torch.stack(moved), exact(expected["inner_weights"]), rtol=0, atol=tolerance
        )
        first = begun + given["outer_step"] * (moved[0] - begun)
        wanted = exact(expected["serial_after_first_task"])
        torch.testing.assert_close(first, wanted, rtol=0, atol=tolerance)
    both = begun + given["outer_step"] * (torch.stack(moved).mean(0) - begun)
    wanted = exact(expected["batched" if steps == 3 else "one_inner_step_batched"])
    torch.testing.assert_close(both, wanted, rtol=0, atol=tolerance)


def test_reptile_s_gradient_is_the_way_back():
    """By plain descent at rate e it is w + e (W - w), and its value the support's loss at W."""
    (moment,) = Bench(Reptile, {"inner_steps": 2, "inner_lr": 0.1}).moments(10)
    strategy, (support, _) = moment.strategy, moment.batch.episode
    begun = {name: value.detach().clone() for name, value in strategy.network.named_parameters()}
    loss = strategy.loss(moment.batch, 0.0)
    loss.backward()
    free = {name: value.clone().requires_grad_() for name, value in begun.items()}
    reached = descended(strategy.fit(support.inputs, support.labels), free, 0.1, 2)
    for name, own in strategy.network.named_parameters():
        torch.testing.assert_close(own.grad, begun[name] - reached[name].detach())
    torch.testing.assert_close(loss, strategy.fit(support.inputs, support.labels)(reached))


@pytest.mark.parametrize("kind", LEARNED, ids=lambda kind: kind.__name__)
def test_shots_while_it_learns_are_the_target_s(kind):
    for labels in (2, 5):
        strategy = Bench(kind).set_up(labels).strategy
        ways, shots, _ = strategy.phases()[0].episode
        assert (ways, shots) == (3, labels)


@pytest.mark.parametrize("kind", [MAML, Reptile], ids=["maml", "reptile"])
def test_no_query_is_told_by_others_and_no_statistics_move(kind):
    run = Bench(kind).run(10)
    begun = Bench(kind).set_up(10).strategy.state_dict()
    for name, value in run.state.items():
        if "running" in name:
            torch.testing.assert_close(value, begun[name])
