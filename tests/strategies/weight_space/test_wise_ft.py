"""(1 - a) w_0 + a w_1, from the probe to where fine-tuning leads (Wortsman et al. 2022)."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy
from trajectories import same, trajectory

from golden import golden
from transfergrid.records.training import Training
from transfergrid.strategies.closed_form.logistic_probe import LogisticProbe
from transfergrid.strategies.fine_tuning.linear_probe_then_finetuning import (
    LinearProbeThenFinetuning,
)
from transfergrid.strategies.weight_space.wise_ft import PATH, WiseFT, interpolated
from transfergrid.testing.bench import Bench, state_of

PLAN = Training(steps=8, batch_size=8, validations=4, lr=0.02)


@pytest.mark.proves("formula_exact", "wise_ft")
def test_weights_and_outputs_lie_on_the_line():
    given, expected, tolerance = golden("wise_ft", "linear")
    start, end, inputs = (
        torch.tensor(given[name], dtype=torch.float64) for name in ("theta0", "theta1", "x")
    )
    half = interpolated(start, end, 0.5)
    assert half.tolist() == pytest.approx(np.array(expected["weights_half"]), abs=tolerance)
    for alpha, outputs in zip(given["alphas"], expected["outputs"], strict=True):
        found = inputs @ interpolated(start, end, alpha).T
        assert found.tolist() == pytest.approx(np.array(outputs), abs=tolerance)


@pytest.mark.proves("formula_exact", "wise_ft")
def test_the_ends_are_met_bit_for_bit_and_counts_are_the_ends():
    start, end = torch.tensor([1 / 3, -7.0]), torch.tensor([1e-7, 0.1])
    assert torch.equal(interpolated(start, end, 0.0), start)
    assert torch.equal(interpolated(start, end, 1.0), end)
    assert interpolated(start, end, 0.2).tolist() == pytest.approx([0.8 / 3 + 2e-8, -5.58])
    assert interpolated(torch.tensor(3), torch.tensor(9), 0.2).item() == 9


@pytest.mark.proves("trajectory_exact", "wise_ft")
@pytest.mark.parametrize("on", ["images", "texts"])
def test_it_ends_where_a_plain_loop_ends(on):
    schedule = {"lr_factor": 0.5, "schedule": "constant"}
    run = trajectory(WiseFT, schedule, on)
    net, seen = run.net().eval(), run.target
    with torch.no_grad():
        features = net.features(seen.inputs).numpy()
    probe = LogisticRegression(solver="newton-cg", tol=1e-12).fit(features, seen.labels.numpy())
    net.head.weight.data = torch.from_numpy(probe.coef_)
    net.head.bias.data = torch.from_numpy(probe.intercept_ - probe.intercept_.mean())
    start = {name: value.clone() for name, value in net.state_dict().items()}
    optimiser = torch.optim.AdamW(net.train().parameters(), lr=0.01, weight_decay=0.05)
    for batch in run.batches:
        optimiser.zero_grad()
        cross_entropy(net(batch.target.inputs), batch.target.labels).backward()
        optimiser.step()
    end = net.state_dict()
    halves = {n: (start[n] + end[n]) / 2 if v.is_floating_point() else v for n, v in end.items()}
    same(run, halves)


def run_of(strategy, labels, **told):
    return Bench(strategy, told, training=PLAN).run(labels)


@pytest.mark.parametrize("labels", [2, 10])
def test_the_ends_of_the_path_are_the_probe_and_fine_tuning_from_it(labels):
    probe, start = run_of(LogisticProbe, labels), run_of(WiseFT, labels, alpha=0.0)
    tuned = run_of(LinearProbeThenFinetuning, labels, c=1.0, tuning_lr_factor=0.3)
    end, half = (run_of(WiseFT, labels, alpha=alpha, lr_factor=0.3) for alpha in (1.0, 0.5))
    counts = {name for name in probe.state if name.endswith("num_batches_tracked")}
    for name, value in probe.state.items():
        assert name in counts or torch.equal(start.state[name], value), name
    assert all(torch.equal(end.state[name], value) for name, value in tuned.state.items())
    assert torch.equal(start.predictions, probe.predictions)
    assert not torch.equal(half.predictions, probe.predictions)
    assert not torch.equal(half.predictions, tuned.predictions)


def test_validation_chooses_and_the_whole_path_is_told():
    run = run_of(WiseFT, 10)
    (path,) = run.fitted.paths
    assert (path.name, path.values) == ("alpha", PATH)
    assert len(path.validation) == len(path.train_loss) == 11
    best = max(path.validation)
    equals = [value for value, score in zip(PATH, path.validation, strict=True) if score == best]
    assert path.chosen == min(equals, key=lambda value: abs(value - 0.5))
    view = run.setup.data.validation
    for alpha in {0.0, 0.8, path.chosen}:
        alone, score = run_of(WiseFT, 10, alpha=alpha), path.validation[PATH.index(alpha)]
        with torch.no_grad():
            said = alone.setup.strategy.predict(view.inputs(view.rows)).argmax(1)
        assert score == pytest.approx((said.numpy() == view.labels).mean())
        if alpha == path.chosen:
            assert all(torch.equal(v, run.state[n]) for n, v in alone.state.items())


def test_below_ten_labels_it_is_the_middle_and_the_path_tells_the_training_loss():
    run = run_of(WiseFT, 2)
    (path,) = run.fitted.paths
    assert (path.chosen, path.validation, len(path.train_loss)) == (0.5, (), 11)
    half = run_of(WiseFT, 2, alpha=0.5)
    assert all(torch.equal(value, run.state[name]) for name, value in half.state.items())
    assert half.fitted.paths[0].train_loss == ()
    view = run.setup.data.train
    with torch.no_grad():
        said = run.setup.strategy.predict(view.inputs(view.rows))
    loss = cross_entropy(said, torch.from_numpy(view.labels)).item()
    assert path.train_loss[5] == pytest.approx(loss, abs=1e-5)


def test_looks_at_the_validation_part_are_counted():
    chosen, typed = run_of(WiseFT, 10), run_of(WiseFT, 10, alpha=0.3)
    assert chosen.fitted.validation_checks == typed.fitted.validation_checks + 10


def test_the_start_stands_still_while_fine_tuning_moves():
    bench = Bench(WiseFT, training=PLAN)
    setup = bench.set_up(2)
    source = state_of(setup.backbone)
    bench.driver(setup).run()
    start = setup.strategy.scaffold["start"][0].state_dict()
    assert all(torch.equal(value, start[name]) for name, value in source.items())
