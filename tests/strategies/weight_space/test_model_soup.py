"""The mean of the weights of a cell's trials (Wortsman et al. 2022)."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from trajectories import PLAN, Net, doubled

from golden import golden
from transfergrid import api
from transfergrid.records.errors import BadInputError, ImpossibleError
from transfergrid.records.factory import config_of
from transfergrid.records.training import Training
from transfergrid.runs import cell as cell_module
from transfergrid.runs.driver import Driver
from transfergrid.runs.stages import Tuned
from transfergrid.runs.starting import Start
from transfergrid.runs.tuning.searches import GridSearch, RandomSearch
from transfergrid.runs.tuning.trying import Trials
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.weight_space.model_soup import ModelSoup, greedy, mean_of
from transfergrid.testing.bench import Bench, quiet_thread, state_of
from transfergrid.testing.tiny import TinyDomain, TinySource

SHORT = Training(steps=6, batch_size=8, lr=0.02, validations=3)
SPACE = {"lr_factor": {"low": 0.1, "high": 1.0, "log": True}}


def soup(recipe="greedy", trials=3, plan=SHORT, bench=None, space=SPACE):
    """Return a setup and what runs its trials; dropout is off where the plan is of float64."""
    bench = bench or Bench(ModelSoup, {"recipe": recipe}, training=plan)
    setup, start = (bench.set_up(50 if bench.of_numbers else 10) for _ in range(2))
    if plan.precision == "64-true":
        for module in start.backbone.modules():
            module.p = 0.0 if isinstance(module, nn.Dropout) else getattr(module, "p", None)
    search = GridSearch(trials=trials, space=space)
    setup.tuned = Tuned(search, config_of(bench.strategy()), Start(copy.deepcopy(start.backbone)))
    metric, quiet = setup.target.domain.metric, lambda values, step: None
    drive = lambda made, log: Driver(made, setup.data, bench.machine, metric, log)  # noqa: E731
    return bench, setup, start, Trials(setup, setup.tuned, metric, drive, quiet)


@pytest.mark.proves("formula_exact", "model_soup")
def test_the_greedy_recipe_and_the_mean_of_all():
    given, expected, tolerance = golden("model_soup", "greedy")
    models, tried = given["models"], []

    def value(theta):
        return 1 - (theta - 1.3) ** 2 / 10

    def mean(names):
        states = [{"w": torch.tensor(models[n], dtype=torch.float64)} for n in names]
        return mean_of(states)["w"].item()

    def score(names):
        tried.append([names[-1], mean(names), value(mean(names))])
        return tried[-1][-1]

    order = sorted(models, key=lambda name: -value(models[name]))
    assert order == expected["order"]
    found = greedy(order, value(models[order[0]]), score)
    assert found == expected["ingredients"]
    for (name, *numbers), (wanted, *values) in zip(tried, expected["tried"], strict=True):
        assert name == wanted
        assert numbers == pytest.approx(values, abs=tolerance)
    assert mean(found) == pytest.approx(expected["soup"], abs=tolerance)
    assert value(mean(found)) == pytest.approx(expected["score"], abs=tolerance)
    assert mean(order) == pytest.approx(expected["uniform"], abs=tolerance)
    assert value(mean(order)) == pytest.approx(expected["uniform_score"], abs=tolerance)


@pytest.mark.proves("formula_exact", "model_soup")
def test_what_scores_no_higher_does_not_join():
    assert greedy(["a", "b", "c"], 0.5, lambda some: 0.5) == ["a"]
    assert greedy(["a", "b", "c"], 0.5, lambda some: 0.5, equals=True) == ["a", "b", "c"]
    assert greedy(["a", "b"], 0.5, lambda some: 0.4, equals=True) == ["a"]
    scores = {"ab": 0.6, "abc": 0.6, "abd": 0.7}
    assert greedy("abcd", 0.5, lambda some: scores["".join(some)]) == ["a", "b", "d"]


def test_the_mean_of_one_is_itself_and_counts_are_the_firsts():
    one, other = ({"w": torch.tensor(w), "n": torch.tensor(n)} for w, n in ((0.1, 3), (0.4, 9)))
    assert mean_of([one]) == one
    assert mean_of([one, other])["w"].item() == pytest.approx(0.25)
    assert mean_of([one, other])["n"].item() == 3


@pytest.mark.proves("trajectory_exact", "model_soup")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_it_ends_where_plain_loops_end(on):
    plan = Training(**{**PLAN, "schedule": "constant", "validations": 1})
    made = Bench(ModelSoup, {"recipe": "uniform"}, training=plan)
    with quiet_thread():
        told = soup(trials=2, plan=plan, bench=made.on_texts() if on == "texts" else made)
        bench, setup, start, trials = told
        view = setup.data.train
        batches = [doubled(bench.batch(setup.data, step).target) for step in range(20)]
        trials.run()
    ends = []
    for factor in (0.1, 1.0):
        begun = copy.deepcopy((start.backbone.network, start.strategy.head))
        net = Net(*begun).double().train().requires_grad_(True)
        optimiser = torch.optim.AdamW(net.parameters(), lr=0.02 * factor, weight_decay=0.05)
        for batch in batches:
            optimiser.zero_grad()
            cross_entropy(net(batch.inputs), batch.labels).backward()
            optimiser.step()
        ends.append(net.state_dict())
    halves = {n: (v + ends[1][n]) / 2 if v.is_floating_point() else v for n, v in ends[0].items()}
    net.load_state_dict(halves)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        net(doubled(view.inputs(view.rows)))
    found = setup.strategy.state_dict()
    for name, value in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.allclose(value, found[name], atol=1e-6, rtol=0), name
    assert all(int(norm.num_batches_tracked) == 41 for norm in norms), "20, 20 steps and a pass"


@pytest.mark.parametrize("numbers", [False, True], ids=["more is better", "less is better"])
def test_greedy_joins_by_validation_as_the_trials_alone_would(numbers):
    bench = Bench(ModelSoup, training=SHORT)
    bench = bench.on_numbers() if numbers else bench
    _, setup, _, trials = soup(trials=4, bench=bench)
    judged, plain = [], trials._judged
    trials._judged = lambda driver: judged.append(plain(driver)) or judged[-1]
    found = trials.run().tuning
    sign = -1 if numbers else 1
    scores = [sign * trial.score for trial in found.trials]
    order = sorted(range(4), key=lambda number: -scores[number])
    assert found.chosen == order[0]
    members, best = [order[0]], scores[order[0]]
    for number, score in zip(order[1:], judged, strict=True):
        if score > best:
            members, best = [*members, number], score
    assert found.members == tuple(sorted(members))
    alone = [Bench(FullFinetuning, t.values, training=SHORT) for t in found.trials]
    alone = [b.on_numbers() if numbers else b for b in alone]
    runs = [b.run(50 if numbers else 10).state for b in alone]
    assert all(
        torch.allclose(value, sum(runs[n][name] for n in members) / len(members), atol=1e-6)
        for name, value in state_of(setup.strategy).items()
        if "running" not in name and value.is_floating_point()
    )


def test_one_trial_is_plain_fine_tuning_and_a_mean_of_all_is_not():
    _, one, _, trials = soup(trials=1)
    fitted = trials.run()
    assert fitted.tuning.members == (0,)
    plain = Bench(FullFinetuning, fitted.tuning.trials[0].values, training=SHORT).run(10).state
    assert all(torch.equal(value, plain[n]) for n, value in state_of(one.strategy).items())
    _, several, _, trials = soup("uniform", trials=3)
    fitted = trials.run()
    assert fitted.tuning.members == (0, 1, 2)
    best = fitted.tuning.trials[fitted.tuning.chosen].values
    plain = Bench(FullFinetuning, best, training=SHORT).run(10).state
    assert not torch.equal(several.strategy.head.weight, plain["head.weight"])


class StoppedError(Exception):
    """Ends a process."""


@pytest.mark.parametrize("done", [1, 3])
def test_a_soup_that_was_stopped_comes_to_the_same_end(done):
    _, whole, _, trials = soup("uniform")
    expected = trials.run()
    _, _, _, first = soup("uniform")
    drive, left = first.drive, iter(range(done))

    def stopping(*arguments):
        if next(left, None) is None:
            raise StoppedError
        return drive(*arguments)

    first.drive = stopping
    with pytest.raises(StoppedError):
        first.run()
    _, fresh, _, second = soup("uniform")
    second.progress = first.progress
    fitted = second.run()
    assert fitted.tuning == expected.tuning
    assert fitted.validation_checks == expected.validation_checks
    found = state_of(fresh.strategy)
    assert all(torch.equal(v, found[n]) for n, v in state_of(whole.strategy).items())


def test_a_trial_that_diverges_is_in_no_soup():
    huge = {"lr_factor": {"low": 0.1, "high": 1e30, "log": True}}
    plan = Training(steps=6, batch_size=8, optimizer="sgd", validations=3)
    _, setup, _, trials = soup("uniform", trials=2, plan=plan, space=huge)
    found = trials.run().tuning
    assert found.trials[1].score is None
    assert found.members == (0,)
    assert all(value.isfinite().all() for value in setup.strategy.state_dict().values())


run = partial(api.run, TinySource(), ModelSoup(), TinyDomain(), training=SHORT)


def test_a_record_says_which_trials_are_in_it(tmp_path):
    record = run(labels=10, tuning=RandomSearch(trials=3), results=tmp_path)
    tuning = record.tuning
    scores = [trial.score for trial in tuning.trials]
    assert tuning.chosen in tuning.members
    assert tuning.chosen == int(np.argmax(scores))
    assert record.scores.validation["accuracy"] >= max(scores)
    assert record.budget.tuning_trials == 3
    assert record.budget.validation_checks == 3 * 3 + 2


@pytest.mark.parametrize(
    ("labels", "tuning", "told"),
    [
        (5, RandomSearch(trials=2), "of labels=5 none validates"),
        (10, None, "nothing is tuned: add tuning=random"),
    ],
)
def test_without_trials_it_is_left_out_with_its_reason(labels, tuning, told, tmp_path):
    with pytest.raises(BadInputError, match=told):
        run(labels=labels, tuning=tuning, results=tmp_path)


def test_a_cell_whose_labels_turn_out_to_validate_nothing_is_refused():
    bench = Bench(ModelSoup, training=SHORT)
    setup = bench.set_up(2)
    with pytest.raises(ImpossibleError, match="made of the trials of a tuned cell"):
        cell_module.learn(setup, bench.machine, lambda values, step: None)
