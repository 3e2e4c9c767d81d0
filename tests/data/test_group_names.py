"""One patient under two names may not stand on both sides."""

import json
import random

import pytest
from test_text_table import own_cache, refused, seen, some_rows, write  # noqa: F401

from transfergrid.data.group_names import named_once
from transfergrid.data.text_table import TextTable
from transfergrid.records.errors import BadInputError


def groups_in(file, **arguments):
    _, _, pool, test = seen(file, group_column="who", **arguments)
    return {g for _, _, g in pool}, {g for _, _, g in test}


def two_files(tmp_path, pool, test):
    """Write a table of each, with these groups in turn."""
    file = write(tmp_path / "a.csv", some_rows(12, who=lambda i: pool[i % len(pool)]))
    more = some_rows(12, start=12, who=lambda i: test[i % len(test)])
    return file, str(write(tmp_path / "b.csv", more))


@pytest.mark.parametrize("other", ["7.0", "7\u200b", "\ufeff7"])
def test_a_patient_under_two_spellings_is_one_in_both_files(tmp_path, other):
    file, test_file = two_files(tmp_path, ["7", "8", "9"], [other, "10"])
    told = refused("1 group of 'who' stands in both", file, test_file=test_file, group_column="who")
    assert "look the same or are one number, and are taken for one group" in told


@pytest.mark.parametrize("other", ["007", "P-7", "p07"])
def test_a_patient_under_near_names_is_for_a_person_to_judge(tmp_path, other):
    first = "7" if other.isdecimal() else "p 7"
    file, test_file = two_files(tmp_path, [first, "8", "9"], [other, "10"])
    told = {"test_file": test_file, "group_column": "who"}
    line = refused("groups of 'who' that may be one: ", file, **told)
    assert "target.alike_groups=merge (they are one group each) or keep" in line
    pool, test = groups_in(file, test_file=test_file, alike_groups="keep")
    assert first in pool
    assert other in test
    refused("1 group of 'who' stands in both the pool and test", file, **told, alike_groups="merge")


@pytest.mark.parametrize("seed", range(3))
def test_a_share_keeps_all_spellings_of_a_group_together(tmp_path, seed):
    spelled = ["{}", "{}.0", "\u200b{}"]
    rows = some_rows(60, who=lambda i: spelled[i % 3].format(i // 6))
    random.Random(seed).shuffle(rows)
    file = write(tmp_path / "t.csv", rows)
    pool, test = groups_in(file, test_split=0.2)
    assert pool | test == set(map(str, range(10)))
    assert not pool & test


def test_merged_near_names_are_one_group_and_move_the_content(tmp_path):
    file = write(tmp_path / "t.csv", some_rows(60, who=lambda i: f"{'pP'[i % 2]}{i // 6}"))
    pool, test = groups_in(file, test_split=0.2, alike_groups="merge")
    assert not {g.lower() for g in pool} & {g.lower() for g in test}
    contents = {
        TextTable(str(file), test_split=0.2, group_column="who", alike_groups=mode).content()
        for mode in ("merge", "keep")
    }
    assert len(contents) == 2


def test_where_no_name_is_doubtful_the_mode_moves_nothing(tmp_path):
    file = write(tmp_path / "t.csv", some_rows(60, who=lambda i: f"{i // 6}.0"))
    made = [
        seen(file, test_split=0.2, group_column="who", alike_groups=mode)
        for mode in ("refuse", "merge", "keep")
    ]
    assert made[0] == made[1] == made[2]
    assert {g for _, _, g in made[0][2]} <= {f"{i}.0" for i in range(10)}  # as the table has them


def test_groups_that_keep_nothing_together_and_missing_ones_are_told(tmp_path):
    alone = write(tmp_path / "t.csv", some_rows(30, who=lambda i: f"id {i * i}"))
    told = TextTable(str(alone), test_split=0.2, group_column="who").remarks()
    assert told == [f"{alone}: every row is a group of its own in 'who': it keeps nothing together"]
    rows = some_rows(30, who=lambda i: "unknown" if i < 3 else "None" if i < 9 else f"p{i // 3}")
    some = write(tmp_path / "n.csv", rows)
    (line,) = TextTable(str(some), test_split=0.2, group_column="who").remarks()
    assert line.startswith(f"{some}: group 'None' of 'who' looks like a missing value: its 6 rows")


def test_clusters_are_named_once_and_so_are_subpopulations(tmp_path):
    spelled = ["{}", "{}.0"]
    rows = some_rows(
        60, who=lambda i: spelled[i % 2].format(i // 6), site=lambda i: f"{'aA'[i % 2]}{i % 3}"
    )
    file = write(tmp_path / "t.csv", rows)
    told = {"test_split": 0.2, "group_column": "site", "cluster_column": "who"}
    refused("groups of 'site' that may be one: 'A0' and 'a0'", file, **told)
    loaded = TextTable(str(file), **told, alike_groups="merge").load()
    inside, tested = set(loaded.pool.clusters), set(loaded.test.clusters)
    assert inside | tested == set(map(str, range(10)))
    assert not inside & tested
    assert set(loaded.pool.groups) == {"A0", "A1", "A2"}
    independent = TextTable(str(file), test_split=0.2, group_column="who", cluster_column=False)
    assert set(independent.load().pool.groups) <= set(map(str, range(10)))


def test_a_cell_that_is_read_as_missing_is_quoted(tmp_path):
    file = write(tmp_path / "t.csv", some_rows(20, who=lambda i: "nan" if i == 4 else i // 4))
    refused(
        "line 6 has nothing in column 'who' \\('nan' is read as a missing value\\)",
        file,
        test_split=0.2,
        group_column="who",
    )


def test_an_unknown_mode_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="did you mean merge"):
        named_once(["a"], "who", "merg")


def test_a_split_to_test_on_may_have_no_twin_in_the_pool(tmp_path):
    parts = ["train", "train", "dev", "Dev"]
    file = write(tmp_path / "t.csv", some_rows(20, split=lambda i: parts[i // 2 % 4]))
    refused("has splits 'dev' and 'Dev'", file, split_column="split", test_split="dev")
    spelled = {"train": "Train", "dev": "training", "Dev": "TEST"}
    rows = some_rows(20, split=lambda i: spelled[parts[i // 2 % 4]])
    _, _, pool, test = seen(write(tmp_path / "s.csv", rows), split_column="split")
    assert (len(pool), len(test)) == (16, 4)


def test_huggingface_groups_are_named_once_too(tmp_path):
    datasets = pytest.importorskip("datasets")
    from transfergrid.data.huggingface import HuggingFaceText

    def split(rows):
        return datasets.Dataset.from_list(json.loads(json.dumps(rows)))

    rows = some_rows(12, who=lambda i: f"P{i % 3}")
    more = some_rows(6, start=12, who=lambda i: f"p{i % 3}")
    both = datasets.DatasetDict({"train": split(rows), "test": split(more)})
    both.save_to_disk(tmp_path / "d")
    told = {"folder": str(tmp_path / "d"), "group_column": "who"}
    with pytest.raises(BadInputError, match="groups of 'who' that may be one: 'P0' and 'p0'"):
        HuggingFaceText(**told).check()
    assert HuggingFaceText(**told, alike_groups="keep").outline().test == (3, 3)
