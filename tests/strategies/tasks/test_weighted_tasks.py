"""Weights that are learned, and a step between two gradients: published values, neutral cases."""

import pytest
import torch

from golden import golden
from transfergrid.data.regression import Regression
from transfergrid.data.task import Classification
from transfergrid.strategies.baselines.scratch import Scratch
from transfergrid.strategies.tasks.cagrad import CAGrad, conflict_averse, share_of_first
from transfergrid.strategies.tasks.gradnorm import Gradnorm, aims, stepped
from transfergrid.strategies.tasks.multitask import Multitask
from transfergrid.strategies.tasks.uncertainty_weighting import UncertaintyWeighting, weighed
from transfergrid.testing.bench import Bench

CLASSES, NUMBERS = Classification(("a", "b")), Regression(("y",))


def doubles(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "uncertainty_weighting")
@pytest.mark.parametrize(
    ("task", "key"),
    [
        (CLASSES, "classification_exp_minus_s_L_plus_half_s"),
        (NUMBERS, "regression_half_exp_minus_s_L_plus_half_s"),
    ],
)
def test_an_uncertainty_is_best_where_it_is_published_to_be(task, key):
    given, expected, tolerance = golden("uncertainty_weighting", "optimum")
    for loss, s, value in zip(given["losses"], *expected[key].values(), strict=True):
        at = doubles(s).requires_grad_()
        found = weighed(doubles(loss), at, task)
        found.backward()
        assert found.item() == pytest.approx(value, abs=tolerance)
        assert at.grad.item() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.proves("formula_exact", "gradnorm")
def test_weights_take_the_published_step():
    given, expected, tolerance = golden("gradnorm", "step")
    weights, norms = doubles(given["task_weights"]), doubles(given["gradient_norms_unweighted"])
    aimed = aims(weights, norms, doubles(given["loss_over_initial_loss"]), given["alpha"])
    assert aimed.tolist() == pytest.approx(expected["targets"], abs=tolerance)
    moved = stepped(weights, norms, aimed, given["lr"]).tolist()
    assert moved == pytest.approx(
        expected["weights_after_step_renormalised_to_3"], abs=max(tolerance, 1e-12)
    )


def test_no_weight_is_driven_below_zero_by_a_long_gradient():
    weights, norms = doubles([1.0, 1.0]), doubles([100.0, 1.0])
    found = stepped(weights, norms, aims(weights, norms, doubles([1.0, 1.0]), 1.5), 0.1)
    assert found.min() > 0
    assert found.sum().item() == pytest.approx(2.0)


@pytest.mark.proves("formula_exact", "cagrad")
def test_the_step_between_two_gradients_is_the_published_one():
    given, expected, tolerance = golden("cagrad", "interior")
    pair = [doubles(g) for g in given["gradients"]]
    assert share_of_first(*pair, given["c"]) == pytest.approx(expected["w_first"], abs=tolerance)
    found = conflict_averse(*pair, given["c"])
    assert found.tolist() == pytest.approx(expected["update"], abs=tolerance)
    away = (found - (pair[0] + pair[1]) / 2).norm().item()
    assert away == pytest.approx(expected["distance_from_mean_equals_c_times_norm"], abs=tolerance)


@pytest.mark.parametrize("c", [0.1, 0.5, 0.9, 2.0])
def test_no_other_step_in_the_ball_helps_the_worse_off_more(c):
    drawing = torch.Generator().manual_seed(3)
    for _ in range(20):
        first, second = torch.randn(2, 4, generator=drawing, dtype=torch.float64)
        found, mean = conflict_averse(first, second, c), (first + second) / 2
        best = min(first @ found, second @ found).item()
        others = torch.randn(500, 4, generator=drawing, dtype=torch.float64)
        others = mean + c * mean.norm() * others / others.norm(dim=1, keepdim=True)
        assert torch.minimum(others @ first, others @ second).max().item() <= best + 1e-9
        assert (found - mean).norm() <= c * mean.norm() * (1 + 1e-9)


@pytest.mark.parametrize("pair", [([1.0, 2.0], [1.0, 2.0]), ([1.0, 0.0], [-1.0, 0.0])])
def test_gradients_that_are_equal_or_opposite_have_a_step_too(pair):
    found = conflict_averse(*map(doubles, pair), 0.5)
    mean = (doubles(pair[0]) + doubles(pair[1])) / 2
    assert torch.allclose(found, 1.5 * mean)


def test_with_no_ball_the_step_is_the_mean():
    first, second = doubles([1.0, 0.0]), doubles([-1.0, 0.3])
    assert torch.equal(conflict_averse(first, second, 0.0), (first + second) / 2)


NEUTRAL = [
    (UncertaintyWeighting, {"weights_rate": 0.0}),
    (Gradnorm, {"weights_rate": 0.0}),
    (CAGrad, {"c": 0.0}),
]


@pytest.mark.parametrize(("kind", "arguments"), NEUTRAL)
def test_without_its_own_term_it_is_multitask_bit_for_bit(kind, arguments):
    plain = Bench(Multitask, {"lr_factor": 2.0}).run(10)
    own = Bench(kind, {"lr_factor": 2.0, **arguments}).run(10)
    differing = [n for n, v in plain.state.items() if not torch.equal(v, own.state[n])]
    assert not differing
    assert torch.equal(plain.predictions, own.predictions)


@pytest.mark.parametrize("kind", [UncertaintyWeighting, Gradnorm])
def test_weights_that_learn_are_told_and_are_not_kept_with_the_model(kind):
    strategy = Bench(kind, {"lr_factor": 2.0}).run(10).setup.strategy
    told = strategy.tells()
    assert told["weight_of_target"] != told["weight_of_source"]
    assert not any(name.startswith("scaffold") for name in strategy.kept_state())


def test_rates_that_fall_from_block_to_block_mix_up_no_gradients():
    plain = Bench(Multitask, {"layer_decay": 0.5}).run(10)
    own = Bench(CAGrad, {"layer_decay": 0.5, "c": 0.0, "lr_factor": 9.5}).run(10)
    assert all(torch.equal(value, own.state[name]) for name, value in plain.state.items())


def test_a_source_without_weight_leaves_what_scratch_is_where_no_statistics_move():
    plain = Bench(Scratch, {"lr_factor": 2.0}).on_texts().run(10)
    own = Bench(Multitask, {"lr_factor": 2.0, "weight": 0.0}).on_texts().run(10)
    learned = [name for name in plain.state if name.startswith(("backbone", "head"))]
    assert all(torch.equal(plain.state[name], own.state[name]) for name in learned)
