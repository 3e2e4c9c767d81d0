"""Rows: one per arm, told apart by what was run and never by what it is called."""

from dataclasses import replace

import pytest

from ledger_factory import made, measured, predicted
from transfergrid.evidence.measured import measuring
from transfergrid.evidence.measured.comparisons import over
from transfergrid.evidence.measured.measuring import measure
from transfergrid.evidence.measured.results import result_of, results_from
from transfergrid.evidence.statistics.intervals import THESE_MODELS
from transfergrid.evidence.verdicts.judging import judge
from transfergrid.records.record import Cost, Data, Flags, Scores, Seconds, Status


def seeds(n, *args, scores=None, base=None, **fields):
    return [
        made(*args, seed=s, score=scores[s] if scores else 0.8, baseline=base and base[s], **fields)
        for s in range(n)
    ]


def test_a_row_is_the_mean_and_spread_over_seeds_in_points():
    (row,) = measured(seeds(3, scores=[0.7, 0.8, 0.9]))
    assert (row.source, row.architecture, row.strategy) == (None, "small_cnn", "scratch")
    assert (row.arm_n, row.arm_mean, row.arm_sd) == pytest.approx((3, 80, 10))
    assert (row.n, row.mean) == pytest.approx((3, 80))  # compared with nothing, it has no pairs
    assert (row.baseline, row.gain, row.low, row.scope) == ("", None, None, None)


def test_one_seed_has_no_spread():
    assert measured(seeds(1))[0].arm_sd is None


def test_rows_are_ordered_by_target_labels_baseline_and_gain():
    records = []
    for labels in ("all", 20, 0, 2):
        base = seeds(2, labels=labels)
        records += base
        for strategy, score in (("worse", 0.7), ("better", 0.9)):
            records += seeds(2, strategy, "glyphs", labels=labels, scores=[score] * 2, base=base)
    rows = measured(records)
    assert [row.labels for row in rows[::3]] == [0, 2, 20, "all"]
    assert [row.strategy for row in rows[:3]] == ["scratch", "better", "worse"]
    assert [row.gain for row in rows[:3]] == [None, pytest.approx(10), pytest.approx(-10)]
    assert rows[1].baseline == "scratch"


def test_parts_that_share_a_name_keep_rows_of_their_own_under_a_digest():
    one, other = seeds(2), seeds(2)
    other = [
        replace(c, id=f"{c.seed:016x}", parts=replace(c.parts, strategy="beef00")) for c in other
    ]
    rows = measured(one + other)
    assert [row.arm_n for row in rows] == [2, 2]
    assert {row.strategy for row in rows} == {
        "scratch#beef",
        f"scratch#{one[0].parts.strategy[:4]}",
    }


def test_a_rate_of_images_and_one_of_texts_are_one_strategy():
    """Each training has its own default; what is beside it in a section is of one training."""
    images = seeds(1, target="flowers")
    texts = [
        replace(
            one,
            id=one.id[::-1],
            names=replace(one.names, training="text"),
            parts=replace(one.parts, training="feed00", strategy="beef00"),
        )
        for one in seeds(1, target="sst2")
    ]
    assert {row.strategy for row in measured(images + texts)} == {"scratch"}
    here = [
        replace(
            one,
            names=replace(one.names, target=images[0].names.target),
            parts=replace(one.parts, target=images[0].parts.target),
        )
        for one in texts
    ]
    assert len({row.strategy for row in measured(images + here)}) == 2


def test_rows_that_differ_in_training_alone_are_told_apart():
    one = seeds(1)
    other = [replace(one[0], id="0" * 16, parts=replace(one[0].parts, training="feed00"))]
    assert "scratch#feed" in {row.strategy for row in measured(one + other)}


def test_the_same_source_with_two_architectures_is_no_clash():
    rows = measured(seeds(1, "x", "s", architecture="a") + seeds(1, "x", "s", architecture="b"))
    assert [(row.source, row.architecture) for row in rows] == [("s", "a"), ("s", "b")]


def test_a_baseline_is_named_as_its_row_is():
    base = seeds(2)
    twin = [replace(base[0], id="0" * 16, parts=replace(base[0].parts, strategy="beef00"))]
    rows = measured(base + twin + seeds(2, "x", "s", base=base))
    assert rows[-1].baseline in {row.strategy for row in rows[:-1]}


def test_flags_failures_cost_and_short_classes_are_counted():
    base = seeds(3)
    arm = seeds(3, "x", "s", base=base)
    arm[0] = replace(arm[0], flags=Flags(collapsed=True), cost=Cost(seconds=Seconds(total=8.0)))
    arm[1] = replace(arm[1], data=Data(short={"b": (20, 3)}))
    arm[2] = replace(arm[2], data=Data(short={"b": (20, 2)}), flags=Flags(underfit=True))
    failed = replace(made("x", "s", seed=9, score=None), status=Status.FAILED)
    row = measured(base[:2] + arm, [failed])[-1]
    assert (row.collapsed, row.underfit, row.failed, row.unpaired) == (1, 1, 1, 1)
    assert (row.arm_n, row.n, row.seconds, row.remarks.short) == (3, 2, 4.0, {"b": (20, 2)})


def test_a_done_cell_without_a_valid_score_counts_for_nothing():
    (row,) = measured(seeds(2, scores=[0.5, None]))
    assert (row.arm_n, row.arm_mean, row.arm_sd) == (1, 50, None)


