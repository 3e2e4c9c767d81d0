"""Another baseline, or a group of the test items: the same cells, read anew."""

import time
from dataclasses import replace

import numpy as np
import pytest

from ledger_factory import made, predicted
from transfergrid.evidence.curves.assembly import curves_of
from transfergrid.evidence.declared.judged import bench_of
from transfergrid.evidence.measured.comparisons import by_group, exploratory, over, places_of
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.records.cell import Reference
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.record import Metric, Scores
from transfergrid.report.running.closing import rows_of
from transfergrid.report.views.sides import effects_of
from transfergrid.verbs.table import command
from verdict_cells import Cells

GROUPS = np.repeat(["ann", "bob"], 10)


def right(share_ann, share_bob):
    """Return predictions with these shares right of ann's and of bob's ten items each."""
    turns = np.tile(np.arange(10), 2)
    shares = np.where(GROUPS == "ann", share_ann, share_bob)
    return predicted(turns < 10 * shares)._replace(groups=GROUPS)


@pytest.fixture
def ledger(tmp_path):
    """Two seeds in which the arm helps ann and hurts bob, over scratch and over a probe."""
    ledger = Ledger(tmp_path)
    for seed in range(2):
        scratch = made("scratch", score=0.5, seed=seed)
        probe = made("feature_extraction", "glyphs", score=0.6, seed=seed, baseline=scratch)
        arm = made("full_finetuning", "glyphs", score=0.7, seed=seed, baseline=scratch)
        arm = replace(arm, exploratory=(Reference(name="feature_extraction", id=probe.id),))
        ledger.write(scratch, right(0.5, 0.5))
        ledger.write(probe, right(0.5, 0.7))
        ledger.write(arm, right(1.0, 0.4))
    return ledger


def gains(rows):
    return {(row.target, row.strategy): row.gain for row in rows if row.gain is not None}


def test_a_gain_is_read_over_an_exploratory_baseline(ledger):
    (key, value), *rest = gains(rows_of(bench_of(ledger), over="feature_extraction")[0]).items()
    assert (key, rest) == (("digits", "full_finetuning"), [])
    assert value == pytest.approx(10)


def test_over_the_primary_baseline_nothing_changes(ledger):
    assert gains(rows_of(bench_of(ledger), over="scratch")[0]) == gains(
        rows_of(bench_of(ledger))[0]
    )


def test_a_baseline_that_nobody_names_is_told(ledger):
    with pytest.raises(BadInputError, match="unknown baseline 'feature_extracton'; did you mean"):
        rows_of(bench_of(ledger), over="feature_extracton")


def test_any_strategy_may_be_the_baseline_of_its_source_though_nobody_names_it():
    """Gains of a strategy over full_finetuning of the same source, by hand: .8 - .7 and .6 - .5."""
    records = []
    for source, plain, other in (("glyphs", 0.7, 0.8), ("birds", 0.5, 0.6)):
        for seed in range(2):
            scratch = made("scratch", score=0.4, seed=seed)
            records += [scratch, made("full_finetuning", source, score=plain, seed=seed,
                                      baseline=scratch)]  # fmt: skip
            records.append(made("own", source, score=other, seed=seed, baseline=scratch))
    records.append(made("own", "alone", score=0.9, baseline=scratch))
    shown = over({r.id: r for r in records}.values(), "full_finetuning")
    verdicts = {v.source: v for v in judge(results_from(shown)) if v.n}
    assert {source: v.gain for source, v in verdicts.items()} == pytest.approx(
        {"glyphs": 10, "birds": 10}
    )
    assert {v.baseline for v in verdicts.values()} == {"full_finetuning"}
    by_name = {(c.names.strategy, c.names.source): c for c in shown}
    assert by_name["own", "alone"].baseline is None
    assert by_name["full_finetuning", "glyphs"].baseline is None


def test_two_sources_of_one_name_are_told_apart_or_not_compared():
    plain = [made("full_finetuning", "net", score=0.7), made("full_finetuning", "net", score=0.6)]
    parts = replace(plain[1].parts, source="another")
    plain[1] = replace(plain[1], id="f" * 16, parts=parts)
    own, strange = made("own", "net"), made("own", "net")
    strange = replace(strange, parts=replace(own.parts, source="a third"))
    found = over([*plain, own, replace(strange, id="e" * 16)], "full_finetuning")
    assert [cell.baseline and cell.baseline.id for cell in found[2:]] == [plain[0].id, None]


