"""What flips a verdict is planted and shown; where nothing is planted nothing flips."""

from dataclasses import replace

import numpy as np
import pytest

from transfergrid.evidence.measured.comparisons import over
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.verdicts.decisions import Kind, Rules
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.evidence.verdicts.robustness import (
    MADE_ANEW,
    OVER_PRIMARY,
    THIS_TEST_SET,
    WITHOUT_FLAGGED,
    flips,
)
from transfergrid.records.record import Flags
from verdict_cells import ITEMS, Cells

ONE_CHECKPOINT = {"source": {"seed": 0}}
BY_BLOCK = {"source": {"seed": "block"}}
PLACEBO = {"source": {"_target_": "transfergrid.sources.placebo.Placebo"}}


@pytest.fixture
def cells():
    return Cells()


def flipped(cells, rules=None, read=True, levels=None):
    """Return {(source, strategy): {way: (verdict, other verdict)}}."""
    rules, results = rules or Rules(), results_from(cells.records)
    reads = cells.read if read else None
    verdicts = judge(results, rules, read=reads, levels=levels)
    return {
        (flip.verdict.source, flip.verdict.strategy): {
            way: (flip.verdict.verdict, other.verdict) for way, other in flip.others.items()
        }
        for flip in flips(results, verdicts, reads, rules, levels)
    }


def scattered(mean, n=5, items=ITEMS, seed=0):
    """Return hits (n, items) by `mean`, of items that no other arm finds as easy or as hard."""
    rng = np.random.default_rng(seed)
    return rng.permuted(np.arange(items) < items * mean / 100)[None].repeat(n, axis=0)


def with_one_collapsed(cells, base, n=10):
    """Add an arm that gains some 6 points, but for a run that predicts one class."""
    hits = np.arange(ITEMS) < ITEMS / 100 * (75 + 0.3 * np.arange(n)[:, None])
    hits[-1] = np.arange(ITEMS) < 0.1 * ITEMS
    arm = cells.arm("hurt_by_one", "glyphs", base=base, n=n, right=hits)
    cells.change(arm[-1:], flags=Flags(collapsed=True))


def test_nothing_flips_where_nothing_is_planted(cells):
    base = cells.arm("scratch", n=10)
    longer = cells.arm("scratch_converged", mean=70.2, n=10)
    for strategy, mean, sd in (("better", 85, 0.9), ("worse", 55, 0.9)):
        arm = cells.arm(strategy, "glyphs", mean, base, n=10, sd=sd, exploratory=[longer])
        cells.change(arm[:1], flags=Flags(underfit=True))  # it changes no verdict
    assert flipped(cells) == {}


def test_a_verdict_that_another_baseline_turns_round_is_shown(cells):
    base = cells.arm("scratch", mean=70)
    longer = cells.arm("scratch_converged", mean=90)
    near = cells.arm("full_finetuning", "glyphs", 71)
    cells.arm("a", "glyphs", 80, base, sd=1.0, exploratory=[longer, near])
    cells.arm("b", "glyphs", 95, base, sd=1.0, exploratory=[longer, near])
    assert flipped(cells) == {
        ("glyphs", "a"): {"over scratch_converged": (Kind.POSITIVE, Kind.NEGATIVE)}
    }


def test_the_primary_baseline_named_once_more_is_no_other_baseline(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 80, base, sd=1.0, exploratory=[base])
    assert flipped(cells) == {}


def test_a_verdict_that_hangs_on_a_collapsed_run_is_shown(cells):
    base = cells.arm("scratch", n=10)
    with_one_collapsed(cells, base)
    cells.arm("better", "glyphs", 85, base, n=10, sd=0.9)
    assert flipped(cells) == {
        ("glyphs", "hurt_by_one"): {WITHOUT_FLAGGED: (Kind.UNDECIDED, Kind.POSITIVE)}
    }


