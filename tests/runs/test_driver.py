"""A run keeps its curves and stays at the step that validation chose."""

import math

import numpy as np
import pytest
import torch

from transfergrid.records.training import Training
from transfergrid.runs.predictions import predictions
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.baselines.majority import Majority
from transfergrid.strategies.baselines.scratch_converged import ScratchConverged
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench

PLAN = Training(steps=24, batch_size=8, lr=0.01, schedule="constant", validations=8)


class Unlearns(Strategy):
    """Minimises the loss over the first half and maximises it over the second."""

    def loss(self, batch, progress):
        return super().loss(batch, progress) * (1.0 if progress < 0.5 else -1.0)


def on_validation(run, metric):
    view = run.setup.data.validation
    said = predictions(run.setup.strategy, view, Bench(Strategy).machine)
    return run.setup.strategy.task.score(metric, said, torch.from_numpy(view.labels))


@pytest.mark.parametrize("strategy", [Unlearns, FullFinetuning])
def test_weights_are_those_of_the_chosen_step(strategy):
    run = Bench(strategy, training=PLAN).run(10)
    curves, chosen = run.fitted.curves, run.fitted.chosen_step
    at = list(curves["validation_step"]).index(chosen)
    assert run.fitted.chosen_by == "validation"
    assert on_validation(run, "accuracy") == pytest.approx(curves["validation_score"][at])
    assert on_validation(run, "loss") == pytest.approx(curves["validation_loss"][at], rel=1e-5)


def test_the_earliest_best_step_is_chosen_and_not_the_last():
    fitted = Bench(Unlearns, training=PLAN).run(10).fitted
    scores = fitted.curves["validation_score"]
    assert fitted.chosen_step == fitted.curves["validation_step"][np.argmax(scores)]
    assert fitted.chosen_step < fitted.steps == 24


def test_without_validation_the_last_step_stays():
    fitted = Bench(Unlearns, training=PLAN).run(2).fitted
    assert (fitted.chosen_step, fitted.chosen_by, fitted.validation_checks) == (24, "last_step", 0)


def test_curves_are_by_step_and_by_examples_seen():
    fitted = Bench(FullFinetuning, training=PLAN).run(10).fitted
    assert list(fitted.curves["train_step"]) == list(range(1, 25))
    assert list(fitted.curves["examples_seen"]) == list(range(8, 200, 8))
    assert list(fitted.curves["validation_step"]) == list(range(3, 25, 3))
    assert fitted.validation_checks == 8


def test_a_closed_form_takes_no_step():
    fitted = Bench(Majority, training=PLAN).run(10).fitted
    assert (fitted.steps, fitted.chosen_by, fitted.curves) == (0, "closed_form", {})


class Diverges(Strategy):
    def loss(self, batch, progress):
        return super().loss(batch, progress) * (math.inf if progress > 0.5 else 1.0)


def test_a_loss_that_is_not_finite_fails_the_run():
    with pytest.raises(FloatingPointError, match=r"the training loss is (inf|nan) at step 1\d"):
        Bench(Diverges, training=PLAN).run(2)


@pytest.mark.parametrize(
    ("steps", "validations", "looks"),
    [(24, 8, list(range(3, 25, 3))), (25, 8, [4, 8, 12, 16, 20, 24, 25]), (3, 8, [1, 2, 3])],
)
def test_the_last_step_is_looked_at_and_no_run_has_more_looks_than_declared(
    steps, validations, looks
):
    plan = Training(steps=steps, batch_size=8, validations=validations)
    fitted = Bench(FullFinetuning, training=plan).run(10).fitted
    assert list(fitted.curves["validation_step"]) == looks
    assert fitted.validation_checks == len(looks) <= validations


def test_a_longer_run_is_looked_at_as_often_per_step():
    plan = Training(steps=10, batch_size=8, validations=5)
    fitted = Bench(ScratchConverged, training=plan).run(10).fitted
    assert fitted.steps > 10
    assert list(np.diff(fitted.curves["validation_step"]))[:-1] == [2] * (len(looked(fitted)) - 2)
    assert looked(fitted)[-1] == fitted.steps


def looked(fitted):
    return list(fitted.curves["validation_step"])


class SaysNothing(Majority):
    """Predicts NaN."""

    def predict(self, inputs):
        return super().predict(inputs) * float("nan")


def test_predictions_that_are_not_finite_are_no_score():
    run = Bench(Majority, training=PLAN).run(10)
    run.setup.strategy.__class__ = SaysNothing
    with pytest.raises(FloatingPointError, match="not finite"):
        predictions(run.setup.strategy, run.setup.data.train, Bench(Strategy).machine)
