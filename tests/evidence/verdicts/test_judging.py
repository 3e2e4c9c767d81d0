"""From cells to verdicts: who is compared with whom, what is corrected together, what is said."""

from dataclasses import replace

import numpy as np
import pytest

from ledger_factory import made, measured
from transfergrid.evidence.measured import measuring
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.statistics.intervals import SEEDS_AND_ITEMS, THIS_MODEL, THIS_TEST_SET
from transfergrid.evidence.verdicts.decisions import Kind, Rules
from transfergrid.evidence.verdicts.families import Family, families_of
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.evidence.verdicts.verdict import COLUMNS, CONTROL, PLACEBO, TRANSFER
from transfergrid.records.record import Flags, Metric, Scores, Status
from verdict_cells import Cells

PLACEBO_SOURCE = {"source": {"_target_": "transfergrid.sources.placebo.Placebo"}}


@pytest.fixture
def cells():
    return Cells()


def judged(cells, rules=None, failures=(), **options):
    results = results_from(cells.records)
    options.setdefault("read", cells.read)
    return judge(results, rules, failures=results_from(failures), **options)


def by_strategy(verdicts):
    return {verdict.strategy: verdict for verdict in verdicts}


def notes(verdict):
    return " | ".join(verdict.notes)


# What is compared --------------------------------------------------------------------------------


def test_a_verdict_names_its_baseline_and_has_the_gain_that_the_table_shows(cells):
    base = cells.arm("scratch", mean=70)
    cells.arm("full_finetuning", "glyphs", 78, base, sd=0.9)
    cells.arm("lp_ft", "glyphs", 69.5, base, sd=1.7)
    rows = {row.strategy: row for row in measured(cells.records, read=cells.read)}
    for verdict in judged(cells):
        row = rows[verdict.strategy]
        assert (verdict.baseline, verdict.n, verdict.scope) == ("scratch", 5, SEEDS_AND_ITEMS)
        assert (verdict.gain, verdict.low, verdict.high) == pytest.approx(
            (row.gain, row.low, row.high)
        )
        assert verdict.mean - verdict.baseline_mean == pytest.approx(verdict.gain)


def test_arms_without_a_baseline_have_no_verdict(cells):
    cells.arm("scratch")
    cells.arm("majority", architecture=None)
    assert judged(cells) == []


def test_verdicts_follow_the_sign_of_the_gain(cells):
    base = cells.arm("scratch", mean=70)
    for strategy, mean, sd in (("better", 85, 0.9), ("worse", 55, 0.9), ("same", 70, 0.6)):
        cells.arm(strategy, "glyphs", mean, base, sd=sd)
    found = by_strategy(judged(cells))
    assert {name: v.verdict for name, v in found.items()} == {
        "better": Kind.POSITIVE,
        "worse": Kind.NEGATIVE,
        "same": Kind.UNDECIDED,  # every prediction is the baseline's: nothing varies
    }
    assert [v.strategy for v in judged(cells)] == ["better", "same", "worse"]
    assert found["better"].beyond_margin


def test_a_metric_where_less_is_better_is_turned(cells):
    loss = Metric(name="loss", higher_is_better=False)

    def scored(arm, value):
        scores = [Scores(test={"loss": value + 0.01 * cell.seed}) for cell in arm]
        for cell, score in zip(arm, scores, strict=True):
            cells.change([cell], scores=score, metric=loss)

    base = cells.arm("scratch")
    arm = cells.arm("x", "glyphs", 70, base)
    scored(base, 2.0)
    scored(arm, 1.5)
    for cell in arm[:2]:  # not the same difference in every block
        cells.change([cell], scores=Scores(test={"loss": 1.4}))
    (verdict,) = judged(cells, Rules(margin=0.05))
    assert verdict.verdict is Kind.POSITIVE
    assert verdict.gain > 0.5
    assert (verdict.unit, verdict.metric, verdict.scope) == ("", "loss", THIS_TEST_SET)


def test_baselines_of_another_config_are_not_averaged_in(cells):
    """After a change of scratch, two of five seeds name the new one: only these are compared."""
    old = cells.arm("scratch", mean=60)
    new = [
        replace(
            cell,
            id=f"{cell.seed:016x}",
            parts=replace(cell.parts, strategy="beef00"),
            scores=Scores(test={"accuracy": 0.72}),
            finished="2026-12-01",
        )
        for cell in old[:2]
    ]
    cells.records += new
    cells.arm("x", "glyphs", 70, [*new, *old[2:]])
    (verdict,) = judged(cells)
    assert (verdict.n, verdict.unpaired) == (2, 3)
    assert verdict.baseline == "scratch#beef"
    assert verdict.reference == "scratch"
    assert "3 of 5 seeds without a baseline's score" in notes(verdict)


