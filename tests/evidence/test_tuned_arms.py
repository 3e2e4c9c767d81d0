"""What is said of arms that searched for their settings, beside arms that did not."""

from dataclasses import replace

from ledger_factory import made, measured
from transfergrid.evidence.measured.comparisons import over
from transfergrid.evidence.verdicts.families import arm_of
from transfergrid.evidence.verdicts.notes import noted
from transfergrid.records.cell import Names, Parts, Reference
from transfergrid.records.identity import group_of
from transfergrid.records.ledgers.index import ABSENT
from transfergrid.records.record import Trial, Tuning, from_json
from transfergrid.report.html.best_of import tuning

UNEQUAL = "unequal tuning: {} trials, the baseline {} trial{}: what more trials give is in the gain"


def arm(strategy, source, trials, baseline=(), name="random", score=0.8):
    cells = []
    for seed in range(3):
        cell = made(strategy, source, seed=seed, score=score + seed / 100)
        if trials:
            told = tuple(Trial(values={"lr_factor": t + 1.0}, score=t / 10) for t in range(trials))
            cell = replace(
                cell,
                id=f"{cell.id[:14]}{trials:02}",
                tuning=Tuning(trials=told, chosen=trials - 1),
                names=replace(cell.names, tuning=name),
                parts=replace(cell.parts, tuning=f"{strategy}{trials}"),
            )
        if baseline:
            cell = replace(cell, baseline=Reference(name="scratch", id=baseline[seed].id))
        cells.append(cell)
    return cells


def notes(rows, strategy):
    (row,) = [row for row in noted(rows) if row.strategy == strategy and row.n and row.baseline]
    return row.notes


def test_a_gain_over_a_baseline_with_fewer_trials_says_so():
    base = arm("scratch", None, 0, score=0.7)
    rows = measured([*base, *arm("full_finetuning", "glyphs", 8, base)])
    assert UNEQUAL.format(8, 1, "") in notes(rows, "full_finetuning")
    base = arm("scratch", None, 4, score=0.7)
    rows = measured([*base, *arm("full_finetuning", "glyphs", 8, base)])
    assert UNEQUAL.format(8, 4, "s") in notes(rows, "full_finetuning")


def test_equal_trials_are_no_note_and_are_columns():
    base = arm("scratch", None, 8, score=0.7)
    rows = measured([*base, *arm("full_finetuning", "glyphs", 8, base)])
    assert not [note for note in notes(rows, "full_finetuning") if "tuning" in note]
    told = {row.strategy: row.as_dict() for row in rows}["full_finetuning"]
    assert (told["tuning"], told["trials"], told["baseline_trials"]) == ("random", 8, 8)


def test_a_search_names_an_arm_only_beside_the_same_one_with_another():
    base = arm("scratch", None, 0)
    alone = measured([*base, *arm("a", "glyphs", 8)])
    assert {row.strategy for row in alone} == {"scratch", "a"}
    both = measured([*base, *arm("a", "glyphs", 8), *arm("a", "glyphs", 0)])
    assert {row.strategy for row in both} == {"scratch", "a random", "a untuned"}


def test_another_baseline_is_the_one_that_was_tuned_alike():
    plain, tuned = arm("full_finetuning", "glyphs", 0), arm("full_finetuning", "glyphs", 8)
    base = arm("scratch", None, 0)
    own = arm("l2_sp", "glyphs", 8, base)
    found = over([*plain, *tuned, *own, *base], "full_finetuning")
    assert [c.baseline.id for c in found if c.id in {o.id for o in own}] == [c.id for c in tuned]


def test_what_untuned_arms_and_groups_are_called_is_what_it_was():
    parts = Parts(strategy="s" * 16, target="t" * 16, source="o" * 16, training="r" * 16)
    assert arm_of(parts) == "oooooooo.ssssssss.rrrrrrrr"
    assert arm_of(replace(parts, tuning="u" * 16)) == "oooooooo.ssssssss.rrrrrrrr.uuuuuuuu"
    names = Names(strategy="s", target="t")
    assert group_of(names, 2, parts) != group_of(names, 2, replace(parts, tuning="u" * 16))
    assert group_of(names, 2, parts) == "s t labels=2 285322"


def test_records_and_segments_of_before_have_no_search():
    text = made("scratch").to_json().replace('"tuning": null', '"unknown": null')
    assert from_json(text).tuning is None
    assert {name: ABSENT[name] for name in ("tuning", "tuning_part", "trials")} == {
        "tuning": None,
        "tuning_part": None,
        "trials": None,
    }


def test_a_record_keeps_its_trials():
    (cell, *_) = arm("a", "glyphs", 2)
    assert from_json(cell.to_json()) == cell


def test_the_report_draws_arms_at_equal_k_on_one_axis():
    base = arm("scratch", None, 2, score=0.7)
    section = tuning([*base, *arm("a<b>", "glyphs", 4, base)])
    (table,), (picture,) = section.tables, section.pictures
    heads = [column.head for column in table.columns]
    assert heads[5:8] == ["best of 1", "best of 2", "best of 4"]
    told = {table.columns[2].text(row): [c.text(row) for c in table.columns] for row in table.rows}
    assert told["glyphs a<b>"][3:8] == ["4", "3", "15.0", "23.3", "30.0"]
    assert told["small_cnn scratch"][5:8] == ["5.0", "10.0", ""]
    assert picture.count("<polyline") == 2
    assert "a&lt;b&gt;" in picture
    assert "<b>" not in picture
    assert tuning(arm("a", "glyphs", 0)) is None
