"""It stops once the loss has levelled off, and never later than it may."""

import math

import pytest
import torch

from transfergrid.data.task import Classification
from transfergrid.records.errors import BadInputError
from transfergrid.records.training import Training
from transfergrid.strategies.baselines.scratch_converged import ScratchConverged, sinking
from transfergrid.strategies.phases import lengths
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import CLASSES, TinyArchitecture

STEPS, WINDOW, COOLDOWN = 100, 20, 30
TASK = Classification(CLASSES)


def run_on(loss, **arguments):
    """Feed a planted loss, step by step; return where it levelled off, and the rates to the end."""
    strategy = ScratchConverged(**arguments)
    strategy.attach(TinyArchitecture().build(), TASK, Training(steps=STEPS), 0)
    stable, cooling = phases = strategy.phases()
    longest, cooldown = lengths(phases, STEPS)
    losses, rates = [], []
    while len(losses) < longest and not (losses and stable.until(losses)):
        rates.append(stable.schedule(len(losses), longest))
        losses.append(torch.tensor(loss(len(losses))))
    rates += [cooling.schedule(step, cooldown) for step in range(cooldown)]
    return len(losses), rates


def test_the_optimiser_goes_on_as_it_cools_down():
    strategy = ScratchConverged()
    strategy.attach(TinyArchitecture().build(), TASK, Training(steps=STEPS), 0)
    assert [phase.carries_on for phase in strategy.phases()] == [False, True]


def test_a_level_loss_takes_the_shared_steps_and_a_cooldown():
    levelled_at, rates = run_on(lambda step: 1.0)
    assert levelled_at == STEPS
    assert len(rates) == STEPS + COOLDOWN


def test_a_falling_loss_takes_all_steps_that_it_may():
    levelled_at, rates = run_on(lambda step: math.exp(-step / 100))
    assert len(rates) == 4 * STEPS
    assert levelled_at == 4 * STEPS - COOLDOWN


@pytest.mark.parametrize("bend", [140, 200, 260])
def test_it_stops_a_window_after_the_loss_bends(bend):
    levelled_at, rates = run_on(lambda step: math.exp(-min(step, bend) / 50))
    assert bend < levelled_at <= bend + 2 * WINDOW
    assert len(rates) == levelled_at + COOLDOWN


def test_one_bad_step_does_not_stop_it_and_one_good_one_does_not_keep_it():
    falling = run_on(lambda step: math.exp(-step / 50) * (1.5 if step % 7 == 0 else 1.0))
    assert len(falling[1]) == 4 * STEPS
    level = run_on(lambda step: 0.5 if step == 90 else 1.0)
    assert level[0] <= STEPS + WINDOW


@pytest.mark.parametrize("factor", [1.0, 1.5, 4.0])
@pytest.mark.parametrize("period", [30.0, 1e9])
def test_it_never_exceeds_its_limit(factor, period):
    _, rates = run_on(lambda step: math.exp(-step / period), max_factor=factor)
    assert len(rates) <= factor * STEPS


def test_the_rate_warms_up_stays_and_sinks_to_zero():
    levelled_at, rates = run_on(lambda step: 1.0)
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert set(rates[5:levelled_at]) == {1.0}
    assert rates[levelled_at:] == pytest.approx([1 - k / COOLDOWN for k in range(COOLDOWN)])
    assert sinking(COOLDOWN, COOLDOWN) == 0.0


@pytest.mark.parametrize("labels", [2, 10])
def test_a_real_run_stops_where_it_says(labels):
    level = Bench(ScratchConverged, {"tolerance": 1.0}).run(labels).fitted
    assert level.steps == 8 + round(0.3 * 8)
    never = (
        Bench(ScratchConverged, {"tolerance": 0.0, "window": 0.5, "max_factor": 2.0})
        .run(labels)
        .fitted
    )
    assert never.steps == 2 * 8


def test_the_last_step_can_be_chosen():
    fitted = Bench(ScratchConverged, {"tolerance": 1.0}).run(10).fitted
    assert fitted.curves["validation_step"][-1] == fitted.steps


def test_less_than_the_shared_steps_is_refused():
    with pytest.raises(BadInputError, match=r"max_factor must be from 1: 0\.5"):
        ScratchConverged(max_factor=0.5)
