"""General statements: over the targets of an arm, each counted once."""

import json

import numpy as np
import pytest
from scipy import stats

from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.general import BOUND, generally
from transfergrid.evidence.statistics.intervals import over_blocks
from transfergrid.evidence.statistics.targets import NEW_TARGETS, THESE_TARGETS, on_new
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import PLACEBO
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.report.tables.sheet import render
from transfergrid.report.views.sides import side
from verdict_cells import Cells

GAINS = {"a": 6.0, "b": 5.0, "c": 4.0, "d": 7.0, "e": 5.5, "f": 4.5}


def planted(gains, strategy="full_finetuning", source="s", cells=None, **fields):
    """Return cells of an arm that gains so many points over `scratch` on each of these targets."""
    cells = cells or Cells()
    for target, gain in gains.items():
        here = {"target": target, **fields}
        base = [c for c in cells.records if c.names.strategy == "scratch"
                and (c.names.target, c.labels) == (target, fields.get("labels", 20))]  # fmt: skip
        base = base or cells.arm("scratch", mean=70, **here)
        cells.arm(strategy, source, 70 + gain, base, sd=1.0, **here)
    return cells


def opened(cells, folder):
    return bench_of(cells.write(Ledger(folder / "results")))


def stated(cells, folder, **how):
    bench = opened(cells, folder)
    return generally(bench, bench.verdicts(**how))


def test_six_targets_speak_of_new_ones_by_the_gains_and_errors_of_their_verdicts(tmp_path):
    bench = opened(planted(GAINS), tmp_path)
    verdicts = bench.verdicts()
    (one,) = generally(bench, verdicts)
    assert [target.target for target in one.on] == ["d", "a", "e", "b", "f", "c"]
    by_name = {verdict.target: verdict for verdict in verdicts}
    for target in one.on:
        own = by_name[target.target]
        assert (target.estimate.mean, target.estimate.se) == (own.gain, own.se)
    over, _ = on_new([target.estimate for target in one.on])
    assert (one.mean.mean, one.mean.se, one.mean.scope) == (over.mean, over.se, NEW_TARGETS)
    seeds, _ = on_new([over_blocks(np.array(by_name[t.target].gains)) for t in one.on])
    ps = [2 * stats.t.sf(mean.mean / mean.se, 5) for mean in (over, seeds)]
    assert one.p == pytest.approx(max(ps))
    assert (one.verdict, one.helps, one.hurts, one.hurt) == (Kind.POSITIVE, 6, 0, ())
    assert one.helped == tuple(target.target for target in one.on)
    assert one.new.harm < 0.01


def test_two_targets_speak_of_themselves_alone(tmp_path):
    (one,) = stated(planted({"a": 6.0, "b": 4.0}), tmp_path)
    errors = [target.estimate.se for target in one.on]
    assert one.mean.scope == THESE_TARGETS
    assert one.mean.mean == pytest.approx(np.mean([target.estimate.mean for target in one.on]))
    assert one.mean.se == pytest.approx(np.sqrt(np.sum(np.square(errors))) / 2)
    assert (one.new, one.spread, one.ranks) == (None, None, None)


def test_few_seeds_must_stand_on_their_own_too(tmp_path):
    """Ten seeds are judged by the crossed errors alone, five by the larger p value."""
    few = planted({"a": 6.0, "b": 4.0})
    (one,) = stated(few, tmp_path / "few")
    each = [over_blocks(np.array(v.gains)) for v in opened(few, tmp_path / "f").verdicts()]
    se = np.sqrt(sum(e.se**2 for e in each)) / 2
    df = sum(e.se**2 for e in each) ** 2 / sum(e.se**4 / 4 for e in each)
    alone = 2 * stats.t.sf(one.mean.mean / se, df)
    crossed = 2 * stats.t.sf(one.mean.mean / one.mean.se, one.mean.df)
    assert one.p == pytest.approx(max(alone, crossed))
    (many,) = stated(planted({"a": 6.0, "b": 4.0}, n=10), tmp_path / "many")
    assert many.seeds is None


