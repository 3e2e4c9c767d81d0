"""Predictions calibrated and moved to the target's shares (Saerens 2002, Alexandari 2020)."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from transfergrid.records.training import Training
from transfergrid.strategies.baselines.source_only import SourceOnly
from transfergrid.strategies.label_shift.label_shift_em import (
    LabelShiftEm,
    calibration,
    shares_of_target,
)
from transfergrid.testing.bench import Bench
from transfergrid.testing.tiny import TinyDomain, TinySource

HALF = torch.tensor([0.5, 0.5], dtype=torch.float64)


def posteriors(of_first, n=1000):
    """Return predictions (.8, .2) for so many of n examples, and (.2, .8) for the others."""
    rows = [[0.8, 0.2]] * of_first + [[0.2, 0.8]] * (n - of_first)
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.proves("formula_exact", "label_shift_em")
@pytest.mark.parametrize(("of_first", "share"), [(740, 0.9), (500, 0.5), (320, 0.2)])
def test_shares_are_those_that_make_the_predictions_most_likely(of_first, share):
    """A mixture of two likelihoods: with share q of class 0, .8 q + .2 (1 - q) are of the first."""
    found = shares_of_target(posteriors(of_first), HALF)
    assert found.tolist() == pytest.approx([share, 1 - share], abs=1e-6)


def test_a_source_with_other_shares():
    """p = (.2, .8): posteriors of likelihoods .8 and .2 are (.5, .5) and (1/17, 16/17)."""
    source = torch.tensor([0.2, 0.8], dtype=torch.float64)
    rows = [[0.5, 0.5]] * 620 + [[1 / 17, 16 / 17]] * 380
    found = shares_of_target(torch.tensor(rows, dtype=torch.float64), source)
    assert found.tolist() == pytest.approx([0.7, 0.3], abs=1e-6)


def test_one_round_by_hand():
    """(.8, .2) and (.2, .8) from shares (.5, .5): the mean of both is (.5, .5) again."""
    assert shares_of_target(posteriors(1, 2), HALF).tolist() == pytest.approx([0.5, 0.5])


def test_a_class_that_the_source_has_not_is_nowhere():
    source = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
    rows = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]], dtype=torch.float64)
    found = shares_of_target(rows, source)
    assert found[2] == 0
    assert found.sum() == pytest.approx(1.0)


def held_out(seed=0, n=300):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    outputs = 4.0 * np.eye(3)[labels] + 3.0 * rng.normal(size=(n, 3)) + [1.0, 0.0, -0.5]
    return torch.from_numpy(outputs), torch.from_numpy(labels)


@pytest.mark.proves("formula_exact", "label_shift_em")
def test_calibration_is_the_minimum_that_another_solver_finds():
    outputs, labels = held_out()
    z, y = outputs.numpy(), labels.numpy()

    def off(told):
        moved = told[0] * z + told[1:]
        top = moved.max(1, keepdims=True)
        log = moved - top - np.log(np.exp(moved - top).sum(1, keepdims=True))
        far = (told[0] - 1) ** 2 + (told[1:] ** 2).sum()
        return -log[np.arange(len(y)), y].mean() + 0.5e-4 * far

    best = minimize(off, [1.0, 0.0, 0.0, 0.0], tol=1e-12)
    sharpness, bias = calibration(outputs, labels)
    assert [sharpness.item(), *bias.tolist()] == pytest.approx(best.x.tolist(), abs=1e-4)


def test_calibrated_predictions_have_the_shares_of_what_they_were_calibrated_on():
    """So that without any shift nothing is moved: the shares are where the rounds begin."""
    outputs, labels = held_out(1)
    sharpness, bias = calibration(outputs, labels)
    said = (sharpness * outputs + bias).softmax(1)
    given = labels.bincount().double() / len(labels)
    assert (said.mean(0) + 1e-4 * bias).tolist() == pytest.approx(given.tolist(), abs=1e-7)
    assert shares_of_target(said, given).tolist() == pytest.approx(given.tolist(), abs=1e-3)


def test_predictions_that_are_all_right_have_a_calibration_all_the_same():
    outputs, labels = 9.0 * torch.eye(3).double(), torch.arange(3)
    sharpness, bias = calibration(outputs, labels)
    assert 1.0 < sharpness < 5.0
    assert bias.tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)


def test_nothing_held_out_calibrates_nothing():
    sharpness, bias = calibration(torch.zeros(0, 3).double(), torch.zeros(0, dtype=torch.int64))
    assert (sharpness.item(), bias.tolist()) == (1.0, [0.0, 0.0, 0.0])


def test_at_strength_0_it_is_source_only_bit_for_bit():
    plan = Training(steps=8, batch_size=8, validations=2, lr=0.01)
    mine = Bench(LabelShiftEm, {"strength": 0.0}, training=plan).run(0)
    plain = Bench(SourceOnly, training=plan).run(0)
    for name, value in plain.state.items():
        assert torch.equal(mine.state[name], value), name
    assert torch.equal(mine.predictions, plain.predictions)


def test_no_weight_moves_once_the_source_is_learned():
    run = Bench(LabelShiftEm).trained(0)
    bench = Bench(LabelShiftEm, {"strength": 0.5})
    other = bench.trained(0)
    for name, value in run.state.items():
        if name.startswith(("backbone.", "head.")):
            assert torch.equal(other.state[name], value)
    assert not torch.equal(run.state["moved"], other.state["moved"])


def test_it_finds_the_classes_that_are_there():
    plan = Training(steps=80, batch_size=16, lr=0.02)
    kept = TinyDomain(shift=0.4, only=["circle", "stripe"])
    run = Bench(LabelShiftEm, training=plan, source=TinySource()).run(0, kept)
    shares = run.setup.strategy.tells()["target_shares"]
    assert shares == pytest.approx({"circle": 0.5, "stripe": 0.5, "cross": 0.0}, abs=0.11)
