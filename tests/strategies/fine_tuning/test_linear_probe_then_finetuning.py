"""The tuning starts where the probe ended (Kumar et al. 2022)."""

import torch

from transfergrid.records.training import Training
from transfergrid.strategies.fine_tuning.feature_extraction import FeatureExtraction
from transfergrid.strategies.fine_tuning.linear_probe_then_finetuning import (
    LinearProbeThenFinetuning,
)
from transfergrid.testing.bench import Bench
from transfergrid.testing.cutting import killed

PLAN = Training(steps=8, batch_size=8, validations=2, lr=0.01)
HALF = Training(steps=4, batch_size=8, validations=1, lr=0.01)


def test_before_the_first_tuning_step_it_is_the_probe():
    bench = Bench(LinearProbeThenFinetuning, {"lr_factor": 3.0}, training=PLAN)
    setup = bench.set_up(2)
    killed(bench, setup, 4)
    probe = Bench(FeatureExtraction, {"lr_factor": 3.0}, training=HALF).run(2)
    state = setup.strategy.state_dict()
    assert all(torch.equal(state[name], value) for name, value in probe.state.items())


def test_then_all_weights_move_at_a_rate_of_their_own():
    arguments = {"lr_factor": 3.0, "tuning_lr_factor": 0.25}
    run = Bench(LinearProbeThenFinetuning, arguments, training=PLAN).run(10)
    probe, tune = run.setup.strategy.phases()
    assert (probe.lr_factor, tune.lr_factor) == (None, 0.25)
    start = Bench(FeatureExtraction).set_up(10).backbone.state_dict()
    assert run.fitted.steps == 8
    last = Bench(LinearProbeThenFinetuning, arguments, training=PLAN).run(2).state
    assert not torch.equal(last["backbone.network.conv1.weight"], start["network.conv1.weight"])