# Families ----------------------------------------------------------------------------------------


def test_a_family_is_one_target_one_budget_and_one_baseline(cells):
    for target, labels in (("digits", 20), ("digits", "all"), ("letters", 20)):
        place = {"target": target, "labels": labels}
        base = cells.arm("scratch", **place)
        other = cells.arm("source_only", mean=72, **place)
        cells.arm("a", "glyphs", 75, base, **place)
        cells.arm("b", "glyphs", 74, base, **place)
        cells.arm("c", "glyphs", 74, other, **place)
    verdicts = judged(cells)
    assert len({v.family for v in verdicts}) == 6
    assert {v.strategy: v.family_size for v in verdicts} == {"a": 2, "b": 2, "c": 1}
    assert [(v.target, v.labels) for v in verdicts][::3] == [
        ("digits", 20),
        ("digits", "all"),
        ("letters", 20),
    ]


def test_placebos_controls_and_exploratory_baselines_stay_out_of_the_family(cells):
    base = cells.arm("scratch")
    longer = cells.arm("scratch_converged", None, 71, base, sd=0.9)
    cells.arm("a", "glyphs", 75, base, sd=0.9, exploratory=[longer])
    alone = by_strategy(judged(cells))["a"]
    for seed in range(3):
        fake = {"architecture": f"net{seed}", "config": PLACEBO_SOURCE}
        cells.arm("a", "noise", 69 + seed, base, sd=0.9, **fake)
    found = judged(cells)
    (real,) = [v for v in found if v.kind == TRANSFER]
    assert (real.p_corrected, real.family_size) == (alone.p_corrected, 1)
    assert real.p_corrected == pytest.approx(max(real.p, real.p_corrected))
    assert {v.kind for v in found} == {TRANSFER, PLACEBO, CONTROL}
    assert {v.source for v in found if v.kind == CONTROL} == {None}
    assert {v.baseline for v in found} == {"scratch"}  # not scratch_converged


def test_the_families_of_cells_are_those_of_their_verdicts(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 75, base)
    cells.arm("a", "noise", 70, base, config=PLACEBO_SOURCE)
    asked = []

    def levels(family, shown, shares):
        asked.append((family, shown))
        return 0.05, 0.05

    judged(cells, levels=levels)
    families = families_of(results_from(cells.records))
    assert {family for family, _ in asked} == set(families)
    assert {seeds for _, shown in asked for seeds in shown.values()} == {frozenset(range(5))}
    part = base[0].parts.target
    assert Family(part, 20, "scratch", PLACEBO) in families


def test_a_verdict_keeps_the_level_that_its_family_was_given(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 72.5, base, sd=1.5)
    (loose,), (strict,) = judged(cells), judged(cells, levels=lambda *_: (1e-6, 0.01))
    assert (loose.verdict, loose.level) == (Kind.POSITIVE, 0.05)
    assert (strict.verdict, strict.level) == (Kind.UNDECIDED, 1e-6)


# Missing, failed, one seed -----------------------------------------------------------------------


def test_one_seed_has_an_interval_over_items_and_no_verdict(cells):
    base = cells.arm("scratch", n=1)
    cells.arm("a", "glyphs", 90, base, n=1)
    (verdict,) = judged(cells)
    assert (verdict.verdict, verdict.p, verdict.scope) == (Kind.UNDECIDED, None, THIS_MODEL)
    assert verdict.low > 10
    assert "one seed" in notes(verdict)


def test_missing_and_failed_partners_are_said_in_words(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 75, base)
    cells.records.remove(base[0])
    cells.change([base[1]], scores=Scores(test={"accuracy": None}))
    (verdict,) = judged(cells)
    assert (verdict.n, verdict.unpaired, verdict.seeds) == (3, 2, (2, 3, 4))
    assert "2 of 5 seeds without a baseline's score" in notes(verdict)


def test_without_any_baseline_there_is_a_row_that_says_so(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 75, base)
    cells.records = [cell for cell in cells.records if cell.names.strategy == "a"]
    (verdict,) = judged(cells)
    assert (verdict.n, verdict.gain, verdict.baseline) == (0, None, "scratch")
    assert verdict.verdict is Kind.UNDECIDED
    assert "nothing to compare" in notes(verdict)


def test_failed_runs_are_counted_be_all_of_an_arm_failed(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 75, base, n=4)
    failed = [
        replace(made(s, "glyphs", seed=seed, baseline=base[seed], score=None), status=Status.FAILED)
        for s, seed in (("a", 4), ("b", 0), ("b", 1))
    ]
    found = by_strategy(judged(cells, failures=failed))
    assert (found["a"].n, found["a"].failed) == (4, 1)
    assert "1 run failed and left out" in notes(found["a"])
    assert (found["b"].n, found["b"].failed, found["b"].verdict) == (0, 2, Kind.UNDECIDED)
    assert found["a"].family_size == 1  # what has no p value takes no part


