"""Three steps a batch: both heads, the heads apart, the features together (Saito et al. 2018)."""

import pytest
import torch

from golden import golden
from transfergrid.strategies.adaptation.mcd import MCD, discrepancy
from transfergrid.testing.bench import Bench


@pytest.mark.proves("formula_exact", "mcd")
def test_the_discrepancy_is_a_mean_over_batch_and_classes():
    given, expected, tolerance = golden("mcd", "discrepancy")
    one, other = (torch.tensor(given[n], dtype=torch.float64).log() for n in ("p1", "p2"))
    assert discrepancy(one, other).item() == pytest.approx(expected["mean_abs"], abs=tolerance)


def test_the_heads_start_apart():
    strategy = Bench(MCD).set_up(0).strategy
    assert not torch.equal(strategy.head.weight, strategy.second.weight)


@pytest.mark.parametrize(("number", "moves"), [(1, "heads"), (2, "features")])
def test_each_step_has_its_own_direction(number, moves):
    """The second step takes the heads apart on the target, the third brings them together."""
    (moment,) = Bench(MCD).moments(0)
    strategy, batch = moment.strategy.eval(), moment.batch
    objective = moment.phase.objectives[number]
    own = [p for group in objective.learns for p in group.parameters]
    before = strategy.apart(batch).item()
    slopes = torch.autograd.grad(strategy.apart(batch), own)
    sign = 1.0 if moves == "heads" else -1.0
    with torch.no_grad():
        for parameter, slope in zip(own, slopes, strict=True):
            parameter += sign * 1e-3 * slope
    assert (strategy.apart(batch).item() > before) == (moves == "heads")
    assert {group.name for group in objective.learns} == (
        {"head", "second"} if moves == "heads" else {"backbone"}
    )


def test_features_take_as_many_steps_as_asked_and_a_batch_is_counted_once():
    run = Bench(MCD, {"repeat": 3}).run(0)
    assert run.fitted.steps == 8
    assert [o.repeat for o in run.setup.strategy.phases()[0].objectives] == [1, 1, 3]


def test_it_predicts_by_the_mean_of_both_heads():
    setup = Bench(MCD).set_up(0)
    strategy, view = setup.strategy.eval(), setup.data.unlabelled
    inputs = view.inputs(view.rows[:4])
    features = strategy.features(inputs)
    expected = (strategy.head(features) + strategy.second(features)) / 2
    assert torch.equal(strategy.predict(inputs), expected)
