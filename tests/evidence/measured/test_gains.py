"""Gains pair cells by the baseline they name, and say what they could not pair."""

import numpy as np
import pytest

from ledger_factory import made, predicted
from transfergrid.evidence.measured.gains import block_gains, estimated, paired, why_uncrossed
from transfergrid.evidence.measured.scoring import RESAMPLED
from transfergrid.evidence.statistics.intervals import (
    SEEDS_AND_ITEMS,
    THIS_MODEL,
    THIS_TEST_SET,
    over_blocks_and_items,
)
from transfergrid.records.cell import Reference
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Predictions
from transfergrid.records.points import gain_this_seed, oriented
from transfergrid.records.record import Metric, Scores

RIGHT = np.random.default_rng(0).random((2, 4, 50)) < 0.7


def study(n=4, right=RIGHT, **fields):
    """Return an arm, its baseline and the predictions of both."""
    base = [made(seed=s, score=right[0, s].mean(), **fields) for s in range(n)]
    arm = [
        made("full_finetuning", "glyphs", seed=s, score=right[1, s].mean(), baseline=base[s])
        for s in range(n)
    ]
    kept = {cell.id: predicted(right[0, s]) for s, cell in enumerate(base)}
    kept |= {cell.id: predicted(right[1, s]) for s, cell in enumerate(arm)}
    return arm, base, kept


def gain(arm, base, read=None):
    return estimated(paired(arm, base), read)


def missing(identity):
    raise BadInputError(f"{identity} was not kept")


def test_a_gain_is_in_points_and_covers_seeds_and_items():
    arm, base, kept = study()
    found = gain(arm, base, kept.__getitem__)
    expected = over_blocks_and_items(100 * (RIGHT[1].astype(float) - RIGHT[0]))
    assert (found.n, found.scope) == (4, SEEDS_AND_ITEMS)
    assert found.mean == pytest.approx(expected.mean)
    assert (found.low, found.high) == pytest.approx(expected.interval())
    assert found.mean == pytest.approx(gain(arm, base).mean)  # what the records say of themselves


@pytest.mark.parametrize("read", [None, missing])
def test_without_predictions_it_speaks_of_this_test_set(read):
    arm, base, _ = study()
    assert gain(arm, base, read).scope == THIS_TEST_SET


def test_predictions_of_one_block_missing_leave_seeds_only():
    arm, base, kept = study()
    del kept[base[2].id]
    read = lambda name: kept[name] if name in kept else missing(name)  # noqa: E731
    assert gain(arm, base, read).scope == THIS_TEST_SET


def test_blocks_tested_on_other_items_do_not_cross():
    arm, base, kept = study()
    turned = kept[arm[1].id]
    kept[arm[1].id] = turned._replace(labels=1 - turned.labels)
    assert gain(arm, base, kept.__getitem__).scope == THIS_TEST_SET


def test_one_seed_speaks_of_this_model():
    arm, base, kept = study(1)
    found = gain(arm, base, kept.__getitem__)
    assert (found.n, found.scope, found.df) == (1, THIS_MODEL, 49)
    assert gain(arm, base).low is None


def test_missing_and_failed_partners_are_not_paired():
    arm, base, kept = study()
    no_score = made(seed=1, score=None)
    found = gain(arm, [base[0], no_score, base[3]], kept.__getitem__)
    assert found.n == 2
    assert paired(arm, []) == []


def test_pairing_is_by_the_named_cell_whatever_the_order():
    arm, base, kept = study()
    read = kept.__getitem__
    assert gain(arm[::-1], base[::-1], read) == gain(arm, base, read)


def test_an_exploratory_baseline_is_found_by_its_id():
    arm, _, _ = study()
    other = [made("scratch_converged", seed=s, score=0.5) for s in range(4)]
    named = [
        made(
            "full_finetuning",
            "glyphs",
            seed=s,
            score=0.6,
            exploratory=(Reference(name="scratch_converged", id=other[s].id),),
        )
        for s in range(4)
    ]
    assert gain(named, other).mean == pytest.approx(10)
    assert paired(arm, other) == []


def test_swapping_the_arms_turns_the_gain():
    arm, base, kept = study()
    back = [made(seed=s, score=base[s].score, baseline=arm[s]) for s in range(4)]
    there, again = gain(arm, base, kept.__getitem__), gain(back, arm, kept.__getitem__)
    assert (again.mean, again.low, again.high) == pytest.approx(
        (-there.mean, -there.high, -there.low)
    )


def test_less_loss_is_a_gain_and_is_no_percentage():
    lower = Metric(name="loss", higher_is_better=False)
    base = [made(seed=s, scores=Scores(test={"loss": 1.0 + s}), metric=lower) for s in range(2)]
    arm = [
        made("x", seed=s, scores=Scores(test={"loss": 0.5 + s}), metric=lower, baseline=base[s])
        for s in range(2)
    ]
    assert gain(arm, base).mean == pytest.approx(0.5)
    assert gain_this_seed(arm[0], base[0]) == pytest.approx(0.5)  # and not 50


