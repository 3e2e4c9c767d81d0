"""A tuned cell is its best trial, and that trial is the cell that has its setting."""

import copy
import gc
import itertools
import weakref

import numpy as np
import pytest
import torch

from transfergrid.records.factory import config_of
from transfergrid.records.training import Training
from transfergrid.runs import cell as cell_module
from transfergrid.runs import memory
from transfergrid.runs.driver import Driver
from transfergrid.runs.machine import Machine
from transfergrid.runs.stages import Tuned
from transfergrid.runs.starting import Start
from transfergrid.runs.tuning.searches import GridSearch, RandomSearch
from transfergrid.runs.tuning.trying import Trials
from transfergrid.strategies.baselines.logistic_regression import LogisticRegression
from transfergrid.strategies.distillation.distillation import Distillation
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.testing.bench import Bench, state_of

PLAN = Training(steps=6, batch_size=8, lr=0.01, validations=3)
SPACES = {
    FullFinetuning: {"lr_factor": {"low": 0.01, "high": 100.0, "log": True}},
    Distillation: {
        "lr_factor": {"low": 0.1, "high": 10.0, "log": True},
        "temperature": {"low": 1.0, "high": 10.0, "log": True},
    },
    LogisticRegression: {"c": {"low": 1e-6, "high": 1e3, "log": True}},
}


def bench_of(strategy, **values):
    given = {"teacher": FullFinetuning(), **values} if strategy is Distillation else values
    return Bench(strategy, given, training=PLAN)


def tuned(strategy, search, labels=10):
    """Return a bench, a cell of it with this search, and what runs its trials."""
    bench = bench_of(strategy)
    setup, start = bench.set_up(labels), bench_of(strategy).set_up(labels)
    begun = start.backbone and Start(start.backbone, start.strategy.taught)
    made = bench.strategy()
    setup.tuned = Tuned(search, config_of(made), copy.deepcopy(begun))
    return bench, setup, runner(bench, setup)


def runner(bench, setup, log=lambda values, step: None):
    metric = setup.target.domain.metric

    def drive(strategy, log):
        return Driver(strategy, setup.data, bench.machine, metric, log)

    return Trials(setup, setup.tuned, metric, drive, log)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("strategy", SPACES)
def test_a_trial_is_the_cell_with_its_setting(strategy):
    search = RandomSearch(trials=2, space=SPACES[strategy])
    _, setup, trials = tuned(strategy, search)
    fitted = trials.run()
    alone = [bench_of(strategy, **trial.values).run(10) for trial in fitted.tuning.trials]
    assert same(state_of(setup.strategy), alone[fitted.tuning.chosen].state)
    assert [trial.step for trial in fitted.tuning.trials] == [
        run.fitted.chosen_step for run in alone
    ]
    assert fitted.validation_checks == sum(run.fitted.validation_checks for run in alone)
    assert fitted.steps == alone[0].fitted.steps


def test_the_best_by_validation_is_chosen_and_the_first_of_equals():
    search = GridSearch(trials=5, space=SPACES[FullFinetuning])
    _, setup, trials = tuned(FullFinetuning, search)
    found = trials.run().tuning
    scores = [trial.score for trial in found.trials]
    assert found.chosen == int(np.argmax(scores))
    assert setup.strategy.hparams["lr_factor"] == found.trials[found.chosen].values["lr_factor"]
    assert len(set(scores)) > 1, "the grid reaches rates that learn nothing"


def test_what_a_trial_of_a_large_network_leaves_is_freed_before_the_next_one_begins(monkeypatch):
    """Python's collector sees no tensor's size, and let the networks of all trials lie about."""
    monkeypatch.setattr(memory, "LARGE", 1)
    _, _, trials = tuned(FullFinetuning, GridSearch(trials=5, space=SPACES[FullFinetuning]))
    drive, drivers, alive = trials.drive, [], []

    def watched(strategy, log):
        alive.append([which for which, ref in enumerate(drivers) if ref() is not None])
        driver = drive(strategy, log)
        drivers.append(weakref.ref(driver.choice))
        return driver

    trials.drive = watched
    gc.disable()
    try:
        trials.run()
    finally:
        gc.enable()
    assert alive == [[]] * 5, "no trial's best weights outlive it"
    kept = trials.best.strategy
    assert all(parameter.grad is None for parameter in kept.parameters())


class StoppedError(Exception):
    """Ends a process."""