def test_one_target_has_no_statement_and_the_page_says_what_it_takes(tmp_path):
    bench = opened(planted({"a": 6.0}), tmp_path)
    assert generally(bench, bench.verdicts()) == []
    sheet = side("targets", bench, bench.verdicts(), bench.rules)
    assert "takes two targets" in " ".join(render(sheet, width=80).split())


def test_budgets_of_a_target_are_averaged_within_seeds_before_its_error_is_estimated(tmp_path):
    """Gains that rise with the seed at one budget and fall at the other cancel in each seed."""
    cells = Cells()
    for target in "ab":
        for labels, slope in ((5, 1.0), (20, -1.0)):
            base = cells.arm("scratch", mean=70, sd=0, target=target, labels=labels)
            cells.arm("t", "s", 75, base, sd=slope, target=target, labels=labels)
    bench = opened(cells, tmp_path)
    verdicts = bench.verdicts()
    (one,) = generally(bench, verdicts)
    for target in one.on:
        assert target.comparisons == 2
        assert target.estimate.mean == pytest.approx(5)
        alone = [verdict.se for verdict in verdicts if verdict.target == target.target]
        assert target.estimate.by_blocks < min(alone) ** 2 / 100  # the seeds cancel


def test_the_average_over_budgets_is_the_crossed_estimate_of_averaged_gains(tmp_path):
    """By hand: seeds and items crossed, on the mean of the two matrices of gains."""
    rng = np.random.default_rng(0)
    cells, gains = Cells(), []
    for labels in (5, 20):
        arm, base = (rng.random((6, 40)) < share for share in (0.8, 0.6))
        scratch = cells.arm("scratch", right=base, n=6, items=40, target="a", labels=labels)
        cells.arm("t", "s", base=scratch, right=arm, n=6, items=40, target="a", labels=labels)
        gains.append(100.0 * (arm.astype(float) - base))
    planted({"b": 5.0}, "t", cells=cells)
    (one,) = stated(cells, tmp_path)
    found = next(target.estimate for target in one.on if target.target == "a")
    g = np.mean(gains, axis=0)
    a, b = g.mean(1).var(ddof=1) / 6, g.mean(0).var(ddof=1) / 40
    rest = g - g.mean(1, keepdims=True) - g.mean(0) + g.mean()
    c = (rest**2).sum() / (5 * 39) / (6 * 40)
    assert found.mean == pytest.approx(g.mean())
    assert found.se == pytest.approx(np.sqrt(max(a + b - c, b)))


def test_budgets_without_a_common_seed_get_the_mean_of_their_errors(tmp_path):
    cells = planted({"a": 6.0, "b": 5.0})
    base = cells.arm("scratch", mean=70, target="a", labels=5)
    arm = cells.arm("full_finetuning", "s", 74, base, sd=1.0, target="a", labels=5)
    kept = {id(cell) for cell in (*base, *arm) if cell.seed > 2}
    moved = [cell for cell in cells.records if cell.labels == 20 and cell.names.target == "a"]
    gone = {id(cell) for cell in moved if cell.seed > 2}
    drop = {id(cell) for cell in (*base, *arm)} - kept | gone
    cells.records = [cell for cell in cells.records if id(cell) not in drop]
    bench = opened(cells, tmp_path)
    verdicts = bench.verdicts()
    (one,) = generally(bench, verdicts)
    found = next(target.estimate for target in one.on if target.target == "a")
    own = [verdict for verdict in verdicts if verdict.target == "a"]
    assert found.scope == BOUND
    assert found.mean == pytest.approx(np.mean([verdict.gain for verdict in own]))
    assert found.se == pytest.approx(np.mean([verdict.se for verdict in own]))


