"""Tables as people and papers have them: wide, with two rows of headings, without seeds."""

import io
import sys

import pytest

from transfergrid.evidence.foreign import verdicts
from transfergrid.evidence.foreign.columns import Wide
from transfergrid.evidence.foreign.files import read_table
from transfergrid.records.errors import BadInputError

SCRATCH = {"digits": (70.1, 71.0, 70.5), "letters": (60.2, 61.1, 59.9)}
FINETUNE = {"digits": (75.2, 76.0, 74.9), "letters": (58.0, 57.9, 57.7)}
ARMS = {"scratch": SCRATCH, "ft": FINETUNE}
GAINS = {"digits": 14.5 / 3, "letters": -7.6 / 3}


def said(rows):
    """Return gains by target."""
    return {row["target"]: row["gain"] for row in rows}


def test_headings_may_name_the_target():
    table = {"strategy": [], "seed": [], "digits": [], "letters": []}
    for name, scores in ARMS.items():
        for seed in range(3):
            for column, value in (("strategy", name), ("seed", seed)):
                table[column].append(value)
            for target in ("digits", "letters"):
                table[target].append(scores[target][seed])
    rows = verdicts(table, wide="target")
    assert said(rows) == pytest.approx(GAINS)
    assert "columns read as target: digits, letters" in rows[0]["notes"]
    with pytest.raises(BadInputError, match=r"--wide target if each has a column .*, --fill"):
        verdicts(table)
    summed = {**table, "Average": [65.0] * 6}
    with pytest.raises(BadInputError, match=r"'Average' does not look like a target: --wide targ"):
        verdicts(summed, wide="target")
    papers = {"Method" if name == "strategy" else name: held for name, held in summed.items()}
    with pytest.raises(BadInputError, match=r"--column strategy=NAME names it; --wide strategy if"):
        verdicts(papers, wide="target=digits,letters")
    with pytest.raises(BadInputError, match=r"'Method' does .*: --wide target=digits,letters nam"):
        verdicts(papers, wide="target")  # the advice leaves out the average as well
    assert said(verdicts(summed, wide="target=dig*,letters")) == pytest.approx(GAINS)
    blank = {**table, "letters": ["–", *table["letters"][1:]]}
    lines = {row["target"]: row for row in verdicts(blank, wide="target")}
    assert (lines["letters"]["n"], lines["letters"]["failed"]) == (2, 0)  # not run, not failed


def test_headings_may_name_the_seed_or_the_strategy():
    by_seed = {"strategy": ["scratch", "ft"], "target": ["digits"] * 2}
    by_seed |= {f"run{i}": [SCRATCH["digits"][i], FINETUNE["digits"][i]] for i in range(3)}
    assert said(verdicts(by_seed, wide="seed=run*")) == pytest.approx({"digits": GAINS["digits"]})
    by_strategy = {"seed": [0, 1, 2], "scratch": SCRATCH["digits"], "ft": FINETUNE["digits"]}
    rows = verdicts(by_strategy, wide="strategy", fill={"target": "digits"})
    assert said(rows) == pytest.approx({"digits": GAINS["digits"]})
    with pytest.raises(BadInputError, match="--fill seed=0: the table has a column 'seed'"):
        verdicts(by_strategy, wide="strategy", fill={"target": "digits", "seed": 0})


TWO_ROWS = {
    "merged.csv": "strategy,digits,,,letters,,\n,0,1,2,0,1,2\n",
    "repeated.csv": ",digits,digits,digits,letters,letters,letters\nstrategy,0,1,2,0,1,2\n",
    "pandas.csv": "target,digits,digits,digits,letters,letters,letters\n"
    "seed,0,1,2,0,1,2\nstrategy,,,,,,\n",
}


