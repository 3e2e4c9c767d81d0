"""It stops once the loss has levelled off, and never later than it may."""

import math

import pytest
import torch

from transfergrid.records.errors import BadInputError
from transfergrid.records.training import Training
from transfergrid.strategies.baselines.scratch_converged import ScratchConverged
from transfergrid.testing.bench import Bench

STEPS, WINDOW, COOLDOWN = 100, 20, 30


class Trainer:
    should_stop = False


def run_on(loss, **arguments):
    """Feed a planted loss, step by step; return the rates until training stops."""
    strategy, trainer = ScratchConverged(**arguments), Trainer()
    strategy.training_plan = Training(steps=STEPS)
    strategy.trainer = trainer
    rates = []
    for step in range(strategy.limit):
        rates.append(strategy.rate(step, strategy.limit))
        strategy.on_train_batch_end({"loss": torch.tensor(loss(step))}, None, step)
        if trainer.should_stop:
            break
    return strategy, rates


def test_a_level_loss_takes_the_shared_steps_and_a_cooldown():
    strategy, rates = run_on(lambda step: 1.0)
    assert strategy.levelled_at == STEPS
    assert len(rates) == STEPS + COOLDOWN


def test_a_falling_loss_takes_all_steps_that_it_may():
    strategy, rates = run_on(lambda step: math.exp(-step / 100))
    assert len(rates) == 4 * STEPS
    assert strategy.levelled_at == 4 * STEPS - COOLDOWN


@pytest.mark.parametrize("bend", [140, 200, 260])
def test_it_stops_a_window_after_the_loss_bends(bend):
    strategy, rates = run_on(lambda step: math.exp(-min(step, bend) / 50))
    assert bend < strategy.levelled_at <= bend + 2 * WINDOW
    assert len(rates) == strategy.levelled_at + COOLDOWN


def test_one_bad_step_does_not_stop_it_and_one_good_one_does_not_keep_it():
    falling = run_on(lambda step: math.exp(-step / 50) * (1.5 if step % 7 == 0 else 1.0))
    assert len(falling[1]) == 4 * STEPS
    level = run_on(lambda step: 0.5 if step == 90 else 1.0)
    assert level[0].levelled_at <= STEPS + WINDOW


@pytest.mark.parametrize("factor", [1.0, 1.5, 4.0])
@pytest.mark.parametrize("period", [30.0, 1e9])
def test_it_never_exceeds_its_limit(factor, period):
    strategy, rates = run_on(lambda step: math.exp(-step / period), max_factor=factor)
    assert len(rates) <= factor * STEPS == strategy.limit


def test_the_rate_warms_up_stays_and_sinks_to_zero():
    strategy, rates = run_on(lambda step: 1.0)
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert set(rates[5 : strategy.levelled_at]) == {1.0}
    falling = rates[strategy.levelled_at :]
    assert falling == pytest.approx([1 - k / COOLDOWN for k in range(COOLDOWN)])
    assert strategy.rate(strategy.levelled_at + COOLDOWN, strategy.limit) == 0.0


@pytest.mark.parametrize("labels", [2, 10])
def test_a_real_run_stops_where_it_says(labels):
    level = Bench(ScratchConverged, {"tolerance": 1.0}).run(labels).fitted
    assert level.steps == 8 + round(0.3 * 8)
    never = Bench(ScratchConverged, {"tolerance": -1e9, "max_factor": 2.0}).run(labels).fitted
    assert never.steps == 2 * 8


def test_the_last_step_can_be_chosen():
    fitted = Bench(ScratchConverged, {"tolerance": 1.0}).run(10).fitted
    assert fitted.curves["validation_step"][-1] == fitted.steps


def test_less_than_the_shared_steps_is_refused():
    with pytest.raises(BadInputError, match=r"max_factor from 1: 0\.5"):
        ScratchConverged(max_factor=0.5)
