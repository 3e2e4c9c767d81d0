"""A hyperparameter that acts after training is chosen without another step."""

import math

import pytest
import torch
from test_taught_inputs import LargeArchitecture

from transfergrid.records.errors import BadInputError
from transfergrid.records.record import Path
from transfergrid.records.training import Training
from transfergrid.runs.tuning.trying import _fit, _plain
from transfergrid.strategies import Dial, Needs, Objective, Phase, Strategy
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.testing.bench import Bench

VALUES = (0.0, 1.0, 2.0, 4.0)


class Turned(Strategy):
    """A closed form whose head says one class for most values."""

    needs = Needs(steps=False)
    right = (2.0,)
    default = 1.0

    def phases(self):
        return [Phase("solve", before=self.solve, dial=self.dial())]

    def dial(self):
        return Dial("size", VALUES, self.put, self.default)

    def solve(self, data):
        self.head.weight.zero_()
        self.head.bias.copy_(torch.arange(3.0))

    def build(self, sizes):
        self.register_buffer("size", torch.tensor(-1.0))

    def put(self, value):
        self.size.fill_(value)

    def predict(self, inputs):
        said = super().predict(inputs)
        return said if float(self.size) in self.right else said.flip(1)


class Poor(Turned):
    """Where some are as good as others."""

    right = VALUES


@pytest.mark.parametrize("kind", [Turned, Poor])
def test_of_equals_the_nearest_to_the_default_on_the_path(kind):
    run = Bench(kind).run(10)
    (path,) = run.fitted.paths
    best = max(path.validation)
    tied = [value for value, score in zip(VALUES, path.validation, strict=True) if score == best]
    order = [1.0, 0.0, 2.0, 4.0]
    assert path.chosen == run.state["size"] == next(v for v in order if v in tied)
    assert path.values == VALUES
    assert (run.fitted.chosen_by, run.fitted.validation_checks) == ("closed_form", 4)


def test_where_nothing_validates_the_default_is_put():
    run = Bench(Turned).run(2)
    assert run.state["size"] == 1.0
    assert run.fitted.paths == (Path(name="size", values=(1.0,), validation=(), chosen=1.0),)


class Between(Turned):
    """Goes on after the dial; the best value stands by then."""

    needs = Needs()

    def phases(self):
        train = Objective(self.loss, self.everything())
        return [*super().phases(), Phase("train", [train]), Phase("end", before=self.look)]

    def look(self, data):
        self.seen = float(self.size)


def test_what_follows_has_the_best_value_and_a_run_that_was_cut_keeps_the_path():
    bench = Bench(Between, training=Training(steps=4, batch_size=8, validations=2))
    setup, fresh = bench.set_up(10), bench.set_up(10)
    driver = bench.driver(setup)
    whole = driver.run()
    assert setup.strategy.seen == whole.paths[0].chosen
    driver.number = len(driver.phases)
    other = bench.driver(fresh)
    other.restore(driver.state())
    assert other.run().paths == whole.paths


def test_what_a_finished_trial_leaves_has_its_path():
    fitted = Bench(Turned).run(10).fitted
    again = _fit(_plain(fitted))
    assert again.paths == fitted.paths
    assert again.validation_checks == fitted.validation_checks


class Without(Turned):
    """Its default is none of the values."""

    default = 3.0


class AmidSteps(Turned):
    """Chosen while there are steps to take."""

    def phases(self):
        train = Objective(self.loss, self.everything())
        return [Phase("train", [train], dial=self.dial())]


@pytest.mark.parametrize(
    ("kind", "told"), [(Without, "none of its values"), (AmidSteps, "without objectives")]
)
def test_a_dial_that_cannot_be_meant_is_refused(kind, told):
    bench = Bench(kind)
    with pytest.raises(BadInputError, match=told):
        bench.driver(bench.set_up(2))


class Traced(Turned):
    """Says by another than `predict` what it is judged by."""

    needs = Needs()

    def phases(self):
        dial = Dial("size", VALUES, self.put, self.default, traced=True)
        return [Phase("solve", before=self.solve, dial=dial, predicts=self.other)]

    def other(self, inputs):
        said = super().predict(inputs)
        return torch.zeros_like(said) if float(self.size) in self.right else said


def test_training_losses_along_a_path_are_of_what_is_judged():
    (path,) = Bench(Traced).run(10).fitted.paths
    losses = dict(zip(path.values, path.train_loss, strict=True))
    assert losses[2.0] == pytest.approx(math.log(3))  # of three classes, all alike
    assert all(losses[value] == losses[0.0] != losses[2.0] for value in (1.0, 4.0))


def test_a_teachers_path_is_traced_on_its_own_inputs_and_is_none_of_its_students():
    plan = Training(steps=2, batch_size=8, validations=1)
    arguments = {"teacher": Traced(), "student": LargeArchitecture(3)}
    fitted = Bench(Distillation, arguments, training=plan).run(10).fitted
    assert fitted.paths == ()
    assert fitted.validation_checks == 1
