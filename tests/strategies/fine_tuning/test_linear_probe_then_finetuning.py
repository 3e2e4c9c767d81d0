"""The tuning starts where the probe ended (Kumar et al. 2022)."""

import pytest
import torch
from plain_torch import adamw, cosine, set_rate
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.records.factory import config_of
from transfergrid.records.identity import config_digest
from transfergrid.records.training import Training
from transfergrid.strategies import ImpossibleError
from transfergrid.strategies.closed_form.logistic_probe import LogisticProbe
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.linear_probe_then_finetuning import (
    LinearProbeThenFinetuning,
)
from transfergrid.testing.bench import Bench
from transfergrid.testing.cutting import killed

PLAN = Training(steps=8, batch_size=8, validations=2, lr=0.01)
HALF = Training(steps=4, batch_size=8, validations=1, lr=0.01)


def says(setup):
    """Return what a strategy predicts of the test examples, as it stands."""
    view, mode = setup.target.whole("test", setup.preprocess), setup.strategy.training
    with torch.no_grad():
        found = setup.strategy.eval().predict(view.inputs(view.rows)).softmax(1)
    setup.strategy.train(mode)
    return found


def test_before_the_first_tuning_step_it_is_the_probe():
    bench = Bench(LinearProbeThenFinetuning, {"lr_factor": 3.0}, training=PLAN)
    setup = bench.set_up(2)
    killed(bench, setup, 4)
    probe = Bench(FeatureExtraction, {"lr_factor": 3.0}, training=HALF).run(2)
    state = setup.strategy.state_dict()
    assert all(torch.equal(state[name], value) for name, value in probe.state.items())
    setup.strategy.learn_only(setup.strategy.phases()[1].learning())
    setup.strategy.train()  # as the first step finds it, BatchNorm and dropout awake
    torch.testing.assert_close(says(setup), probe.predictions, rtol=0, atol=0)


def test_a_solved_probe_is_the_logistic_probe_and_all_steps_tune():
    bench = Bench(LinearProbeThenFinetuning, {"c": 0.5}, training=PLAN)
    setup = bench.set_up(2)
    driver = bench.driver(setup)
    solve, tune = driver.phases
    driver.prepare(solve, 0)
    probe = Bench(LogisticProbe, {"c": 0.5}).run(2)
    state = setup.strategy.state_dict()
    assert all(torch.equal(state[name], value) for name, value in probe.state.items())
    setup.strategy.learn_only(tune.learning())
    setup.strategy.train()
    torch.testing.assert_close(says(setup), probe.predictions, rtol=0, atol=0)
    assert driver.lengths == [0, 8]
    assert bench.run(2).fitted.steps == Bench(FeatureExtraction, training=PLAN).run(2).fitted.steps


def test_numbers_have_no_such_probe():
    with pytest.raises(ImpossibleError, match=r"strategy\.c .* labels are numbers"):
        Bench(LinearProbeThenFinetuning, {"c": 1.0}).on_numbers().set_up(50)


def test_identities_are_those_from_before_there_was_c():
    config = config_of(LinearProbeThenFinetuning())
    before = {key: value for key, value in config.items() if key != "c"}
    assert config_digest(config) == config_digest(before)
    assert config_digest(config) != config_digest({**config, "c": 1.0})


def test_then_all_weights_move_at_a_rate_of_their_own():
    arguments = {"lr_factor": 3.0, "tuning_lr_factor": 0.25}
    run = Bench(LinearProbeThenFinetuning, arguments, training=PLAN).run(10)
    probe, tune = run.setup.strategy.phases()
    assert (probe.lr_factor, tune.lr_factor) == (None, 0.25)
    start = Bench(FeatureExtraction).set_up(10).backbone.state_dict()
    assert run.fitted.steps == 8
    last = Bench(LinearProbeThenFinetuning, arguments, training=PLAN).run(2).state
    assert not torch.equal(last["backbone.network.conv1.weight"], start["network.conv1.weight"])


@pytest.mark.proves("trajectory_exact", "linear_probe_then_finetuning")
def test_the_solved_probe_beside_scikit_learn():
    run = trajectory(LinearProbeThenFinetuning, {"c": 0.3, "tuning_lr_factor": 0.5})
    net = run.net().eval()
    with torch.no_grad():
        features = net.features(run.target.inputs)
        solver = LogisticRegression(C=0.3, tol=1e-12, max_iter=10_000, solver="newton-cg")
        solver.fit(features, run.target.labels)
        net.head.weight.copy_(torch.from_numpy(solver.coef_))
        net.head.bias.copy_(torch.from_numpy(solver.intercept_))
    optimiser = adamw((net.train().parameters(), 0.5))
    for step, batch in enumerate(run.batches):
        set_rate(optimiser, cosine(step, 20))
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    same(run, net)
