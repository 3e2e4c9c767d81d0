"""Fine-tuning at a steady rate, and the mean of the weights on the way (Izmailov et al. 2018)."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from transfergrid.records.training import Training
from transfergrid.strategies.fine_tuning.full_finetuning import FullFinetuning
from transfergrid.strategies.weight_space.batch_statistics import norms_of
from transfergrid.strategies.weight_space.weight_averaging import WeightAveraging
from transfergrid.testing.bench import Bench

STEADY = {"lr_factor": 0.5, "schedule": "constant"}
PLAN = Training(steps=8, batch_size=8, validations=4, lr=0.02)


def test_a_norm_without_weights_moves_where_something_around_it_learns():
    """So its statistics, too, are to be taken anew of the mean."""
    still = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False))
    learns = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False), nn.BatchNorm1d(2))
    both = nn.Sequential(still, learns)
    assert norms_of(both, learns.parameters()) == [learns[1], learns[2]]
    assert norms_of(both, learns[0].parameters()) == [learns[1]]


@pytest.mark.proves("trajectory_exact", "weight_averaging")
@pytest.mark.parametrize("told", [{}, {"begin": 0.0, "decay": 0.9}], ids=["mean", "moving"])
@pytest.mark.parametrize("on", ["images", "texts"])
def test_it_ends_where_a_plain_loop_ends(on, told):
    run = trajectory(WeightAveraging, {"lr_factor": 0.5, **told}, on)
    net, mean, n = run.net(), None, 0
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.05)
    for step, batch in enumerate(run.batches, 1):
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
        now = [p.detach().clone() for p in net.parameters()]
        if "decay" in told:
            mean = [0.9 * a + 0.1 * b for a, b in zip(mean or now, now, strict=True)]
        elif step >= 15:
            n += 1
            mean = [(a * (n - 1) + b) / n for a, b in zip(mean or now, now, strict=True)]
    for p, value in zip(net.parameters(), mean, strict=True):
        p.data = value
    with torch.no_grad():  # one batch of all training inputs
        for norm in [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]:
            norm.momentum = 1.0
        net(run.target.inputs)
    for norm in [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]:
        norm.num_batches_tracked -= 1
    same(run, net)


@pytest.mark.parametrize("labels", [2, 10], ids=["last step", "chosen step"])
@pytest.mark.parametrize("told", [{"begin": 1.0}, {"begin": 0.0, "decay": 0.0}])
def test_a_window_of_one_is_plain_fine_tuning_bit_for_bit(labels, told):
    plain = Bench(FullFinetuning, STEADY, training=PLAN).run(labels)
    one = Bench(WeightAveraging, {**told, "lr_factor": 0.5}, training=PLAN).run(labels)
    assert all(torch.equal(one.state[name], value) for name, value in plain.state.items())
    wide = Bench(WeightAveraging, {"begin": 0.25, "lr_factor": 0.5}, training=PLAN).run(labels)
    assert not torch.equal(wide.predictions, plain.predictions)


def test_the_rate_is_steady_unless_another_is_asked_for():
    assert WeightAveraging().schedule == "constant"
    assert WeightAveraging(schedule=None).schedule is None


def test_a_validation_part_is_asked_what_the_mean_says():
    """The weights, and what is scored in the end, are those of the mean up to the chosen step."""
    bench = Bench(WeightAveraging, {"begin": 0.25, "lr_factor": 3.0}, training=PLAN)
    setup = bench.set_up(10)
    driver, seen = bench.driver(setup), []
    strategy, look = setup.strategy, driver.choice.look

    def looking(phase, step, *more):
        look(phase, step, *more)
        with strategy.mean.in_place():
            seen.append((step, [p.detach().clone() for p in strategy.parameters()]))

    driver.choice.look = looking
    scores = driver.run().curves["validation_score"][:-1]
    best = 2 * (int(scores.argmax()) + 1)
    found = dict(seen[:-1])[best]
    assert all(torch.equal(a, b) for a, b in zip(found, strategy.parameters(), strict=True))


def test_statistics_are_those_of_the_mean():
    setup = Bench(WeightAveraging, {"begin": 0.25}, training=PLAN).run(2).setup
    inputs = setup.data.train.inputs(setup.data.train.rows)
    norm = setup.backbone.network.bn1
    maps = setup.backbone.network.conv1(inputs)
    assert torch.allclose(norm.running_mean, maps.mean(dim=(0, 2, 3)), atol=1e-5)
    assert int(norm.num_batches_tracked) == 20 + PLAN.steps, "the source's and the run's"