@pytest.mark.parametrize("name", TWO_ROWS)
def test_two_rows_of_headings_are_read_where_they_are_told_of(name, tmp_path):
    rows = [f"{n},{','.join(map(str, (*s['digits'], *s['letters'])))}\n" for n, s in ARMS.items()]
    (tmp_path / name).write_text(TWO_ROWS[name] + "".join(rows))
    assert said(verdicts(tmp_path / name, wide="target,seed")) == pytest.approx(GAINS)
    with pytest.raises(BadInputError, match=r"--wide target,seed|has no column 'strategy'"):
        verdicts(tmp_path / name)


def test_a_paper_s_table_is_judged_over_its_targets(tmp_path, monkeypatch):
    text = (
        "Table 3: results\n\n| Method | CIFAR | Pets | Cars |\n|---|:-:|--:|---|\n"
        "| Random init | 71.2 ± 0.4 | 60.1 ± .5 | 40.2 ± 1.1 |\n"
        "| **Ours** | **75.0 ± 0.3** | 66.2 (0.4) | 49.7 +- 0.9 |\n"
    )
    (tmp_path / "paper.md").write_text(text)
    how = {"strategy": "Method", "baseline": "Random init", "wide": "target", "block": "target"}
    with pytest.raises(BadInputError, match=r"line 5: the score '71.2 ± 0.4' is a mean .*--means"):
        verdicts(tmp_path / "paper.md", **how)
    (row,) = verdicts(tmp_path / "paper.md", **how, means=True)
    assert row["gain"] == pytest.approx((3.8 + 6.1 + 9.5) / 3)
    assert (row["n"], row["block"], row["scope"]) == (3, "target", "targets")
    assert "3 targets are too few to speak of others" in row["notes"]
    assert not any("this test set" in note for note in row["notes"])
    stream = io.TextIOWrapper(io.BytesIO(text[text.index("|") :].encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    assert verdicts("-", **how, means=True) == [row]


def test_blocks_may_be_tasks_and_a_full_budget_is_all():
    tasks = "abcde"
    table = {
        "strategy": ["scratch"] * 5 + ["ft"] * 5,
        "target": ["vtab"] * 10,
        "labels": ["full"] * 10,
        "task": list(tasks * 2),
        "score": [70, 60, 50, 40, 30, 74, 66, 55, 45, 35],
    }
    with pytest.raises(BadInputError, match=r"no column 'seed'.*--block COLUMN .*--fill seed=0"):
        verdicts(table)
    (row,) = verdicts(table, block="task")
    assert (row["n"], row["gain"], row["labels"]) == (5, pytest.approx(5), "all")
    assert {"labels full read as all", "blocks are the values of task"} < set(row["notes"])
    assert "as sure as these tasks are drawn from those that are meant" in row["notes"]


@pytest.mark.parametrize(
    ("written", "are", "read"),
    [
        ("200", "total", 200),
        ("10%", "percent", 10),
        ("100 %", "percent", "all"),
        (100, "percent", "all"),
    ],
)
def test_a_number_of_labels_counts_what_is_said(written, are, read):
    table = {"strategy": ["scratch", "ft"], "target": ["t"] * 2, "seed": [0, 0]}
    table |= {"score": [70, 71], "labels": [written] * 2}
    (row,) = verdicts(table, labels_are=are)
    assert (row["labels"], row["labels_are"]) == (read, are)


def test_a_share_of_the_labels_is_no_number_a_class():
    table = {"strategy": ["scratch"], "target": ["t"], "seed": [0], "score": [1], "labels": ["10%"]}
    with pytest.raises(BadInputError, match="'10%' are a share of all: --labels-are percent"):
        verdicts(table)
    with pytest.raises(BadInputError, match="totals"):
        verdicts(table, labels_are="totals")


def test_large_seeds_stay_apart():
    table = {"strategy": ["scratch", "ft"] * 2, "target": ["t"] * 4, "score": [70, 71, 70, 73]}
    table["seed"] = ["9007199254740992"] * 2 + ["9007199254740993"] * 2  # one float for both
    assert verdicts(table)[0]["n"] == 2


def test_what_is_no_table_of_columns_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "t.csv").write_text("Method & A & B \\\\\nours & 1 & 2 \\\\\n")
    with pytest.raises(BadInputError, match="has one column, 'Method & A & B"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("strategy,a,a\nscratch,1,2\n")
    with pytest.raises(BadInputError, match="more than one column 'a'; two rows of headings"):
        read_table(tmp_path / "t.csv")
    for text in ("score", "target,target", "budget"):
        with pytest.raises(BadInputError, match="--wide"):
            Wide.parse(text)


def test_a_column_that_the_headings_would_name_is_refused():
    table = {"strategy": ["scratch", "ft"], "seed": [0, 0], "digits": [70, 71]}
    for column in ("target", "score"):
        with pytest.raises(BadInputError, match=f"has a column '{column}': --wide target is for"):
            verdicts({**table, column: [1, 2]}, wide="target")


def test_a_sheet_is_to_be_saved_as_csv(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(BadInputError, match=r"a \.xlsx file is no table of text; save it as CSV"):
        read_table(tmp_path / "t.xlsx")


def test_names_that_look_alike_are_one_and_those_that_nearly_do_are_named():
    table = {"target": ["t"] * 6, "seed": [0, 1] * 3, "score": [70, 71, 75, 76, 77, 79]}
    unseen = ["scratch", "scratch\u200b", "ft", "ft ", "lora", "lora"]
    assert [row["n"] for row in verdicts({**table, "strategy": unseen})] == [2, 2]
    near = ["scratch"] * 2 + ["LoRA"] * 2 + ["lora"] * 2
    rows = verdicts({**table, "strategy": near})
    assert len(rows) == 2
    assert "strategies 'LoRA' and 'lora' are taken for different ones" in rows[0]["notes"]


def test_notes_speak_of_the_blocks_and_not_of_seeds():
    table = {"strategy": ["scratch"] * 3 + ["ft"] * 3, "target": ["t"] * 6}
    table |= {"task": list("abc") * 2, "score": [70, 60, 50, 74, 66, 55]}
    (row,) = verdicts(table, block="task")
    assert not any("seed" in note for note in row["notes"])
    assert any("bad tasks up to 63 %" in note for note in row["notes"])  # 1 - .05 ** (1 / 3)


def test_headings_of_a_data_frame_may_be_numbers_or_several_levels():
    pandas = pytest.importorskip("pandas")
    rows = [
        (name, target, seed, score)
        for name, scores in ARMS.items()
        for target, of_target in scores.items()
        for seed, score in enumerate(of_target)
    ]
    long = pandas.DataFrame(rows, columns=["strategy", "target", "seed", "score"])
    wide = long.pivot(index="strategy", columns=["target", "seed"], values="score")
    for level in (0, 1):  # "strategy" above a blank, or as a file has it: below one
        read = verdicts(wide.reset_index(col_level=level), wide="target,seed")
        assert dict(zip(read["target"], read["gain"], strict=True)) == pytest.approx(GAINS)
    by_seed = long.pivot(index=["strategy", "target"], columns="seed", values="score").reset_index()
    read = verdicts(by_seed, wide="seed")
    assert dict(zip(read["target"], read["gain"], strict=True)) == pytest.approx(GAINS)


FEW = {"strategy": ["scratch", "ft"], "target": ["t"] * 2, "seed": [0, 0], "score": [70, 71]}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seed": [0]}, "as many rows as each other: 'score' has 2, 'seed' has 1"),
        ({"seed": 0}, "column 'seed' must be a list, not 0"),
        ({"seed": "01"}, "column 'seed' must be a list, not '01'"),
        ({1: [1, 2], "1": [1, 2]}, "more than one column '1'"),
    ],
)
def test_columns_that_make_no_table_are_refused(changed, told):
    with pytest.raises(BadInputError, match=told):
        verdicts({**FEW, **changed})


def test_a_data_frame_has_each_column_once():
    pandas = pytest.importorskip("pandas")
    twice = pandas.DataFrame([["scratch", "t", 0, 70, 71]], columns=[*FEW, "score"])
    with pytest.raises(BadInputError, match="more than one column of a name: 'score' 2 times"):
        verdicts(twice)