def test_without_predictions_it_says_that_it_speaks_of_this_test_set(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 75, base, sd=1.2)
    (verdict,) = judged(cells, read=None)
    assert verdict.scope == THIS_TEST_SET
    assert "on this test set" in notes(verdict)
    assert "on this test set" not in notes(judged(cells)[0])


# Flags and what bears on a verdict ---------------------------------------------------------------


def flag(cells, arm, **flags):
    return cells.change(arm, flags=Flags(**flags))


def test_a_collapsed_run_stays_in_the_mean_and_a_verdict_that_hangs_on_it_is_fragile(cells):
    base = cells.arm("scratch", n=10)
    hits = np.arange(400) < 4 * (75 + 0.3 * np.arange(10)[:, None])
    hits[9] = np.arange(400) < 40  # one run predicts one class
    arm = cells.arm("a", "glyphs", base=base, n=10, right=hits)
    flag(cells, arm[9:], collapsed=True)
    (verdict,) = judged(cells)
    assert (verdict.n, verdict.collapsed) == (10, 1)
    assert verdict.gain < 1  # about 6.5 without it
    assert verdict.verdict is Kind.UNDECIDED
    assert verdict.fragile
    assert "1 of 10 runs collapsed" in notes(verdict)
    assert "fragile" in notes(verdict)


def test_a_verdict_that_stands_without_the_flagged_runs_is_not_fragile(cells):
    base = cells.arm("scratch")
    arm = cells.arm("a", "glyphs", 85, base)
    flag(cells, arm[:1], underfit=True)
    (verdict,) = judged(cells)
    assert verdict.verdict is Kind.POSITIVE
    assert (verdict.underfit, verdict.fragile) == (1, False)


def test_a_strategy_that_always_collapses_hurts(cells):
    base = cells.arm("scratch")
    arm = cells.arm("a", "glyphs", 10, base)
    flag(cells, arm, collapsed=True)
    (verdict,) = judged(cells)
    assert (verdict.verdict, verdict.fragile) == (Kind.NEGATIVE, False)


def test_a_gain_over_a_baseline_that_never_fitted_rests_on_flagged_runs_alone(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 85, base)
    flag(cells, base, underfit=True)
    (verdict,) = judged(cells)
    assert (verdict.verdict, verdict.fragile) == (Kind.POSITIVE, True)
    assert verdict.baseline_underfit == verdict.n == 5
    assert "5 of 5 runs of the baseline underfit" in notes(verdict)
    assert "rests on collapsed or underfit runs alone" in notes(verdict)


def test_a_verdict_that_flagged_baselines_make_says_what_it_is_without_them(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 85, base)
    flag(cells, base[:4], collapsed=True)
    (verdict,) = judged(cells)
    assert (verdict.verdict, verdict.without_flagged) == (Kind.POSITIVE, "undecided")
    assert verdict.baseline_collapsed == 4
    assert "fragile: undecided without collapsed and underfit runs" in notes(verdict)


@pytest.mark.parametrize(("classical", "weak"), [(74, True), (66, False)])
def test_a_baseline_below_the_classical_learner_is_marked(cells, classical, weak):
    base = cells.arm("scratch")
    cells.arm("logistic_regression", mean=classical, architecture=None)
    cells.arm("a", "glyphs", 80, base)
    (verdict,) = judged(cells)
    assert verdict.verdict is Kind.POSITIVE
    assert verdict.weak_baseline is weak
    assert ("below logistic_regression" in notes(verdict)) is weak
    assert verdict.beside == (("logistic_regression", pytest.approx(classical, abs=0.5)),)


def test_a_target_that_the_source_has_seen_is_said(cells):
    base = cells.arm("scratch")
    arm = cells.arm("a", "glyphs", 80, base)
    flag(cells, arm, contaminated_by=("imagenet",))
    (verdict,) = judged(cells)
    assert verdict.contaminated_by == ("imagenet",)
    assert "imagenet" in notes(verdict)


@pytest.mark.parametrize(("gain", "shares"), [(80, True), (70.2, False)])
def test_a_gain_that_a_placebo_shares_is_not_all_knowledge(cells, gain, shares):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 82, base)
    cells.arm("a", "permuted", gain, base, config=PLACEBO_SOURCE)
    cells.arm("other", "permuted", 90, base, config=PLACEBO_SOURCE)  # of another strategy
    (real,) = [v for v in judged(cells) if v.kind == TRANSFER]
    assert ("permuted gains +10.0 too" in notes(real)) is shares
    assert ("gains" in notes(real)) is shares


