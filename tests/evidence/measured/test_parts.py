"""Negative transfer that hides in a class or a group while the mean stays is found there."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from transfergrid.evidence.measured.outcomes import Outcomes
from transfergrid.evidence.measured.parts import part_gains
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.statistics.correction import holm
from transfergrid.evidence.statistics.intervals import (
    over_blocks_and_clusters,
    over_blocks_and_items,
)
from transfergrid.evidence.verdicts.decisions import Kind, Rules
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.records.errors import BadInputError
from transfergrid.records.files.arrays import Predictions
from verdict_cells import Cells

CLASSES, PER_CLASS, SEEDS = ("cat", "dog", "eel", "fox"), 100, 6
LABELS = np.repeat(np.arange(4), PER_CLASS)


def said(hits, groups=None, labels=LABELS):
    """Return predictions that hit these items, and take the next class for all others."""
    found = np.where(hits, labels, (labels + 1) % 4)
    return Predictions(np.eye(4, dtype=np.float32)[found], labels, groups)


def planted(shares, seed=0, base_share=0.7):
    """Return a study (cells, verdict) whose arm hits each class as often as `shares` says."""
    rng = np.random.default_rng(seed)
    ease = rng.random(len(LABELS))
    luck = rng.normal(0, 0.03, (2, SEEDS, len(LABELS)))
    cells = Cells()
    base_hits = ease + luck[0] < base_share
    hits = ease + luck[1] < np.asarray(shares)[LABELS]
    base = cells.arm("scratch", n=SEEDS, right=base_hits)
    arm = cells.arm("a", "glyphs", base=base, n=SEEDS, right=hits)
    for row, cell in enumerate(base):
        cells.said[cell.id] = said(base_hits[row])
    for row, cell in enumerate(arm):
        cells.said[cell.id] = said(hits[row])
    (verdict,) = judge(results_from(cells.records), read=cells.read)
    return cells, verdict, 100.0 * (hits.astype(float) - base_hits)


def test_a_class_that_is_harmed_while_the_mean_stays_is_named():
    cells, verdict, _ = planted([0.9, 0.7, 0.7, 0.5])
    assert verdict.verdict is not Kind.NEGATIVE
    assert abs(verdict.gain) < 2
    found = part_gains(verdict, cells.read, "class", CLASSES)
    assert found[0].group == "fox"  # the most harmed first
    assert {part.group: part.verdict for part in found} == {
        "fox": Kind.NEGATIVE,
        "cat": Kind.POSITIVE,
        "dog": Kind.UNDECIDED,
        "eel": Kind.UNDECIDED,
    }
    assert [part.gain for part in found] == sorted(part.gain for part in found)
    assert found[0].gain == pytest.approx(-20, abs=5)


def test_where_no_class_is_harmed_none_is_named():
    cells, verdict, _ = planted([0.7] * 4)
    kinds = {part.verdict for part in part_gains(verdict, cells.read)}
    assert kinds <= {Kind.UNDECIDED, Kind.EQUIVALENT}


def test_a_classs_gain_is_the_crossed_estimate_of_its_own_items():
    cells, verdict, gains = planted([0.8, 0.7, 0.65, 0.5])
    for part in part_gains(verdict, cells.read, "class", CLASSES):
        rows = CLASSES.index(part.group) == LABELS
        expected = over_blocks_and_items(gains[:, rows])
        assert part.items == PER_CLASS
        assert (part.gain, part.low, part.high) == (expected.mean, *expected.interval())
        assert part.mean - part.baseline_mean == pytest.approx(part.gain)
        t = stats.ttest_1samp(gains[:, rows].mean(axis=1), 0).pvalue
        assert part.p_corrected >= t  # with few seeds these alone must show it too


def test_the_parts_of_one_comparison_are_corrected_over_one_another_alone():
    cells, verdict, _ = planted([0.8, 0.75, 0.65, 0.6], seed=4)
    corrected = [part.p_corrected for part in part_gains(verdict, cells.read)]
    uncorrected = part_gains(verdict, cells.read, rules=Rules(correction="none"))
    alone = [part.p_corrected for part in uncorrected]
    assert corrected == pytest.approx(holm(alone))
    assert min(corrected) == pytest.approx(4 * min(alone))


def test_gains_of_classes_add_up_to_the_gain():
    cells, verdict, _ = planted([0.8, 0.75, 0.65, 0.6])
    found = part_gains(verdict, cells.read)
    mean = sum(part.items * part.gain for part in found) / sum(part.items for part in found)
    assert mean == pytest.approx(verdict.gain)
    assert {part.group for part in found} == {"0", "1", "2", "3"}  # no names were given


def with_groups(cells, groups):
    cells.said = {i: one._replace(groups=np.asarray(groups)) for i, one in cells.said.items()}


def test_a_group_that_is_harmed_is_named_though_every_class_gains_alike():
    cells, verdict, _ = planted([0.7] * 4)
    arm = set(verdict.cells)
    groups = np.where(np.arange(len(LABELS)) % 4 == 0, "old", "young")
    for identity in arm:  # of the old ones it misses every third
        one = cells.said[identity]
        hits = one.correct()
        hits[(groups == "old") & (np.arange(len(LABELS)) % 3 == 0)] = False
        cells.said[identity] = said(hits)
    with_groups(cells, groups)
    found = {part.group: part for part in part_gains(verdict, cells.read, "group")}
    assert found["old"].verdict is Kind.NEGATIVE
    assert found["young"].verdict is not Kind.NEGATIVE
    assert (found["old"].items, found["young"].items) == (100, 300)


def test_a_class_of_one_item_has_the_seeds_alone_to_go_by():
    cells, verdict, _ = planted([0.7] * 4)
    labels = LABELS.copy()
    labels[labels == 3] = 2
    labels[-1] = 3
    for identity, one in cells.said.items():
        hits = one.correct()
        hits[-1] = int(identity in verdict.cells)  # one such item: always won
        cells.said[identity] = said(hits, labels=labels)
    rare = next(part for part in part_gains(verdict, cells.read) if part.group == "3")
    assert (rare.items, rare.gain, rare.low) == (1, 100, None)
    assert rare.verdict is Kind.UNDECIDED
    assert "constant" in rare.notes[0]


def test_one_seed_names_no_class_negative():
    cells, verdict, _ = planted([0.9, 0.7, 0.7, 0.1])
    one = replace(verdict, cells=verdict.cells[:1], baseline_cells=verdict.baseline_cells[:1], n=1)
    found = part_gains(one, cells.read, "class", CLASSES)
    assert found[0].high < 0
    assert {part.verdict for part in found} == {Kind.UNDECIDED}
    assert "one seed" in found[0].notes[0]


def test_the_rules_decide():
    cells, verdict, _ = planted([0.72, 0.7, 0.7, 0.68])
    wide = part_gains(verdict, cells.read, rules=Rules(margin=30.0))
    assert {part.verdict for part in wide} == {Kind.EQUIVALENT}


def test_bits_of_an_index_and_predictions_tell_the_same():
    cells, verdict, _ = planted([0.8, 0.75, 0.65, 0.6])
    assert part_gains(verdict, Outcomes(cells.read)) == part_gains(verdict, cells.read)


def test_what_cannot_be_taken_apart_is_told():
    cells, verdict, _ = planted([0.7] * 4)
    with pytest.raises(BadInputError, match=r"no groups: target\.group_column"):
        part_gains(verdict, cells.read, "group")
    with pytest.raises(BadInputError, match="nothing to take apart"):
        part_gains(replace(verdict, cells=(), baseline_cells=()), cells.read)
    last = verdict.cells[-1]
    other = said(cells.said[last].correct()[::-1], labels=LABELS[::-1])
    kept, cells.said[last] = cells.said[last], other
    with pytest.raises(BadInputError, match="not tested on the same items"):
        part_gains(verdict, cells.read)
    cells.said[last] = kept
    del cells.said[verdict.baseline_cells[0]]
    with pytest.raises(BadInputError, match="was not kept"):
        part_gains(verdict, cells.read)


def test_of_a_class_clusters_count_and_of_a_group_what_depends_inside_it():
    cells, verdict, gains = planted([0.8, 0.7, 0.65, 0.5])
    patients, hospitals = np.arange(400) // 5, np.where(np.arange(400) % 2, "A", "B")
    cells.said = {
        i: one._replace(clusters=patients, groups=hospitals) for i, one in cells.said.items()
    }
    for part in part_gains(verdict, cells.read, "class", CLASSES):
        rows = CLASSES.index(part.group) == LABELS
        expected = over_blocks_and_items(gains[:, rows].reshape(SEEDS, 20, 5).mean(axis=2))
        assert (part.items, part.low) == (PER_CLASS, pytest.approx(expected.interval()[0]))
    for part in part_gains(verdict, cells.read, "group"):
        rows = hospitals == part.group
        of = patients[rows].astype(np.int32)
        expected = over_blocks_and_clusters(gains[:, rows], of).interval()
        assert (part.low, part.high) == pytest.approx(expected)


def test_within_a_group_that_is_a_cluster_itself_its_items_are_independent():
    cells, verdict, gains = planted([0.8, 0.7, 0.65, 0.5])
    patients = (np.arange(400) // 50).astype(str)
    with_groups(cells, patients)
    for part in part_gains(verdict, cells.read, "group"):
        expected = over_blocks_and_items(gains[:, patients == part.group])
        assert (part.items, part.low) == (50, expected.interval()[0])
