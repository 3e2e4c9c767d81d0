"""What few seeds cannot have seen: golden values, and the mark where it would undo a verdict."""

from dataclasses import replace

import numpy as np
import pytest

from ledger_factory import made
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.statistics.intervals import over_blocks
from transfergrid.evidence.verdicts.decisions import Kind, Rules
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.evidence.verdicts.unseen import (
    Chance,
    Runs,
    Side,
    break_rate,
    collapses,
    unseen_bad_seed_rate,
    upper_rate,
)
from transfergrid.records.record import Flags, Metric
from verdict_cells import Cells

FIVE = Runs(0, 5)


def test_golden_rates():
    assert break_rate(4.0, 75.0) == pytest.approx(0.05063291139240506)
    assert upper_rate(0, 5) == pytest.approx(0.4507197283469412)
    assert upper_rate(0, 200) == pytest.approx(0.014867039231272083)
    assert upper_rate(2, 200) == pytest.approx(0.031142599414083726)
    assert upper_rate(3, 3) == 1.0
    for n, rate in ((3, 0.6315968501), (5, 0.4507197283), (10, 0.2588655509), (20, 0.1391083407)):
        assert unseen_bad_seed_rate(n) == pytest.approx(rate)


def marked(kind, mean, sd=1.0, n=5, arm=FIVE, baseline=FIVE, loss=75.0):
    gains = mean + sd * (np.arange(n) - (n - 1) / 2)
    estimate = over_blocks(gains)
    mark = collapses(kind, estimate, 1.0, 0.05, Side(loss, arm), Side(loss, baseline))
    return mark, estimate


@pytest.mark.parametrize(
    ("kind", "mean"),
    [(Kind.POSITIVE, 5.0), (Kind.HARM_RULED_OUT, 1.5), (Kind.EQUIVALENT, -0.1)],
)
def test_with_the_break_rate_of_collapses_the_interval_reaches_its_limit(kind, mean):
    """An arm whose every fifth seed, or so, is at chance: what is left of the lower end."""
    sd = 0.2 if kind is Kind.EQUIVALENT else 1.0
    mark, estimate = marked(kind, mean, sd)
    low = estimate.interval(0.9 if kind is Kind.EQUIVALENT else 0.95)[0]
    limit = 0.0 if kind is Kind.POSITIVE else -1.0
    assert (1 - mark.rate) * low - mark.rate * 75.0 == pytest.approx(limit)
    assert not mark.of_baseline
    assert mark.possible > mark.rate  # five runs exclude no collapse


@pytest.mark.parametrize(("kind", "mean"), [(Kind.NEGATIVE, -5.0), (Kind.GAIN_RULED_OUT, -1.5)])
def test_a_baseline_that_collapses_undoes_what_speaks_against_an_arm(kind, mean):
    mark, estimate = marked(kind, mean)
    high = estimate.interval()[1]
    limit = 0.0 if kind is Kind.NEGATIVE else 1.0
    assert (1 - mark.rate) * high + mark.rate * 75.0 == pytest.approx(limit)
    assert mark.of_baseline


def test_many_runs_without_a_collapse_exclude_it():
    mark, _ = marked(Kind.POSITIVE, 5.0, arm=Runs(0, 400))
    assert mark.possible < mark.rate
    assert mark.possible <= mark.rate


def test_undecided_rows_and_those_of_unknown_chance_bear_no_mark():
    assert marked(Kind.UNDECIDED, 0.3)[0] is None
    assert marked(Kind.POSITIVE, 5.0, loss=-2.0)[0] is None


# In verdicts -------------------------------------------------------------------------------------


def verdicts(cells, **rules):
    found = judge(results_from(cells.records), Rules(**rules), read=cells.read)
    return {verdict.strategy: verdict for verdict in found}


def test_a_verdict_says_which_share_of_collapses_would_undo_it():
    cells = Cells()
    base = cells.arm("scratch", mean=70)
    cells.arm("full_finetuning", "glyphs", 78, base, sd=0.9)
    one = verdicts(cells)["full_finetuning"]
    chance = 50.0  # of two classes
    assert one.verdict is Kind.POSITIVE
    assert one.break_rate == pytest.approx(one.low / (one.low + one.mean - chance))
    assert one.collapse_rate_95 == pytest.approx(0.4507197283469412)
    share = f"{100 * one.break_rate:.0f} %"
    assert f"would not stand if {share} of seeds collapsed, and up to 45 % may" in one.notes