def test_gains_are_read_within_each_group(ledger):
    rows = rows_of(bench_of(ledger), by_group=True)[0]
    assert {row.target: row.group for row in rows} == {
        "digits in ann": "ann",
        "digits in bob": "bob",
    }
    found = gains(rows)
    assert found["digits in ann", "full_finetuning"] == pytest.approx(50)
    assert found["digits in bob", "full_finetuning"] == pytest.approx(-10)
    whole = gains(rows_of(bench_of(ledger))[0])["digits", "full_finetuning"]
    assert whole == pytest.approx(np.mean([50, -10]))


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1", "auroc", "ece"])
def test_other_metrics_are_scored_anew_within_a_group(ledger, name):
    metric = Metric(name=name, higher_is_better=name != "ece")
    cells = results_from(replace(cell, metric=metric) for cell in ledger.records())
    (_, ann, read), _ = by_group(cells, ledger.predictions)
    best = next(cell for cell in ann if cell.names.strategy == "full_finetuning")
    assert best.score == pytest.approx(0.0 if name == "ece" else 1.0)
    assert len(read(best.id).labels) == 10


def test_without_groups_that_is_told(tmp_path):
    ledger = Ledger(tmp_path)
    cell = made()
    ledger.write(cell, predicted([True, False]))
    with pytest.raises(BadInputError, match=r"no target of these results has groups"):
        rows_of(bench_of(ledger), by_group=True)


def test_both_can_be_typed(ledger, capsys):
    words = [str(ledger.root), "--over", "feature_extraction", "--by-group", "--format", "csv"]
    assert command(words) == 0
    assert "digits in ann,20,feature_extraction" in capsys.readouterr().out.replace(" ,", ",")


@pytest.mark.parametrize("n_groups", [0, 1, 3, 40])
def test_a_groups_items_are_those_that_bear_its_name(n_groups):
    n = 50 if n_groups else 0
    groups = np.random.default_rng(n_groups).integers(0, max(n_groups, 1), n).astype(str)
    found = places_of(groups)
    assert set(found) == set(groups.tolist())
    for name, places in found.items():
        assert places.tolist() == np.flatnonzero(groups == name).tolist()


def test_many_groups_take_no_time():
    groups = np.random.default_rng(0).integers(0, 2000, 50_000).astype(str)
    start = time.process_time()
    assert sum(map(len, places_of(groups).values())) == 50_000
    assert time.process_time() - start < 1


PLACEBO_SOURCE = {"source": {"_target_": "transfergrid.sources.placebo.Placebo"}}


def test_over_the_placebo_an_arm_meets_its_own_likes_of_the_same_seed_and_nothing_else():
    cells = Cells()
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 85, base)
    cells.arm("a", "noise", 75, base, config=PLACEBO_SOURCE)
    cells.arm("b", "noise", 60, base, config=PLACEBO_SOURCE)
    cells.arm("c", "glyphs", 85, base)
    for made_of in (cells.records, results_from(cells.records)):
        assert exploratory(made_of) == ["placebo"]
        found = {c.id: c.baseline for c in over(made_of, "placebo")}
        names = {c.id: (c.names.strategy, c.names.source, c.seed) for c in made_of}
        paired = {names[one]: names[told.id] for one, told in found.items() if told}
        assert paired == {("a", "glyphs", n): ("a", "noise", n) for n in range(5)}
    (verdict,) = judge(over(results_from(cells.records), "placebo"), primary=False)
    assert (verdict.baseline, round(verdict.gain, 1), verdict.kind) == ("placebo", 10.0, "transfer")


def test_without_a_placebo_there_is_none_to_compare_with():
    cells = Cells()
    cells.arm("a", "glyphs", 85, cells.arm("scratch"))
    with pytest.raises(BadInputError, match="placebo"):
        over(cells.records, "placebo")


def test_a_group_in_which_a_metric_is_not_defined_has_no_score():
    """All of ann's items are of one class: nothing ranks among them."""
    said = right(1.0, 0.5)._replace(labels=np.where(GROUPS == "ann", 0, np.arange(20) % 2))
    metric = Metric(name="auroc")
    cell = made(metric=metric, scores=Scores(test={"auroc": 0.7}))
    found = {
        name: cells[0].score
        for name, cells, _ in by_group(results_from([cell]), lambda identity: said)
    }
    assert found["ann"] is None
    assert 0 <= found["bob"] <= 1


def test_each_record_is_opened_once_whatever_is_asked_of_a_bench(ledger, monkeypatch):
    opened, read = [], Ledger.read

    def counted(self, identity):
        opened.append(identity)
        return read(self, identity)

    bench = bench_of(ledger)
    monkeypatch.setattr(Ledger, "read", counted)
    bench.arms()
    bench.arms("scratch")
    curves_of(bench)
    effects_of(bench, bench.verdicts())
    assert sorted(opened) == sorted(result.id for result in bench.results)
