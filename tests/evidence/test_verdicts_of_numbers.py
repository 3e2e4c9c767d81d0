"""Verdicts on targets whose labels are numbers: less of an error is better, points of any unit."""

from dataclasses import replace

import numpy as np
import pytest

from number_cells import ITEMS, NumberCells, family
from transfergrid.evidence.measured.gains import estimated, paired
from transfergrid.evidence.measured.parts import part_gains
from transfergrid.evidence.measured.results import results_from, results_of
from transfergrid.evidence.measured.scoring import value_of
from transfergrid.evidence.statistics.intervals import SEEDS_AND_ITEMS
from transfergrid.evidence.verdicts.decisions import Kind, Rules
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Predictions, packed
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.points import point
from transfergrid.records.record import Metric

MAE = Metric(name="mae", higher_is_better=False)
R2 = Metric(name="r2")


def judged(cells, **rules):
    found = judge(results_from(cells.records), Rules(**rules), read=cells.read_said)
    return {(v.source, v.strategy): v for v in found}


@pytest.fixture(scope="module", params=["mae", "mse", "rmse", "r2"])
def cells(request):
    return family(request.param)


def test_less_error_helps_and_more_error_hurts(cells):
    found = judged(cells)
    helped, hurt = found["birds", "full_finetuning"], found["noise", "full_finetuning"]
    assert (helped.verdict, hurt.verdict) == (Kind.POSITIVE, Kind.NEGATIVE)
    assert helped.gain > 0 > hurt.gain
    better = helped.mean > helped.baseline_mean
    assert better == (cells.metric == "r2")
    assert helped.gain == pytest.approx(abs(helped.mean - helped.baseline_mean))
    assert helped.scope == SEEDS_AND_ITEMS
    assert helped.items == ITEMS
    assert helped.unit == ""
    assert helped.labels_are == "total"


def test_no_unit_moves_a_verdict():
    """Years or days: gains and margins grow alike, p values do not move."""
    years, days = judged(family("mae", 10.0)), judged(family("mae", 3650.0))
    for arm, one in years.items():
        other = days[arm]
        assert other.verdict is one.verdict
        assert other.gain == pytest.approx(365 * one.gain, rel=1e-3)
        assert other.p == pytest.approx(one.p, rel=1e-3)
        assert other.margin == pytest.approx(365 * one.margin, rel=1e-2)


@pytest.mark.parametrize("spread", [1e-9, 1e12])
def test_squared_errors_of_any_size_are_judged_alike(spread):
    """Those of labels in billionths are no rounding, and no constant gain."""
    usual, other = judged(family("mse", 10.0)), judged(family("mse", 10.0 * spread))
    for arm, one in usual.items():
        assert other[arm].verdict is one.verdict
        assert other[arm].low == pytest.approx(spread**2 * one.low, rel=1e-2)
        assert other[arm].constant is one.constant is False
        assert other[arm].p == pytest.approx(one.p, rel=1e-2)
        assert other[arm].se == pytest.approx(spread**2 * one.se, rel=1e-2)


def test_a_point_is_a_hundredth_of_what_the_mean_costs():
    assert point(MAE, 23.7) == pytest.approx(0.237)
    assert point(R2, 0.0) == pytest.approx(0.01)
    assert point(MAE, None) == point(MAE, 0.0) == point(Metric(), 0.5) == 1.0
    cells = family("mae", 10.0)
    (verdict, *_) = judged(cells, margin=2.0).values()
    assert verdict.margin == pytest.approx(2 * cells.records[0].data.floor["mae"] / 100, rel=1e-2)


def test_a_wide_margin_makes_arms_equivalent_that_differ_by_less():
    """The third arm is off by 2.5 points of what the mean costs, give or take as much."""
    assert judged(family(), margin=10.0)["birds", "feature_extraction"].verdict is Kind.EQUIVALENT


def test_items_count_beside_seeds_as_they_do_for_accuracy():
    """Both arms hold the same luck of the items, so that only what differs is a source of error."""
    cells = family("mae")
    arm = [c for c in cells.records if c.names.source == "birds"][:5]
    pairs = paired(arm, cells.records)
    errors = [
        np.stack([np.abs(cells.said[c.id].values[:, 0] - cells.labels) for c in side])
        for side in zip(*pairs, strict=True)
    ]
    gains = errors[1] - errors[0]  # the baseline's error less the arm's
    n, items = gains.shape
    blocks, means = gains.mean(axis=1), gains.mean(axis=0)
    rest = gains - blocks[:, None] - means + gains.mean()
    a, b = blocks.var(ddof=1) / n, means.var(ddof=1) / items
    c = (rest**2).sum() / ((n - 1) * (items - 1)) / (n * items)
    found = estimated(pairs, cells.read_said)
    assert found.mean == pytest.approx(gains.mean(), rel=1e-6)
    assert found.se == pytest.approx(max(a + b - c, b) ** 0.5, rel=1e-5)