@pytest.mark.parametrize(
    ("name", "higher", "points"),
    [("accuracy", True, 100), ("ece", False, -100), ("loss", False, -1), ("score", True, 1)],
)
def test_unit_and_orientation_are_the_same_wherever_a_gain_is_told(name, higher, points):
    metric = Metric(name=name, higher_is_better=higher)
    base = [made(seed=s, scores=Scores(test={name: 0.2}), metric=metric) for s in range(2)]
    arm = [
        made("x", seed=s, scores=Scores(test={name: 0.5 + s / 10}), metric=metric, baseline=base[s])
        for s in range(2)
    ]
    assert oriented(metric) == points
    assert gain_this_seed(arm[0], base[0]) == pytest.approx(0.3 * points)
    assert gain(arm[:1], base).mean == pytest.approx(0.3 * points)
    assert block_gains(list(zip(arm, base, strict=True))) == pytest.approx(
        [0.3 * points, 0.4 * points]
    )


def test_a_loss_is_a_mean_over_items_and_crosses_them():
    """Of two arms that differ in their probabilities alone: hand-made, in nats."""
    lower = Metric(name="loss", higher_is_better=False)
    rng = np.random.default_rng(3)
    labels = np.arange(60) % 2
    true = rng.uniform(0.2, 0.9, size=(2, 4, 60))  # of the true class, by arm, seed and item
    kept, cells = {}, ([], [])
    for side, found in enumerate(cells):
        for seed in range(4):
            said = np.where(
                np.eye(2)[labels] > 0, true[side, seed][:, None], 1 - true[side, seed][:, None]
            )
            value = float(-np.log(true[side, seed]).mean())
            base = cells[0][seed] if side else None
            scores = Scores(test={"loss": value})
            cell = made(f"s{side}", seed=seed, scores=scores, metric=lower, baseline=base)
            kept[cell.id] = Predictions(said.astype(np.float32), labels)
            found.append(cell)
    found = gain(cells[1], cells[0], kept.__getitem__)
    expected = over_blocks_and_items(np.log(true[1]) - np.log(true[0]))
    assert found.scope == SEEDS_AND_ITEMS
    assert (found.mean, found.se) == pytest.approx((expected.mean, expected.se), rel=1e-5)


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1", "auroc", "ece"])
def test_metrics_that_are_no_mean_over_items_cover_the_items_too(name):
    """Seeds alone would miss the luck of the test set: the interval must be the wider one."""
    metric = Metric(name=name, higher_is_better=name != "ece")
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 90)
    kept, cells = {}, {"scratch": [], "x": []}
    for strategy, found in cells.items():
        hard = rng.normal(size=(90, 3)) + np.eye(3)[labels]
        for seed in range(4):
            said = np.exp(hard + 0.1 * rng.normal(size=(90, 3)))
            said = Predictions((said / said.sum(1, keepdims=True)).astype(np.float32), labels)
            value = float(RESAMPLED[name](said, np.ones((90, 1), np.float32))[0])
            base = cells["scratch"][seed] if strategy == "x" else None
            cell = made(
                strategy, seed=seed, scores=Scores(test={name: value}), metric=metric, baseline=base
            )
            found.append(cell)
            kept[cell.id] = said
    both = gain(cells["x"], cells["scratch"], kept.__getitem__)
    seeds = gain(cells["x"], cells["scratch"])
    assert (both.scope, seeds.scope) == (SEEDS_AND_ITEMS, THIS_TEST_SET)
    assert both.mean == seeds.mean
    assert both.se > 1.5 * seeds.se
    one = gain(cells["x"][:1], cells["scratch"], kept.__getitem__)
    assert (one.scope, one.df) == (THIS_MODEL, pytest.approx(89))


def test_scores_that_an_older_version_counted_otherwise_are_not_crossed():
    """AUROC once counted an absent class as 0: its items say 1.0 where 0.667 was recorded."""
    metric, labels = Metric(name="auroc"), np.arange(40) % 2
    said = Predictions(np.eye(3, dtype=np.float32)[labels], labels)
    pairs = []
    for seed in range(3):
        base = made(seed=seed, scores=Scores(test={"auroc": 2 / 3}), metric=metric)
        scores = Scores(test={"auroc": 2 / 3 + seed / 100})
        pairs.append((made("x", seed=seed, scores=scores, metric=metric, baseline=base), base))
    assert estimated(pairs, lambda identity: said).scope == THIS_TEST_SET
    told = why_uncrossed(pairs, lambda identity: said)
    assert (
        told == "the recorded scores are not those of the predictions: these cells are to run again"
    )
