"""Results made elsewhere are judged by the same rule; what a table leaves open is told."""

import csv
import io
import json

import numpy as np
import pytest
from scipy.stats import ttest_rel

from transfergrid.evidence.foreign import judge_table, read_foreign, verdicts
from transfergrid.evidence.foreign.columns import TableColumns, renamed
from transfergrid.evidence.foreign.files import read_table
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import COLUMNS
from transfergrid.records.errors import BadInputError

FIELDS = ("source", "architecture", "strategy", "target", "labels", "seed", "score")
BASE = (0.81, 0.79, 0.84, 0.80, 0.83)
BETTER = (0.90, 0.89, 0.925, 0.885, 0.93)


def run(strategy="scratch", seed=0, score=0.8, source="", architecture="cnn", **changes):
    row = dict(
        zip(FIELDS, (source, architecture, strategy, "digits", 20, seed, score), strict=True)
    )
    return {**row, **changes}


def runs(strategy, scores, **changes):
    return [run(strategy, seed, score, **changes) for seed, score in enumerate(scores)]


TABLE = [*runs("scratch", BASE), *runs("finetune", BETTER, source="net")]


def columns(rows):
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row[name] for row in rows] for name in names}


def without(rows, *names):
    return columns([{k: v for k, v in row.items() if k not in names} for row in rows])


def written(tmp_path, rows, name="table.csv", delimiter=","):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / name).write_text(out.getvalue(), encoding="utf-8")
    return tmp_path / name


def test_the_gain_is_the_paired_t_test_of_the_seeds():
    (row,) = verdicts(columns(TABLE))
    expected = ttest_rel(BETTER, BASE)
    low, high = expected.confidence_interval()
    assert row["gain"] == pytest.approx(100 * np.mean(np.subtract(BETTER, BASE)))
    assert (row["low"], row["high"]) == pytest.approx((100 * low, 100 * high))
    assert row["p"] == pytest.approx(expected.pvalue)
    assert (row["verdict"], row["n"], row["baseline"]) == ("positive", 5, "scratch")
    assert tuple(row)[:16] == COLUMNS


def test_without_predictions_it_speaks_of_this_test_set_and_says_so():
    (row,) = verdicts(columns(TABLE))
    assert row["scope"] == "this test set"
    assert any("this test set" in note for note in row["notes"])


@pytest.mark.parametrize("metric", ["score", "accuracy"])
def test_shares_read_as_100_points_and_other_scores_as_they_are(metric):
    shares = verdicts(columns(TABLE), metric=metric)[0]
    hundreds = [{**row, "score": 100 * row["score"]} for row in TABLE]
    same = verdicts(columns(hundreds), metric=metric)[0]
    for key in ("gain", "low", "high", "p", "mean", "baseline_mean", "detectable"):
        assert shares[key] == pytest.approx(same[key])
    assert "scores up to 1 are read as 100 points" in shares["notes"]
    assert "scores are read as points" in same["notes"]


def test_each_target_is_read_on_its_own_scale():
    per_cent = [{**row, "target": "letters", "score": 100 * row["score"]} for row in TABLE]
    rows = {row["target"]: row for row in verdicts(columns([*TABLE, *per_cent]))}
    for key in ("gain", "low", "high", "p", "mean", "verdict"):
        assert rows["digits"][key] == pytest.approx(rows["letters"][key])
    told = "scores up to 1 are read as 100 points on digits, as points on the other targets"
    assert told in rows["letters"]["notes"]


def of_arms(**scores):
    return columns([row for name, found in scores.items() for row in runs(name, found)])


def test_a_target_whose_arms_are_on_two_scales_is_refused():
    with pytest.raises(BadInputError) as caught:
        verdicts(of_arms(scratch=[60.0, 62.0], finetune=[0.8, 0.82]))
    told = "row 2: on digits, a score of 0.8 stands beside 60 (row 0): give all as shares of 1"
    assert told in str(caught.value)
    with pytest.raises(BadInputError, match="or all in per cent"):
        verdicts(of_arms(scratch=[0.6, 0.0], finetune=[80.0, None]), metric="accuracy")