@pytest.mark.parametrize(("now", "stale"), [("now", 5), ("then", 0), ("", 0)])  # "": not known
def test_code_that_has_changed_since_is_stale(cells, now, stale, monkeypatch):
    monkeypatch.setattr(measuring, "known_as", lambda path: {now} - {""})
    base = cells.arm("scratch")
    arm = cells.arm("a", "glyphs", 80, base)
    cells.change(arm, code="then", config={"strategy": {"_target_": "m.A"}})
    assert judged(cells)[0].stale == stale


def test_one_checkpoint_and_a_way_of_making_sources_are_told_apart(cells):
    base = cells.arm("scratch")
    cells.arm("a", "fixed", 80, base, config={"source": {"seed": 0}})
    cells.arm("a", "anew", 80, base, config={"source": {"seed": "block"}})
    found = {v.source: v for v in judged(cells)}
    assert "one checkpoint of the source" in found["fixed"].notes
    assert not found["anew"].one_checkpoint


# Output ------------------------------------------------------------------------------------------


def test_the_first_columns_are_those_that_were_promised():
    promised = (
        *("source", "architecture", "strategy", "target", "labels", "baseline", "n", "gain"),
        *("low", "high", "p", "p_corrected", "verdict", "detectable", "seeds_needed", "notes"),
    )
    assert promised == COLUMNS


def test_the_order_of_cells_does_not_matter(cells):
    base = cells.arm("scratch")
    for name, mean in (("a", 75), ("b", 65), ("c", 70.5)):
        cells.arm(name, "glyphs", mean, base, sd=1.1)
    forward = judged(cells)
    cells.records = cells.records[::-1]
    assert judged(cells) == forward


def test_lost_predictions_are_named_where_they_narrow_what_a_verdict_covers(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 80, base)
    (whole,) = judged(cells)
    del cells.said[base[2].id]
    (narrowed,) = judged(cells)
    assert (whole.scope, narrowed.scope) == ("seeds and test items", "this test set")
    assert "predictions of 1 of 10 runs are missing" in notes(narrowed)
    cells.said.clear()  # a table of scores never had any
    (never,) = judged(cells)
    assert "missing" not in notes(never) + notes(whole)


# Clusters of test items -------------------------------------------------------------------------


def with_clusters(n_clusters, items=400):
    """Return the verdict on an arm that is better on these clusters of items, and the cells."""
    cells = Cells()
    cells.arm("a", "glyphs", 75, cells.arm("scratch", mean=70))
    of = np.arange(items) * n_clusters // items
    cells.said = {i: one._replace(clusters=of) for i, one in cells.said.items()}
    (verdict,) = judge(results_from(cells.records), read=cells.read)
    return verdict


def test_groups_of_test_items_are_what_errors_count():
    verdict = with_clusters(40)
    assert (verdict.items, verdict.scope) == (40, "seeds and groups of test items")
    assert not any("too few" in note for note in verdict.notes)
    assert verdict.se > with_clusters(400).se  # the same items, taken for independent
    assert with_clusters(400).items == 400


def test_few_groups_are_said_to_be_too_few():
    assert (
        "5 groups of test items: too few to tell how much groups differ" in with_clusters(5).notes
    )


def test_a_test_set_of_one_group_says_so():
    verdict = with_clusters(1)
    assert verdict.scope == "this test set"
    assert "all test items are of one group" in verdict.notes


def test_a_verdict_has_what_its_test_items_alone_leave_by_the_predictions_in_points(cells):
    """The items' component by mean squares, of hits of two arms on 120 items in four seeds."""
    random = np.random.default_rng(5)
    easy = random.normal(0, 1, 120)
    arm, base = (random.random((4, 120)) < 1 / (1 + np.exp(-easy * s - 0.5)) for s in (2.0, -1.0))
    scratch = cells.arm("scratch", n=4, right=base)
    cells.arm("a", "glyphs", base=scratch, n=4, right=arm)
    (found,) = [v for v in judged(cells) if v.strategy == "a"]
    gains = 100.0 * (arm.astype(float) - base)
    of_items = 4 * gains.mean(0).var(ddof=1)
    left = gains - gains.mean(0) - gains.mean(1, keepdims=True) + gains.mean()
    of_left = (left**2).sum() / (3 * 119)
    by_hand = 1.980100 * ((of_items - of_left) / (4 * 120)) ** 0.5
    assert found.items_floor == pytest.approx(by_hand, rel=1e-5)
    assert found.items_floor < (found.high - found.low) / 2