def test_fragile_are_those_that_flip_without_flagged_runs(cells):
    base = cells.arm("scratch", n=10)
    with_one_collapsed(cells, base)
    arm = cells.arm("collapsed_throughout", "glyphs", 20, base, n=10, sd=0.9)
    cells.change(arm, flags=Flags(collapsed=True))
    results = results_from(cells.records)
    verdicts = judge(results, read=cells.read)
    found = {
        flip.verdict.strategy
        for flip in flips(results, verdicts, cells.read, Rules())
        if WITHOUT_FLAGGED in flip.others
    }
    assert found == {v.strategy for v in verdicts if v.fragile} == {"hurt_by_one"}


def test_a_collapsed_baseline_makes_a_verdict_that_hangs_on_it_as_well(cells):
    hits = np.arange(ITEMS) < ITEMS / 100 * (70 + 0.6 * np.arange(10)[:, None])
    hits[4] = False
    base = cells.arm("scratch", n=10, right=hits)
    cells.change(base[4:5], flags=Flags(collapsed=True))
    near = 70 + 0.6 * np.arange(10) + 0.25 * (-1) ** np.arange(10)  # within a quarter of a point
    cells.arm("a", "glyphs", base=base, n=10, right=np.arange(ITEMS) < ITEMS / 100 * near[:, None])
    assert flipped(cells) == {("glyphs", "a"): {WITHOUT_FLAGGED: (Kind.UNDECIDED, Kind.EQUIVALENT)}}


def test_a_gain_that_is_this_test_sets_luck_is_shown(cells):
    """All seeds agree, and yet no more than the choice of items makes the difference."""
    base = cells.arm("scratch", right=scattered(70, seed=1))
    lucky = scattered(73, seed=2)
    for seed in range(5):
        lucky[seed, 7 * seed : 7 * seed + seed + 1] ^= True  # the seeds differ a little
    cells.arm("lucky", "glyphs", base=base, right=lucky)
    assert flipped(cells) == {("glyphs", "lucky"): {THIS_TEST_SET: (Kind.UNDECIDED, Kind.POSITIVE)}}
    assert flipped(cells, read=False) == {}  # the scope is this test set already


def of_one_name(cells, base, means):
    """Add an arm for each way of making a source that is called glyphs."""
    for part, (config, mean) in zip(("aa01", "bb02"), means, strict=True):
        for cell in cells.arm("a", part, mean, base, sd=1.0, config=config):
            names = replace(cell.names, source="glyphs")
            cells.change([cell], names=names, parts=replace(cell.parts, source=part))


def test_a_checkpoint_that_does_not_stand_for_its_way_of_making_is_shown(cells):
    of_one_name(cells, cells.arm("scratch"), [(ONE_CHECKPOINT, 80), (BY_BLOCK, 60)])
    assert flipped(cells) == {("glyphs#aa01", "a"): {MADE_ANEW: (Kind.POSITIVE, Kind.NEGATIVE)}}


def test_a_checkpoint_that_stands_for_its_way_of_making_does_not_flip(cells):
    of_one_name(cells, cells.arm("scratch"), [(ONE_CHECKPOINT, 80), (BY_BLOCK, 82)])
    assert flipped(cells) == {}


def test_of_two_checkpoints_none_stands_for_a_way_of_making(cells):
    of_one_name(cells, cells.arm("scratch"), [(ONE_CHECKPOINT, 80), (ONE_CHECKPOINT, 60)])
    assert flipped(cells) == {}


def test_two_sources_of_other_names_do_not_stand_for_each_other(cells):
    base = cells.arm("scratch")
    cells.arm("a", "glyphs", 80, base, sd=1.0, config=ONE_CHECKPOINT)
    cells.arm("a", "letters", 60, base, sd=1.0, config=BY_BLOCK)
    assert flipped(cells) == {}


def test_controls_do_not_flip_and_placebos_do(cells):
    base = cells.arm("scratch")
    longer = cells.arm("other_scratch", mean=90)
    cells.arm("scratch_converged", None, 80, base, sd=1.0, exploratory=[longer])
    assert flipped(cells) == {}
    cells.arm("a", "noise", 80, base, sd=1.0, exploratory=[longer], config=PLACEBO)
    assert set(flipped(cells)) == {("noise", "a")}