@pytest.mark.parametrize(
    "scores",
    [
        {"scratch": [0.9, 1.3], "finetune": [0.8, 1.1]},  # a loss
        {"scratch": [0.5, 0.6], "finetune": [300.0, 250.0]},  # a reward
        {"scratch": [-0.5, 0.6], "finetune": [50.0, 60.0]},
        {"scratch": [52.0, 60.0], "finetune": [80.0, 0.5]},  # one that collapsed
    ],
)
def test_low_scores_that_may_be_points_are_read_as_such(scores):
    rows = verdicts(of_arms(**scores))
    assert rows[0]["baseline_mean"] == pytest.approx(np.mean(scores["scratch"]))
    assert "scores are read as points" in rows[0]["notes"]


@pytest.mark.parametrize(
    "scores",
    [
        {"scratch": [0.2, 0.1], "finetune": [80.0, 85.0]},  # chance in per cent, or shares
        {"scratch": [52.0, 60.0], "finetune": [80.0, 85.0], "majority": [0.5, 0.5]},
        {"scratch": [0.5, 0.9], "finetune": [3.0, 5.0], "lora": [60.0, 70.0]},
        {"scratch": [0.5, 0.9], "finetune": [0.8, 0.7], "majority": [9.0, 9.0]},
    ],
)
def test_low_arms_that_may_be_shares_are_refused_until_the_unit_is_said(scores):
    with pytest.raises(BadInputError, match=r"--unit percent if they are"):
        verdicts(of_arms(**scores))
    rows = verdicts(of_arms(**scores), unit="percent")
    assert rows[0]["baseline_mean"] == pytest.approx(np.mean(scores["scratch"]))


def test_an_honestly_low_arm_does_not_hide_that_units_are_mixed():
    per_cent = [70.1, 69.8, 70.6, 70.3, 70.4]
    shares = [0.756, 0.752, 0.761, 0.758, 0.755]  # 5.4 points better, and not 69.6 worse
    low = [11.0, 12.0, 10.5, 11.5, 11.2]
    with pytest.raises(BadInputError, match=r"a score of 0\.756 stands beside 70\.1 \(row 0\)"):
        verdicts(of_arms(scratch=per_cent, finetune=shares, lora=low))
    slip = [70.1, 69.8, 0.706, 70.3, 70.4]
    with pytest.raises(BadInputError, match=r"a score of 0\.706 stands beside"):
        verdicts(of_arms(scratch=slip, finetune=[75.0, 76.0, 75.0, 75.0, 77.0]))


def test_the_unit_that_is_said_decides_and_must_be_possible():
    error = of_arms(scratch=[0.8, 0.9, 0.7], finetune=[0.5, 0.6, 0.4])  # per cent of errors
    with pytest.raises(BadInputError, match=r"0.4 to 0.9, may be shares of 1, per cent or losses"):
        verdicts(error, lower_is_better=True)
    gains = {u: verdicts(error, unit=u, lower_is_better=True)[0]["gain"] for u in
             ("percent", "share", "plain")}  # fmt: skip
    assert gains == pytest.approx({"percent": 0.3, "share": 30.0, "plain": 0.3})
    both = verdicts(error, unit={"digits": "share"}, lower_is_better=True)
    assert both[0]["gain"] == pytest.approx(30)
    with pytest.raises(BadInputError, match=r"row 0: 60 is no share \(--unit share\)"):
        verdicts(of_arms(scratch=[60.0], finetune=[70.0]), unit="share")
    with pytest.raises(BadInputError, match="digitz=share: no such target"):
        verdicts(error, unit={"digitz": "share"})
    with pytest.raises(BadInputError, match="percentage"):
        verdicts(error, unit="percentage")


