"""A run far below all else in its block is named, and the verdict given without it."""

from dataclasses import replace

import pytest

from transfergrid.evidence.foreign import read_foreign, verdicts
from transfergrid.evidence.foreign.columns import TableColumns
from transfergrid.evidence.measured.results import results_from
from transfergrid.evidence.verdicts.fallen import fallen_among
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.records.record import Flags
from verdict_cells import Cells

ARMS = {
    "scratch": (70.4, 71.9, 69.8, 72.2, 70.9),
    "finetune": (75.1, 76.8, 74.9, 77.0, 76.2),
    "probe": (88.0, 89.5, 87.6, 90.0, 88.8),
    "lora": (81.2, 82.6, 80.9, 83.1, 81.6),
}


def table(**changes):
    """Return the arms as columns, one score changed for each (seed, score)."""
    rows = [
        (name, seed, dict([changes[name]]).get(seed, score) if name in changes else score)
        for name, scores in ARMS.items()
        for seed, score in enumerate(scores)
    ]
    return {
        "strategy": [name for name, _, _ in rows],
        "target": ["digits"] * len(rows),
        "seed": [seed for _, seed, _ in rows],
        "score": [score for _, _, score in rows],
    }


def fell(frame, **how):
    found = read_foreign(frame, TableColumns(**how))
    names = {result.id: (result.names.strategy, result.seed) for result in found.results}
    return {names[identity] for identity in fallen_among(found.results)}


def test_one_failed_run_of_twenty_is_found_and_only_that():
    assert fell(table()) == set()
    assert fell(table(finetune=(3, 15.0))) == {("finetune", 3)}
    assert fell(table(scratch=(0, 15.0))) == {("scratch", 0)}


def test_the_verdict_is_given_without_it_by_hand():
    rows = {row["strategy"]: row for row in verdicts(table(finetune=(3, 15.0)))}
    gains = [4.7, 4.9, 5.1, 5.3]  # without the seed: mean 5, sd .2582, t = 38.7 with 3 df, p .00004
    assert sum(gains) / 4 == pytest.approx(5)
    row = rows["finetune"]
    assert (row["fallen"], row["n"]) == (1, 5)
    (note,) = [note for note in row["notes"] if note.startswith("far below all else")]
    assert note == (
        "far below all else in its block: seed 3 (15.0), usually 75.7; without: positive, +5.0, "
        "p <.001"
    )
    assert (row["verdict"], row["without_flagged"], row["fragile"]) == (
        "undecided",
        "positive",
        True,
    )
    assert "fragile: positive without the runs far below all others" in row["notes"]
    assert rows["probe"]["fallen"] == 0


def test_a_fallen_baseline_is_said_of_every_arm():
    rows = verdicts(table(scratch=(2, 15.0)))
    assert all(row["fallen"] == 1 for row in rows)
    assert all(
        any("the baseline's seed 2 (15.0), usually 71.4" in n for n in row["notes"]) for row in rows
    )


def test_what_is_low_honestly_is_no_run_that_fell():
    low = table()
    low["score"][5:10] = [14.0, 16.0, 15.0, 13.0, 15.5]  # an arm that is bad
    assert fell(low) == set()
    hard = {name: (*scores[:3], scores[3] - 40, scores[4]) for name, scores in ARMS.items()}
    block = table()  # a block in which all fell
    block["score"] = [score for scores in hard.values() for score in scores]
    assert fell(block) == set()
    wide = table()  # an arm that varies that much
    wide["score"][5:10] = [30.0, 75.0, 52.0, 41.0, 63.0]
    assert fell(wide) == set()


def test_scale_and_direction_do_not_matter():
    shares = {**table(finetune=(3, 15.0))}
    shares["score"] = [score / 100 for score in shares["score"]]
    assert fell(shares) == {("finetune", 3)}
    errors = {**shares, "score": [100 - 100 * score for score in shares["score"]]}
    assert fell(errors, lower_is_better=True) == {("finetune", 3)}


def test_in_a_ledger_too_and_a_flag_is_not_told_twice():
    cells = Cells()
    base = cells.arm("scratch", mean=70)
    arm = cells.arm("helps", "glyphs", 80, base)
    low = replace(arm[2].scores, test={"accuracy": 0.15})
    cells.change(arm[2:3], scores=low)
    (verdict,) = judge(results_from(cells.records))
    assert verdict.fallen == 1
    assert any("seed 2 (15.0), usually 80.1" in note for note in verdict.notes)
    cells.change(arm[2:3], scores=low, flags=Flags(collapsed=True))
    (verdict,) = judge(results_from(cells.records))
    assert (verdict.fallen, verdict.collapsed) == (0, 1)