@pytest.mark.parametrize("strategy", [FullFinetuning, LogisticRegression])
@pytest.mark.parametrize("done", [1, 2])
def test_a_search_that_was_stopped_goes_on_to_the_same_end(strategy, done):
    search = RandomSearch(trials=3, space=SPACES[strategy])
    _, whole, trials = tuned(strategy, search)
    expected = trials.run()
    _, _, first = tuned(strategy, search)
    drive, begun = first.drive, itertools.count()

    def stopping(*arguments):
        if next(begun) == done:
            raise StoppedError
        return drive(*arguments)

    first.drive = stopping
    with pytest.raises(StoppedError):
        first.run()
    assert len(first.ended) == done
    _, fresh, second = tuned(strategy, search)
    second.progress = first.progress
    fitted = second.run()
    assert fitted.tuning == expected.tuning
    assert same(state_of(fresh.strategy), state_of(whole.strategy))
    assert fitted.taken == expected.taken
    assert fitted.curves.keys() == expected.curves.keys()
    for name, values in expected.curves.items():
        np.testing.assert_array_equal(fitted.curves[name], values)


class Explodes(FullFinetuning):
    """Diverges above a rate."""

    limit = 1.0

    def loss(self, batch, progress):
        loss = super().loss(batch, progress)
        return loss * float("inf") if self.lr_factor > self.limit else loss


def test_a_trial_that_diverges_is_told_and_the_others_go_on():
    _, _, trials = tuned(Explodes, GridSearch(trials=4, space=SPACES[FullFinetuning]))
    found = trials.run().tuning
    failed = [trial for trial in found.trials if trial.score is None]
    assert [trial.values["lr_factor"] for trial in failed] == [
        trial.values["lr_factor"] for trial in found.trials if trial.values["lr_factor"] > 1
    ]
    assert failed
    assert all("the training loss is" in trial.reason for trial in failed)
    assert found.trials[found.chosen].score is not None


def test_if_all_trials_diverge_the_cell_fails(monkeypatch):
    monkeypatch.setattr(Explodes, "limit", 0.0)
    _, _, trials = tuned(Explodes, GridSearch(trials=2, space=SPACES[FullFinetuning]))
    with pytest.raises(FloatingPointError, match="all 2 trials failed: the training loss is"):
        trials.run()


def test_where_nothing_validates_the_defaults_are_run_and_the_fit_says_so():
    search = RandomSearch(trials=3, space=SPACES[FullFinetuning])
    bench, setup, _ = tuned(FullFinetuning, search, labels=2)
    fitted = cell_module.learn(setup, bench.machine, lambda values, step: None)
    assert fitted.tuning.trials == ()
    assert fitted.tuning.reason == "nothing validates"
    assert same(state_of(setup.strategy), bench_of(FullFinetuning).run(2).state)


def test_only_the_curve_of_the_chosen_trial_is_logged():
    bench, setup, _ = tuned(FullFinetuning, RandomSearch(trials=3, space=SPACES[FullFinetuning]))
    told = []
    fitted = cell_module.learn(
        setup, bench.machine, lambda values, step: told.append((values, step))
    )
    assert len(fitted.tuning.trials) == 3
    losses = [values["train/loss"] for values, _ in told if "train/loss" in values]
    assert losses == fitted.curves["train_loss"].tolist()
    steps = [step for _, step in told]
    assert steps == sorted(steps)


def test_a_seed_of_the_search_gives_all_seed_blocks_the_same_settings():
    space, first = SPACES[LogisticRegression], {}
    for seed, block in itertools.product((None, 7), (0, 1)):
        search = RandomSearch(trials=2, seed=seed, space=space)
        _, setup, _ = tuned(LogisticRegression, search)
        setup.strategy.block_seed = block
        first[seed, block] = Trials(setup, setup.tuned, "accuracy", None, None)._next()
    assert first[7, 0] == first[7, 1]
    assert first[None, 0] != first[None, 1]


def test_trials_are_scored_on_what_was_held_out():
    _, setup, trials = tuned(
        LogisticRegression, GridSearch(trials=2, space=SPACES[LogisticRegression])
    )
    rows = np.arange(30, 50)
    held = setup.tuned.held = setup.target.view("pool", setup.preprocess, rows)
    trials.run()
    said = cell_module.predictions(setup.strategy, held, Machine(accelerator="cpu"))
    right = (said.argmax(dim=1).numpy() == setup.target.loaded.pool.labels[rows]).mean()
    assert trials.ended[trials.best.number].score == pytest.approx(right)