def test_a_sign_of_per_cent_is_a_unit():
    said = of_arms(scratch=["0.8%", "0.9 %"], finetune=["0.5%", "0.4%"])
    assert verdicts(said, lower_is_better=True)[0]["gain"] == pytest.approx(0.4)
    with pytest.raises(BadInputError, match="stand beside others with %"):
        verdicts(of_arms(scratch=["0.8%", "0.9%"], finetune=[0.5, 0.4]))


def test_where_lower_is_better_a_lower_score_is_a_gain():
    up, down = (
        verdicts(columns(TABLE), lower_is_better=low, unit="share")[0] for low in (False, True)
    )
    assert down["gain"] == -up["gain"]
    assert (up["verdict"], down["verdict"]) == ("positive", "negative")


def test_scratch_is_the_baseline_whatever_its_source_but_of_its_own_architecture():
    other = runs("scratch", BETTER, source="any", architecture="vit")
    arms = runs("finetune", BETTER, source="net", architecture="vit")
    by = {row["architecture"]: row for row in verdicts(columns([*TABLE, *other, *arms]))}
    assert by["vit"]["gain"] == 0
    assert by["cnn"]["gain"] == pytest.approx(9.2)
    assert len(by) == 2


def test_without_an_architecture_column_target_labels_and_seed_decide():
    (row,) = verdicts(without(TABLE, "architecture"))
    assert row["n"] == 5
    assert any("no column architecture" in note for note in row["notes"])


def test_without_a_source_column_every_other_strategy_is_transfer():
    (row,) = verdicts(without(TABLE, "source", "labels"))
    assert (row["kind"], row["labels"]) == ("transfer", "all")
    assert any("no column source" in note for note in row["notes"])
    assert any("no column labels" in note for note in row["notes"])


def test_an_arm_without_a_source_is_a_control_and_classical_learners_are_no_arms():
    extra = [*runs("scratch_converged", BETTER), *runs("logistic_regression", BETTER)]
    rows = verdicts(columns([*TABLE, *extra]))
    assert [(row["strategy"], row["kind"]) for row in rows] == (
        [("finetune", "transfer"), ("scratch_converged", "control")]
    )
    assert all(row["weak_baseline"] for row in rows)


def test_copies_of_a_baseline_beside_each_source_count_once():
    copied = [{**row, "source": source} for source in "ab" for row in TABLE[:5]]
    (row,) = verdicts(columns([*copied, *TABLE[5:]]))
    assert (row["n"], row["gain"]) == (5, pytest.approx(9.2))


def test_several_baselines_in_a_block_are_matched_by_source():
    rows = [
        *runs("scratch", BASE, source="a"),
        *runs("scratch", BETTER, source="b"),
        *runs("finetune", BETTER, source="a"),
        *runs("finetune", BETTER, source="b"),
    ]
    found = {row["source"]: row for row in verdicts(columns(rows))}
    assert found["a"]["gain"] == pytest.approx(9.2)
    assert found["b"]["gain"] == 0
    assert any("compared with its source's" in note for note in found["a"]["notes"])
    stray = [*rows, run("finetune", 0, 0.9, source="c")]
    with pytest.raises(BadInputError, match=r"row 20: c cnn .*rows \(row 0 and row 5\)"):
        verdicts(columns(stray))


@pytest.mark.parametrize(
    "blank", ["", "nan", "NaN", None, float("nan"), "inf", float("-inf"), "NA"]
)
def test_a_blank_or_infinite_score_is_a_failed_run(blank):
    rows = [dict(row) for row in TABLE]
    rows[-1]["score"] = blank
    (row,) = verdicts(columns(rows))
    assert (row["n"], row["failed"], row["unpaired"]) == (4, 1, 0)
    assert "1 run failed and left out" in row["notes"]


def test_a_failed_or_missing_baseline_leaves_its_seed_unpaired():
    failed = [{**row, "score": None} if row is TABLE[0] else row for row in TABLE]
    for rows in (failed, TABLE[1:]):
        (row,) = verdicts(columns(rows))
        assert (row["n"], row["unpaired"], row["failed"]) == (4, 1, 0)