def test_other_looks_are_held_against_the_same_level(cells):
    """At a stricter level neither the verdict nor what is beside it is decided: no flip."""
    base = cells.arm("scratch", mean=70)
    other = cells.arm("other", mean=73)
    cells.arm("a", "glyphs", 74, base, sd=2.0, exploratory=[other])
    assert set(flipped(cells)) == {("glyphs", "a")}  # at 5 % the one is seen, the other is not
    assert flipped(cells, levels=lambda *_: (1e-9, 0.01)) == {}


def test_verdicts_over_an_exploratory_baseline_flip_against_their_own_likes(cells):
    """The other looks are over that baseline too; the primary one is one more way to look."""
    base = cells.arm("scratch", mean=70)
    longer = cells.arm("scratch_converged", mean=90)
    cells.arm("a", "glyphs", 80, base, sd=1.0, exploratory=[longer])
    results = results_from(cells.records)
    harmed = judge(over(results, "scratch_converged"), read=cells.read, primary=False)
    (flip,) = flips(results, harmed, cells.read, Rules(), against="scratch_converged")
    assert flip.verdict.verdict is Kind.NEGATIVE
    assert {name: v.verdict for name, v in flip.others.items()} == {OVER_PRIMARY: Kind.POSITIVE}


def test_without_flagged_runs_the_level_is_that_of_the_verdict_and_of_no_earlier_look(cells):
    """Nine blocks are left of ten; they are no look that was taken at nine."""
    base = cells.arm("scratch", n=10)
    with_one_collapsed(cells, base)
    results = results_from(cells.records)

    def refuse(*_):
        raise AssertionError("this is no look")

    (verdict,) = judge(results, levels=lambda *_: (0.04, 0.01))
    (flip,) = flips(results, [verdict], None, Rules(), refuse)
    assert flip.others[WITHOUT_FLAGGED].level == verdict.level == 0.04
    strict = replace(verdict, level=1e-13)
    assert flips(results, [strict], None, Rules(), refuse) == []


def test_what_has_no_seed_in_common_is_neither_verdict_nor_flip(cells):
    base = cells.arm("scratch")
    longer = cells.arm("scratch_converged", mean=90)
    cells.arm("a", "glyphs", 80, base, sd=1.0, exploratory=[longer])
    cells.records = [c for c in cells.records if c.names.strategy != "scratch_converged"]
    assert flipped(cells) == {}


def test_verdicts_that_are_known_already_flip_the_same_and_are_not_judged_again(cells):
    base = cells.arm("scratch", mean=70)
    longer = cells.arm("scratch_converged", mean=90)
    cells.arm("a", "glyphs", 80, base, sd=1.0, exploratory=[longer])
    results = results_from(cells.records)
    verdicts = judge(results, read=cells.read)
    harmed = judge(over(results, "scratch_converged"), read=cells.read, primary=False)
    known = {"scratch_converged": harmed, "probe": harmed}  # the latter is nobody's baseline
    (flip,) = flips(results, verdicts, cells.read, Rules(), known=known)
    (same,) = flips(results, verdicts, cells.read, Rules())
    other = flip.others["over scratch_converged"]
    assert other is harmed[0]
    assert flip.others.keys() == same.others.keys()
    assert same.others["over scratch_converged"].verdict is other.verdict is Kind.NEGATIVE


def test_a_verdict_changed_is_the_same_but_for_what_is_changed(cells):
    base = cells.arm("scratch", mean=70)
    cells.arm("a", "glyphs", 80, base)
    (verdict,) = judge(results_from(cells.records))
    assert verdict.but(gain=1.5, notes=("x",)) == replace(verdict, gain=1.5, notes=("x",))
    with pytest.raises(TypeError, match="no gian"):
        verdict.but(gian=1.5)