def test_an_arm_says_the_same_of_itself_judged_or_not():
    """A run without a valid score has failed; its baseline is not what is missing."""
    base = seeds(3)
    arm = seeds(3, "x", "s", scores=[0.9, 0.7, None], base=base)
    row, (verdict,) = measured(base + arm)[-1], judge(results_from(base + arm))
    assert (row.n, row.arm_n, row.failed, row.unpaired) == (2, 2, 1, 0)
    decided = {"p", "p_corrected", "detectable", "seeds_needed", "seeds_for_harm", "p_equivalent"}
    decided |= {"p_harm", "p_gain", "notes", "family_size", "seeds_needed_low", "seeds_needed_high"}
    told = verdict.as_dict()
    assert {key for key, value in row.as_dict().items() if value != told[key]} <= decided


def test_over_a_placebo_the_baseline_is_called_a_placebo():
    arm, twin = seeds(2, "x", "s", scores=[0.9, 0.8]), seeds(2, "x", "noise", scores=[0.6, 0.7])
    twin = [replace(cell, config={"source": {"_target_": "a.Placebo"}}) for cell in twin]
    results = over(results_from(arm + twin), "placebo")
    row = next(row for row in measure(results) if row.source == "s")
    assert (row.baseline, row.gain) == ("placebo", pytest.approx(20))


def test_deterministic_models_speak_of_new_test_items_alone():
    base = seeds(2, scores=[0.5, 0.5])
    arm = seeds(2, "x", "s", scores=[0.75, 0.75], base=base)
    right = {0.5: [1, 1, 0, 0], 0.75: [1, 0, 1, 1]}
    said = {cell.id: predicted(right[cell.score]) for cell in base + arm}
    assert measured(base + arm, read=said.__getitem__)[-1].scope == THESE_MODELS


@pytest.mark.parametrize(("classical", "weak"), [(0.85, True), (0.75, False)])
def test_a_baseline_that_little_learning_beats_is_marked(classical, weak):
    base = seeds(2)
    plain = seeds(2, "logistic_regression", architecture=None, scores=[classical] * 2)
    rows = measured(base + plain + seeds(2, "x", "s", scores=[0.9, 0.9], base=base))
    assert [row.weak_baseline for row in rows if row.strategy == "x"] == [weak]


def test_a_baseline_is_read_once_for_all_its_arms():
    base = seeds(2)
    arms = [cell for name in "abcd" for cell in seeds(2, name, "s", base=base)]
    asked = []

    def read(identity):
        from ledger_factory import predicted

        asked.append(identity)
        return predicted([True, False, True])

    measured(base + arms, read=read)
    assert len(asked) == len(set(asked)) == 10


def test_one_source_of_which_two_strategies_take_different_parts_keeps_its_name():
    def cell(strategy, part):
        record = made(strategy, "glyphs")
        return replace(record, parts=replace(record.parts, source=part))

    rows = measured([cell("full_finetuning", "aa01"), cell("domain_adversarial", "bb02")])
    assert [row.source for row in rows] == ["glyphs", "glyphs"]


@pytest.mark.parametrize(("now", "stale"), [("new", 1), ("", 0)])
def test_cells_run_with_other_code_are_stale_and_unknown_code_is_not(now, stale, monkeypatch):
    monkeypatch.setattr(
        measuring, "known_as", lambda path: {now} - {""} if path == "a.B" else {"?"}
    )

    def cell(seed, code):
        return replace(made(seed=seed), code=code, config={"strategy": {"_target_": "a.B"}})

    cells = [cell(0, "old"), cell(1, "new")]
    assert measured(cells)[0].stale == stale


def test_training_the_source_costs_no_arm_its_time():
    """It lands on whichever arm came first."""
    first, second = seeds(2, "x", "s")
    first = replace(first, cost=Cost(seconds=Seconds(source=50.0, total=52.0)))
    assert measured([first, second])[0].seconds == 2.0


def test_baselines_of_two_configs_are_not_averaged_the_newest_counts():
    old = [replace(cell, finished="2025-01-01T00:00:00+00:00") for cell in seeds(4)]
    new = [
        replace(
            cell,
            id=f"{cell.seed:016x}",
            parts=replace(cell.parts, strategy="beef00"),
            scores=Scores(test={"accuracy": 0.5}),
            finished="2025-01-02T00:00:00+00:00",
        )
        for cell in old
    ]
    arm = seeds(4, "x", "s", scores=[0.9] * 4, base=[old[0], old[1], old[2], new[3]])
    row = next(row for row in measured(old + new + arm) if row.strategy == "x")
    assert (row.baseline, row.arm_n, row.n, row.unpaired) == ("scratch#beef", 4, 1, 3)
    assert row.gain == pytest.approx(40)


def test_rows_of_different_trainings_are_told_apart_by_what_was_set():
    def cell(name, digest):
        record = made()
        return replace(
            record,
            id=digest * 4,
            names=replace(record.names, training=name),
            parts=replace(record.parts, training=digest),
        )

    rows = measured([cell("default", "feed"), cell("default(steps=3)", "beef")])
    assert {row.strategy for row in rows} == {"scratch default", "scratch default(steps=3)"}


def test_the_majority_is_not_flagged_for_being_the_majority():
    cells = [replace(made("majority"), flags=Flags(collapsed=True, underfit=True))]
    (row,) = measured(cells)
    assert (row.collapsed, row.underfit) == (0, 0)


def test_a_baseline_that_is_the_majority_is_not_flagged_for_it():
    flags = Flags(collapsed=True, underfit=True)
    base = replace(made("majority"), flags=flags)
    assert not result_of(base).bears_flag
    assert result_of(replace(made("scratch"), flags=flags)).bears_flag