def test_placebos_stay_out_of_the_family():
    extra = runs("finetune", BASE[::-1], source="placebo_net")
    rows = verdicts(columns([*TABLE, *extra]), placebos=["placebo_*"])
    assert [(row["kind"], row["family_size"]) for row in rows] == [("transfer", 1), ("placebo", 1)]
    with pytest.raises(BadInputError, match="did you mean placebo_net"):
        verdicts(columns([*TABLE, *extra]), placebos=["placebo_nets"])


def test_families_are_corrected_as_elsewhere():
    many = [*TABLE, *runs("lora", BETTER[::-1], source="net")]
    rows = verdicts(columns(many))
    assert {row["family_size"] for row in rows} == {2}
    p = sorted(row["p"] for row in rows)
    assert sorted(row["p_corrected"] for row in rows) == pytest.approx(
        [2 * p[0], max(2 * p[0], p[1])]
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (run(seed=0), "row 10 is the same run as row 0: cnn scratch on digits, labels=20, seed=0"),
        (run("finetune", 9, "n.a!", source="net"), "row 10: the score 'n.a!' is no number"),
        (
            run("finetune", 9, "0,9", source="net"),
            "row 10: the score '0,9' is no number: write the decimal comma",
        ),
        (run("finetune", 9, labels="some"), "row 10: labels must be a whole number or all"),
        (run("finetune", 9, labels=-1), "row 10: labels must be a whole number or all"),
        (run("finetune", ""), "row 10 has no seed"),
        (run("", 9), "row 10 has no strategy"),
        (run("finetune", 9, target=None), "row 10 has no target"),
    ],
)
def test_a_row_that_makes_no_sense_is_named(row, said):
    with pytest.raises(BadInputError) as caught:
        verdicts(columns([*TABLE, row]))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_column_names_the_nearest_and_those_there_are():
    table = columns(TABLE)
    table["scores"] = table.pop("score")
    with pytest.raises(BadInputError, match=r"no column 'score'; did you mean scores\? \(it has"):
        verdicts(table)
    assert verdicts(table, score="scores")[0]["n"] == 5
    with pytest.raises(BadInputError, match="no column 'arch'"):
        verdicts(columns(TABLE), architecture="arch")
    with pytest.raises(BadInputError, match="unknown argument 'scor'; did you mean score"):
        verdicts(columns(TABLE), scor="scores")


def test_no_baseline_and_nothing_in_common_are_refused():
    with pytest.raises(BadInputError, match="no row has strategy 'scratch'; there is finetune"):
        verdicts(columns(TABLE[5:]))
    with pytest.raises(BadInputError, match="did you mean scratch"):
        verdicts(columns(TABLE), baseline="scrach")
    apart = [*TABLE[:5], *runs("finetune", BETTER, source="net", architecture="vit")]
    with pytest.raises(BadInputError, match="nothing to compare: no row has architecture, target"):
        verdicts(columns(apart))


def test_labels_and_seeds_are_read_as_people_write_them():
    rows = [{**row, "labels": "ALL", "seed": f"fold{row['seed']}"} for row in TABLE]
    (row,) = verdicts(columns(rows))
    assert (row["labels"], row["n"], row["seeds"]) == ("all", 5, [0, 1, 2, 3, 4])
    assert "seeds are names, numbered in their order" in row["notes"]
    floats = [{**row, "labels": "20.0", "seed": float(row["seed"])} for row in TABLE]
    assert verdicts(columns(floats))[0]["labels"] == 20


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("t.csv", ","), ("t.csv", ";"), ("t.csv", "\t"), ("t.tsv", "\t")],
)
def test_delimited_files_say_the_same_as_columns(tmp_path, name, delimiter):
    rows = [{**row, "note": 'a, "b"; c'} for row in TABLE]
    (found,) = verdicts(written(tmp_path, rows, name, delimiter))
    assert found == verdicts(columns(TABLE))[0]