def test_runs_of_the_same_strategy_and_source_on_other_targets_and_budgets_count():
    cells = Cells()
    base = cells.arm("scratch", mean=70)
    cells.arm("full_finetuning", "glyphs", 78, base, sd=0.9)
    few = verdicts(cells)["full_finetuning"].collapse_rate_95
    for labels in range(100, 124):
        cells.arm("full_finetuning", "glyphs", 78, labels=labels)
    many = verdicts(cells)["full_finetuning"]
    assert many.collapse_rate_95 == pytest.approx(upper_rate(0, 5 + 24 * 5))
    assert many.collapse_rate_95 < many.break_rate < few
    assert not any("would not stand" in note for note in many.notes)
    cells.change(cells.records[-5:], flags=Flags(collapsed=True))
    assert verdicts(cells)["full_finetuning"].collapse_rate_95 == pytest.approx(upper_rate(5, 125))


@pytest.mark.parametrize(
    ("metric", "classes", "chance"),
    [
        ("accuracy", 10, 10.0),
        ("balanced_accuracy", 2, 50.0),
        ("auroc", 10, 50.0),
        ("macro_f1", 2, 100 / 3),
        ("ece", 10, None),
    ],
)
def test_chance_is_the_score_of_one_class_among_so_many(metric, classes, chance):
    """F1 of two even classes of which one is predicted: 2/3 and 0."""
    (cell,) = results_from([made()])
    cell = replace(cell, metric=Metric(name=metric), classes=classes)
    assert Chance({}).of(cell) == (chance and pytest.approx(chance))


def test_what_majority_scores_is_chance():
    cells = Cells()
    base = cells.arm("scratch", mean=70)
    cells.arm("full_finetuning", "glyphs", 78, base, sd=0.9)
    cells.arm("majority", mean=30, sd=0, architecture=None)
    one = verdicts(cells)["full_finetuning"]
    assert one.break_rate == pytest.approx(one.low / (one.low + one.mean - 30))


def test_with_harm_ruled_out_stands_the_share_of_bad_seeds_that_may_have_stayed_unseen():
    cells = Cells()
    base = cells.arm("scratch", mean=70)
    cells.arm("lp_ft", "glyphs", 70.75, base, sd=2.4)
    one = verdicts(cells, margin=3.0)["lp_ft"]
    assert (one.verdict, one.harm_ruled_out) == (Kind.HARM_RULED_OUT, True)
    assert one.unseen_bad_seed_rate_95 == pytest.approx(0.4507197283)
    told = "harm ruled out, but a share of bad seeds up to 45 % could have stayed unseen"
    assert told in one.notes
    cells.arm("l2_sp", "glyphs", 62, base)
    lost = verdicts(cells, margin=3.0)["l2_sp"]
    assert (lost.verdict, lost.gain_ruled_out) == (Kind.NEGATIVE, True)
    assert "gain ruled out" in lost.notes


def test_deterministic_models_are_judged_by_items_and_say_so():
    cells = Cells()
    base = cells.arm("scratch", mean=80, sd=0)
    cells.arm("svm", "glyphs", 60, base, sd=0)
    one = verdicts(cells)["svm"]
    assert (one.verdict, one.constant, one.scope) == (Kind.NEGATIVE, True, "test items")
    assert "constant, the same gain in all 5 seeds: judged by test items alone" in one.notes
    alone = judge(results_from(cells.records), Rules())[0]  # no predictions
    assert (alone.verdict, alone.constant, alone.low) == (Kind.UNDECIDED, True, None)
    assert any("constant" in note and "a fact of this test set" in note for note in alone.notes)


def test_a_seed_that_stands_apart_is_named_at_ten_seeds_too():
    cells = Cells()
    base = cells.arm("scratch", mean=70, n=10, sd=0)
    hits = np.repeat(np.arange(400)[None] < 272, 10, axis=0)
    hits[:, 268:272] = np.arange(40).reshape(10, 4) % 3 > 0
    hits[3] = np.arange(400) < 321
    cells.arm("full_finetuning", "glyphs", base=base, n=10, right=hits)
    one = verdicts(cells)["full_finetuning"]
    (note,) = (note for note in one.notes if "stands apart" in note)
    assert note.startswith("seed 3 stands apart, +10.3 beside a median of -2.25: the mean hides it")
