"""What rules lose to the oracle, on looks whose truth is known."""

from dataclasses import replace

import pytest

from ledger_factory import made
from transfergrid.evidence.chosen.oracle_gap import gaps_of
from transfergrid.records.record import Metric
from transfergrid.records.selection import Look, Selection


def run(strategy, seed, tests, entropy, snd, baseline=None, rule=None, **more):
    """Return a cell of three looks."""
    looks = tuple(
        Look(step=i, scores={"entropy": h, "snd": s}, largest_share=share, oracle=t)
        for i, (t, h, s, share) in enumerate(zip(tests, entropy, snd, (0.2, 0.4, 1.0), strict=True))
    )
    record = made(strategy, "glyphs", 0, seed, baseline=baseline, score=tests[-1])
    config = {**record.config, "training": {"steps": 3, "selection": rule}}
    return replace(record, config=config, selection=Selection(rule=rule, looks=looks), **more)


def two_seeds(**more):
    """Entropy takes the last look of the method, SND the first of all."""
    cells = []
    for seed in (0, 1):
        below = run("source_only", seed, [0.5, 0.6, 0.6], [3, 2, 1], [9, 1, 1], **more)
        tests = [0.7, 0.8, 0.3] if seed == 0 else [0.4, 0.65, 0.7]
        cells += [below, run("shot", seed, tests, [3, 2, 1], [9, 1, 1], below, **more)]
    return cells


def over_all(cells):
    return [gap for gap in gaps_of(cells) if gap.strategy is None]


def test_points_lost_and_gains_turned_by_hand():
    found = {gap.rule: gap for gap in over_all(two_seeds())}
    assert {*found} == {"last_step", "entropy", "snd", "oracle"}
    # the oracle takes .6, .8, .6 and .7 of the four runs
    assert found["oracle"].lost == found["oracle"].most_lost == 0
    # entropy: .6, .3, .6, .7
    assert found["entropy"].lost == pytest.approx((0 + 50 + 0 + 0) / 4)
    assert found["entropy"].most_lost == pytest.approx(50)
    assert found["entropy"].largest_share == 1.0
    # snd: .5, .7, .5, .4
    assert found["snd"].lost == pytest.approx((10 + 10 + 10 + 30) / 4)
    assert found["snd"].largest_share == pytest.approx(0.2)
    assert found["snd"].runs == 4
    # gains of the two runs with a baseline: oracle +20, +10; entropy -30, +10; snd +20, -10
    for rule, below, turned in (("oracle", 0, 0), ("entropy", 1, 1), ("snd", 1, 1)):
        gap = found[rule]
        assert (gap.compared, gap.gained, gap.below, gap.turned) == (2, 2, below, turned)


def test_a_gain_that_the_oracle_has_not_is_not_turned():
    below = run("source_only", 0, [0.9, 0.9, 0.9], [3, 2, 1], [9, 1, 1])
    worse = run("shot", 0, [0.1, 0.2, 0.3], [3, 2, 1], [9, 1, 1], below)
    gap = next(gap for gap in over_all([below, worse]) if gap.rule == "snd")
    assert (gap.compared, gap.below, gap.gained, gap.turned) == (1, 1, 0, 0)


def test_of_errors_less_is_better():
    less = {"metric": Metric(name="ece", higher_is_better=False)}
    found = {gap.rule: gap for gap in over_all(two_seeds(**less))}
    # the oracle takes .5, .3, .5 and .4
    assert found["entropy"].lost == pytest.approx((10 + 0 + 10 + 30) / 4)


def test_runs_that_differ_in_the_rule_alone_are_one():
    cells = two_seeds()
    again = [
        replace(cell, id=f"{cell.id[:-1]}x", config={**cell.config, "training": {
            **cell.config["training"], "selection": "snd"}})
        for cell in cells
    ]  # fmt: skip
    assert [gap.runs for gap in over_all([*cells, *again])] == [4, 4, 4, 4]


def test_cells_that_did_not_look_at_test_say_nothing():
    (cell, *_) = two_seeds()
    blind = [replace(look, oracle=None) for look in cell.selection.looks]
    seen = replace(cell, selection=replace(cell.selection, looks=tuple(blind)))
    assert gaps_of([seen, made("scratch")]) == []


def test_a_baseline_that_did_not_look_is_not_compared_with():
    cells = [cell for cell in two_seeds() if cell.names.strategy == "shot"]
    found = {gap.rule: gap for gap in over_all(cells)}
    assert (found["snd"].runs, found["snd"].compared) == (2, 0)


def test_each_strategy_has_its_own_with_the_baseline_of_its_runs():
    found = {(gap.strategy, gap.rule): gap for gap in gaps_of(two_seeds())}
    assert {name for name, _ in found} == {None, "source_only", "shot"}
    # the method alone, entropy: .3 where the oracle has .8, .7 where it has .7
    gap = found["shot", "entropy"]
    assert (gap.runs, gap.compared, gap.below, gap.turned) == (2, 2, 1, 1)
    assert gap.lost == pytest.approx((50 + 0) / 2)
    assert (found["source_only", "entropy"].runs, found["source_only", "entropy"].compared) == (
        2,
        0,
    )