def test_other_files_say_the_same_as_columns(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.Table.from_pylist(TABLE), tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in TABLE))
    (tmp_path / "t.json").write_text(json.dumps(TABLE, indent=1))
    for name in ("t.parquet", "t.jsonl", "t.json"):
        assert verdicts(tmp_path / name) == verdicts(columns(TABLE))


def test_errors_in_a_file_name_its_line(tmp_path):
    bad = [*TABLE, run("finetune", 9, "x", source='a\n"b"')]
    with pytest.raises(BadInputError, match=r"table.csv: line 12: the score 'x'"):
        verdicts(written(tmp_path, bad))
    (tmp_path / "latin.csv").write_bytes("strategy,score\nä,1\n".encode("latin-1"))
    with pytest.raises(BadInputError, match=r"line 2 has bytes that are no utf-8 .*save it"):
        read_table(tmp_path / "latin.csv")
    with pytest.raises(BadInputError, match=r"no table that can be read; there is \.csv"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "wide.csv").write_bytes("strategy,score\n".encode("utf-16-le"))
    with pytest.raises(BadInputError, match=r"save it as UTF-8 \(it looks like utf-16-le\)$"):
        read_table(tmp_path / "wide.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(BadInputError, match="is empty"):
        read_table(tmp_path / "empty.csv")


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_frame_comes_back_as_a_frame_of_its_library(library):
    module = pytest.importorskip(library)
    rows = [{**row, "score": None if i == 9 else row["score"]} for i, row in enumerate(TABLE)]
    table = columns(rows)
    frame = module.table(table) if library == "pyarrow" else module.DataFrame(table)
    found = verdicts(frame)
    assert type(found) is type(frame)
    to_list = {"pandas": "tolist", "polars": "to_list", "pyarrow": "to_pylist"}[library]
    (expected,) = verdicts(table)
    for name in ("source", "labels", "n", "gain", "p", "verdict"):
        assert getattr(found[name], to_list)() == [expected[name]]
    assert list(getattr(found["notes"], to_list)()[0]) == expected["notes"]


def test_a_frame_of_several_budgets_has_one_type_of_labels():
    pandas = pytest.importorskip("pandas")
    rows = [*TABLE, *({**row, "labels": "all"} for row in TABLE)]
    found = verdicts(pandas.DataFrame(columns(rows)))
    assert found["labels"].tolist() == ["20", "all"]


def test_what_is_no_frame_is_refused():
    with pytest.raises(BadInputError, match="int is no data frame"):
        verdicts(3)


def test_the_results_are_what_is_judged():
    table = read_foreign(columns(TABLE))
    assert len(table.results) == 10
    (verdict,) = judge_table(table)
    assert verdict.verdict is Kind.POSITIVE
    assert set(table.notes) < set(verdict.notes)


def test_columns_are_renamed_by_pairs():
    assert renamed(["score=acc", "seed=fold"]) == {"score": "acc", "seed": "fold"}
    assert TableColumns(**renamed(["score=acc"])).score == "acc"
    with pytest.raises(BadInputError, match="did you mean score"):
        renamed(["scor=acc"])
    with pytest.raises(BadInputError, match="score=NAME"):
        renamed(["score"])


def test_parts_of_a_whole_have_a_unit_and_points_of_unknown_kind_none():
    shares = of_arms(scratch=[0.61, 0.72], finetune=[0.8, 0.71])
    points = {**shares, "score": [100 * score for score in shares["score"]]}
    units = [verdicts(shares), verdicts(points), verdicts(points, unit="percent")]
    assert [rows[0]["unit"] for rows in units] == ["%", "", "%"]
    written = {**points, "score": [f"{score:.0f}%" for score in points["score"]]}
    assert verdicts(written)[0]["unit"] == "%"
