"""What comes with a gain, against numbers computed by hand."""

import math
from dataclasses import replace

import pytest

from ledger_factory import made
from transfergrid.evidence.measured.results import result_of
from transfergrid.evidence.side_effects import side_effects
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.records.record import Metric, Scores

T_2 = 4.302652729749464
"""The two-sided 95 % point of Student's t with 2 degrees of freedom, as printed in tables."""


def cell(strategy, seed, test, train=None, ece=None, baseline=None, metric=None):
    metric = metric or Metric()
    source = "glyphs" if strategy == "a" else None
    scores = Scores(
        train=None if train is None else {metric.name: train},
        test={metric.name: test} | ({} if ece is None else {"ece": ece}),
    )
    return made(strategy, source, seed=seed, scores=scores, metric=metric, baseline=baseline)


def study(arm, base, **fields):
    """Return (verdict, results by id) of an arm and its baseline: (test, train, ece) by seed."""
    bases = [cell("scratch", seed, *values, **fields) for seed, values in enumerate(base)]
    arms = [
        cell("a", seed, *values, baseline=bases[seed], **fields) for seed, values in enumerate(arm)
    ]
    results = [result_of(record) for record in [*bases, *arms]]
    (verdict,) = judge(results)
    return verdict, {result.id: result for result in results}


ARM = [(0.80, 0.95, 0.10), (0.82, 0.96, 0.12), (0.84, 0.97, 0.08)]
BASE = [(0.70, 0.80, 0.05), (0.72, 0.80, 0.06), (0.71, 0.80, 0.04)]


def interval(values):
    mean = sum(values) / 3
    sd = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    reach = T_2 * sd / math.sqrt(3)
    return mean, mean - reach, mean + reach


def test_calibration_overfitting_and_forgetting_are_those_computed_by_hand():
    verdict, by_id = study(ARM, BASE)
    probes = dict(zip(verdict.cells, [(0.9, 0.8), (0.9, 0.7), (0.8, 0.75)], strict=True))
    found = side_effects(verdict, by_id, probes)
    # ece: .10 .12 .08 against .05 .06 .04
    assert (found.calibration.arm, found.calibration.baseline) == pytest.approx((10, 5))
    assert (found.calibration.change, found.calibration.low, found.calibration.high) == (
        pytest.approx(interval([5, 6, 4]))
    )
    # train less test: 15, 14, 13 against 10, 8, 9
    assert (found.overfitting.arm, found.overfitting.baseline) == pytest.approx((14, 9))
    assert (found.overfitting.change, found.overfitting.low, found.overfitting.high) == (
        pytest.approx(interval([5, 6, 4]))
    )
    # after less before: -10, -20, -5
    assert (found.forgetting.arm, found.forgetting.baseline) == pytest.approx((75, 260 / 3))
    assert (found.forgetting.change, found.forgetting.low, found.forgetting.high) == (
        pytest.approx(interval([-10, -20, -5]))
    )
    assert {c.n for c in (found.calibration, found.overfitting, found.forgetting)} == {3}
    assert found.verdict is verdict


def test_of_a_loss_overfitting_is_the_rise_from_train_to_test_in_its_own_units():
    loss = Metric(name="loss", higher_is_better=False)
    arm = [(0.5, 0.1), (0.6, 0.1), (0.7, 0.1)]  # +.4, +.5, +.6
    base = [(0.5, 0.4), (0.5, 0.4), (0.5, 0.4)]  # +.1
    found = side_effects(*study(arm, base, metric=loss)).overfitting
    assert (found.arm, found.baseline, found.change) == pytest.approx((0.5, 0.1, 0.4))


def test_what_is_not_known_is_none_and_what_is_known_of_some_seeds_counts_these():
    verdict, by_id = study([(0.8,), (0.82,), (0.84,)], [(0.7,), (0.72,), (0.71,)])
    nothing = side_effects(verdict, by_id)
    assert (nothing.calibration, nothing.overfitting, nothing.forgetting) == (None, None, None)
    verdict, by_id = study([*ARM[:2], (0.84, None, None)], BASE)
    some = side_effects(verdict, by_id, {verdict.cells[0]: (0.9, 0.8)})
    assert (some.calibration.n, some.overfitting.n, some.forgetting.n) == (2, 2, 1)
    assert (some.calibration.change, some.overfitting.change) == pytest.approx((5.5, 5.5))
    assert some.forgetting.change == pytest.approx(-10)
    assert (some.forgetting.low, some.forgetting.high) == (None, None)  # one seed has none


def test_pairs_are_those_of_the_verdict():
    """The arm's second seed has no baseline: its calibration has nothing to be a change of."""
    verdict, by_id = study(ARM, [BASE[0], (None, 0.8, 0.9), BASE[2]])
    found = side_effects(verdict, by_id)
    assert (verdict.n, found.calibration.n) == (2, 2)
    assert found.calibration.change == pytest.approx((5 + 4) / 2)


def test_of_nothing_compared_nothing_came_along():
    verdict, by_id = study(ARM, BASE)
    empty = replace(verdict, cells=(), baseline_cells=(), n=0)
    found = side_effects(empty, by_id)
    assert (found.calibration, found.overfitting, found.forgetting) == (None, None, None)