def test_variants_of_one_dataset_are_one_target(tmp_path):
    config = {"_target_": "transfergrid.data.digits.Digits", "about": {"paths": []}}
    cells = planted({"digits": 6.0, "digits(noise=1)": 4.0})
    cells.change(cells.records, config={"target": config})
    assert stated(cells, tmp_path / "one") == []
    files = planted({"photos": 6.0, "other_photos": 4.0})
    for record in list(files.records):
        about = {"paths": ["root"], "named_by": "root"}
        own = {"_target_": "x.Folder", "root": record.names.target, "about": about}
        files.change([record], config={"target": own})
    (two,) = stated(files, tmp_path / "two")
    assert len(two.on) == 2


def test_a_strategy_whose_sources_have_other_targets_is_judged_whatever_its_source(tmp_path):
    cells = planted({"a": 6.0, "b": 5.0, "c": 4.0}, source="pictures")
    planted({"d": 6.0, "e": 5.0, "f": 4.0}, source="texts", cells=cells)
    found = stated(cells, tmp_path)
    assert {(one.source, len(one.on)) for one in found} == {
        (None, 6), ("pictures", 3), ("texts", 3),
    }  # fmt: skip
    (whole,) = [one for one in found if one.is_of_any_source]
    assert whole.family_size == 1  # the others are a family of two
    assert {one.family_size for one in found if one is not whole} == {2}


def test_sources_on_the_same_targets_are_not_pooled(tmp_path):
    cells = planted({"a": 6.0, "b": 5.0}, source="s")
    planted({"a": 3.0, "b": 2.0}, source="other", cells=cells)
    assert {one.source for one in stated(cells, tmp_path)} == {"s", "other"}


def test_harm_on_some_targets_is_counted_and_listed(tmp_path):
    mixed = {"a": 6.0, "b": -6.0, "c": 5.0, "d": -5.0, "e": 0.0, "f": 0.2}
    (one,) = stated(planted(mixed), tmp_path)
    assert (one.hurts, one.helps) == (2, 2)
    assert set(one.hurt) == {"b", "d"}
    assert set(one.helped) == {"a", "c"}
    assert one.verdict is Kind.UNDECIDED
    assert 0.2 < one.new.harm < 0.8
    assert one.spread.low > 0


def test_single_seeds_are_left_out_and_named(tmp_path):
    cells = planted({"a": 6.0, "b": 5.0})
    planted({"c": 4.0}, cells=cells, n=1)
    (one,) = stated(cells, tmp_path)
    assert {target.target for target in one.on} == {"a", "b"}
    assert one.unknown == ("c",)


def test_a_target_that_stands_apart_leaves_the_mean_undecided(tmp_path):
    far = {"a": 5.0, "b": 5.1, "c": 5.2, "d": 4.9, "e": 4.8, "f": 20.0}
    (one,) = stated(planted(far), tmp_path)
    assert one.verdict is Kind.UNDECIDED
    assert "one of 6 targets stands apart" in one.why
    assert one.helps == 6  # what is said of these targets stands


def test_placebos_are_a_family_of_their_own(tmp_path):
    cells = planted(GAINS)
    planted({"a": 0.1, "b": -0.1}, source="placebo_s", cells=cells)
    meant = [cell for cell in cells.records if cell.names.source == "placebo_s"]
    cells.change(meant, config={"source": {"_target_": "x.Placebo"}})
    found = stated(cells, tmp_path)
    assert [one.kind for one in found][-1] == PLACEBO
    assert {one.family_size for one in found} == {1}


def test_the_view_has_a_line_for_each_arm_at_eighty_columns_and_all_numbers_in_json(tmp_path):
    bench = opened(planted(GAINS), tmp_path)
    sheet = side("targets", bench, bench.verdicts(), bench.rules)
    text = render(sheet, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "next hurt" in text
    assert "family of" not in text  # a single row
    (row,) = json.loads(render(sheet, "json"))
    assert (row["verdict"], row["helps_on_at_least"]) == ("positive", 6)
    assert row["targets"] == ["d", "a", "e", "b", "f", "c"]
    assert row["next_low"] < row["low"] < row["gain"] < row["high"] < row["next_high"]
    assert "full_finetuning" in render(sheet, "latex").replace("\\", "")