def test_chance_is_what_the_mean_scores():
    """Without `majority` a collapse is told to cost what predicting the mean would."""
    cells = family("mae")
    with_it = judged(cells)["birds", "full_finetuning"].break_rate
    cells.records = [c for c in cells.records if c.names.strategy != "majority"]
    alone = judged(cells)["birds", "full_finetuning"].break_rate
    assert alone == pytest.approx(with_it, rel=0.1)
    cells.records = [replace(c, data=replace(c.data, floor=None)) for c in cells.records]
    assert judged(cells)["birds", "full_finetuning"].break_rate is None


def test_a_ledger_of_numbers_is_judged_alike_from_its_index(tmp_path):
    cells = family("mae")
    ledger = cells.write(Ledger(tmp_path / "results"))
    for _ in range(2):  # the second time by the index
        ledger = Ledger(ledger.root)
        results, outcomes = results_of(ledger)
        assert ledger.warnings == []
        found = {(v.source, v.strategy): v for v in judge(results, Rules(), read=outcomes)}
        assert found == judged(cells)
    said = ledger.predictions(cells.records[0].id)
    assert said.of_numbers
    np.testing.assert_array_equal(said.labels, cells.labels)


def test_predictions_of_another_kind_than_the_metric_are_left_out_and_told(tmp_path):
    cells = NumberCells("mae")
    (record,) = cells.arm("scratch", n=1)
    ledger = Ledger(tmp_path / "results")
    ledger.write(record, Predictions(np.full((200, 2), 0.5), np.zeros(200, dtype=int)))
    results_of(Ledger(ledger.root))
    again = Ledger(ledger.root)
    results_of(again)
    assert "classes, and the metric is not of these" in again.warnings[0]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (np.zeros((3, 2)), np.zeros(3)),
        (np.zeros((3, 1)), np.zeros(2)),
        (np.zeros(3), np.zeros(3)),
        (np.zeros((3, 2)), np.zeros((3, 3))),
    ],
)
def test_shapes_of_numbers_must_fit(values, labels):
    with pytest.raises(ValueError, match=r"values .* and labels"):
        Predictions(values, labels).checked()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_on_disk_must_be_finite(tmp_path, wrong):
    cells = NumberCells()
    (record,) = cells.arm("scratch", n=1)
    said = cells.said[record.id]
    said.values[3] = wrong
    ledger = Ledger(tmp_path / "results")
    ledger.write(record, said)
    with pytest.raises(BadInputError, match="values are not finite throughout"):
        ledger.predictions(record.id)


def test_a_group_that_is_harmed_is_named_by_how_much_worse_its_numbers_are():
    """Years off, by hand: the old by 2 instead of 1, the young by 1 instead of 3."""
    cells = NumberCells("mae", unit=1.0)
    base = cells.arm("scratch", n=3)
    arm = cells.arm("full_finetuning", "birds", base=base, n=3)
    groups = np.where(np.arange(len(cells.labels)) % 4 == 0, "old", "young")
    sides = np.where(np.arange(len(groups)) % 2, 1.0, -1.0)
    for seed in range(3):
        for cell, old, young in ((base[seed], 1.0, 3.0), (arm[seed], 2.0, 1.0)):
            off = sides * np.where(groups == "old", old, young) * (1 + 0.1 * seed)
            said = (cells.labels + off)[:, None].astype(np.float32)
            cells.said[cell.id] = Predictions(said, cells.labels, groups)
    verdict = judged(cells)["birds", "full_finetuning"]
    harmed, helped = part_gains(verdict, cells.read_said, "group")
    assert (harmed.group, harmed.items, helped.group, helped.items) == ("old", 50, "young", 150)
    told = (
        harmed.baseline_mean,
        harmed.mean,
        harmed.gain,
        helped.baseline_mean,
        helped.mean,
        helped.gain,
    )
    assert told == pytest.approx((1.1, 2.2, -1.1, 3.3, 1.1, 2.2), rel=1e-5)
    assert harmed.high < 0 < helped.low
    assert (harmed.verdict, helped.verdict) == (Kind.NEGATIVE, Kind.POSITIVE)


def test_the_share_explained_is_no_mean_over_items_of_a_group():
    cells = family("r2")
    verdict = judged(cells)["birds", "full_finetuning"]
    with pytest.raises(BadInputError, match="r2 is no mean over test items: table --by-group"):
        part_gains(verdict, cells.read_said, "group")


def test_numbers_without_groups_are_told_how_to_name_some():
    cells = family("mae")
    verdict = judged(cells)["birds", "full_finetuning"]
    with pytest.raises(BadInputError, match=r"no groups: target\.group_column names one"):
        part_gains(verdict, cells.read_said, "group")


def test_no_number_is_right_or_wrong():
    cells = family("mae")
    verdict = judged(cells)["birds", "full_finetuning"]
    with pytest.raises(BadInputError, match="and which have no classes: --show groups"):
        part_gains(verdict, cells.read_said)
    said = cells.said[verdict.cells[0]]
    with pytest.raises(BadInputError, match="numbers were predicted"):
        packed(said).unpacked()
    assert value_of("mae", said) > 0
