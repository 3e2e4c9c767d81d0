import csv
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from transfergrid.data.content_splits import share_of_groups
from transfergrid.data.text_table import TextTable
from transfergrid.records.errors import BadInputError
from transfergrid.records.identity import config_digest

SHARED = Path(__file__).parents[3] / "shared" / "data" / "text"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


def write(file, rows):
    """Write rows (dicts) in the format that the file's ending names."""
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if file.suffix == ".parquet":
        table = {name: [row.get(name) for row in rows] for name in columns}
        parquet.write_table(pa.table(table), file)
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif file.suffix == ".json":
        file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    else:
        with file.open("w", newline="", encoding="utf-8") as stream:
            delimiter = "\t" if file.suffix == ".tsv" else ","
            writer = csv.DictWriter(stream, columns, delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    return file


def some_rows(n=20, n_classes=2, start=0, **more):
    """Return `n` rows, all different, of each class in turn; `more` maps columns to functions."""
    told = [{"text": f"text number {i}", "label": i % n_classes} for i in range(start, start + n)]
    return [{**row, **{k: value(i) for k, value in more.items()}} for i, row in enumerate(told)]


def refused(message, file, **arguments):
    with pytest.raises(BadInputError, match=message) as caught:
        TextTable(str(file), **arguments).check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows_of(examples, domain):
    """Return each example as (text, class, group)."""
    texts = examples.read(np.arange(len(examples)))
    groups = [None] * len(texts) if examples.groups is None else examples.groups.tolist()
    names = [domain.classes[c] for c in examples.labels]
    return list(zip(texts, names, groups, strict=True))


def seen(file, **arguments):
    """Return all that a cell sees of a table: content, and both splits row by row."""
    domain = TextTable(str(file), **arguments)
    domain.check()
    loaded = domain.load()
    assert loaded.classes == domain.classes
    splits = [rows_of(part, domain) for part in (loaded.pool, loaded.test)]
    return domain.content(), domain.classes, *splits


# What a table holds is what it is ----------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_format_order_and_place_move_nothing(tmp_path, ending):
    rows = some_rows(group=lambda i: f"g{i % 7}")
    rows[0]["text"] = 'says "no",\tor\nnothing: é 漢'
    layouts = [{"test_split": 0.25}, {"test_split": 0.25, "group_column": "group"}]
    first = [seen(write(tmp_path / "first.jsonl", rows), **layout) for layout in layouts]
    random.Random(0).shuffle(rows)
    file = write(tmp_path / "sub" / f"other.{ending}", rows)
    assert [seen(file, **layout) for layout in layouts] == first


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(st.text("ab c", min_size=1).filter(str.strip), min_size=6, max_size=12),
    share=st.floats(0.1, 0.6),
    order=st.randoms(use_true_random=False),
)
def test_any_texts_copies_among_them_are_split_alike_in_any_order(tmp_path, texts, share, order):
    rows = [{"text": text, "label": i % 2} for i, text in enumerate(texts)]
    first = seen(write(tmp_path / "t.jsonl", rows), test_split=share)
    order.shuffle(rows)
    assert seen(write(tmp_path / "t.csv", rows), test_split=share) == first
    assert sorted(first[2] + first[3]) == sorted((r["text"], str(r["label"]), None) for r in rows)


def test_the_same_splits_are_one_content_in_every_layout(tmp_path):
    rows = some_rows(12, split=lambda i: ["train", "train", "Val", "test"][i // 3])
    column = write(tmp_path / "whole.csv", rows)
    for name, start, end in (("train", 0, 6), ("dev", 6, 9), ("test", 9, 12)):
        write(tmp_path / "folder" / f"{name}.jsonl", rows[start:end])
    (tmp_path / "folder" / "readme.json").write_text("no table, and no split")
    folder = tmp_path / "folder"
    files = {"test_file": str(folder / "test.jsonl"), "validation_file": str(folder / "dev.jsonl")}
    first = seen(column, split_column="split")
    assert seen(folder) == first
    assert seen(folder / "train.jsonl", **files) == first
    assert (len(first[2]), len(first[3])) == (9, 3)
    loaded = TextTable(str(folder)).load()
    assert loaded.notes["ignored_splits"] == ["readme"]


def test_shards_of_a_split_are_one_split(tmp_path):
    rows = some_rows(12)
    whole, shards = tmp_path / "whole", tmp_path / "shards"
    for name, start, end in (("train", 0, 8), ("test", 8, 12)):
        write(whole / f"{name}.csv", rows[start:end])
        for part, at in enumerate(range(start, end, 4)):
            write(shards / f"{name}-{part:05}-of-00002.parquet", rows[at : at + 4])
    assert seen(shards) == seen(whole)


def test_whatever_a_cell_sees_moves_the_content(tmp_path):
    def content(rows, **arguments):
        file = write(tmp_path / "t.jsonl", rows)
        return TextTable(str(file), test_split=0.25, **arguments).content()

    rows = some_rows(group=lambda i: f"g{i % 5}")
    told = {
        content(rows),
        content(rows[:-1]),
        content([*rows, rows[0]]),
        content([{**rows[0], "text": "another"}, *rows[1:]]),
        content([{**rows[0], "label": 1}, *rows[1:]]),
        content(rows, group_column="group"),
        content(rows, class_names=["no", "yes"]),
        content([{**row, "second": "x"} for row in rows], pair="second"),
    }
    assert len(told) == 8
    assert content([{**row, "note": i} for i, row in enumerate(rows)]) in told


def test_a_column_of_groups_or_names_of_classes_do_not_move_the_order(tmp_path):
    rows = some_rows(group=lambda i: f"g{i}", split=lambda i: ["train", "test"][i % 5 == 0])
    file = write(tmp_path / "t.csv", rows)
    plain = seen(file, split_column="split")
    told = seen(file, split_column="split", group_column="group", class_names=["zero", "one"])
    assert [[row[0] for row in part] for part in told[2:]] == [
        [row[0] for row in part] for part in plain[2:]
    ]


def test_content_is_remembered_until_a_file_changes(tmp_path, monkeypatch):
    monkeypatch.setattr("transfergrid.records.files.fingerprints.SETTLED_SECONDS", -60)
    test = write(tmp_path / "test.csv", some_rows(4, start=20))
    domain = TextTable(str(write(tmp_path / "t.csv", some_rows())), test_file=str(test))
    first = domain.content()
    with monkeypatch.context() as patched:
        patched.setattr(TextTable, "rows", lambda self: pytest.fail("read again"))
        assert domain.content() == first
        assert domain.classes == ("0", "1")
    write(test, some_rows(4, start=21))
    assert domain.content() != first


# Splits -----------------------------------------------------------------------------------------


def test_a_share_is_taken_of_each_class(tmp_path):
    rows = [{"text": f"t{i}", "label": "ab"[i >= 30]} for i in range(40)]
    loaded = TextTable(str(write(tmp_path / "t.csv", rows)), test_split=0.2).load()
    assert np.bincount(loaded.test.labels).tolist() == [6, 2]
    assert np.bincount(loaded.pool.labels).tolist() == [24, 8]


def test_another_split_can_be_tested_on(tmp_path):
    rows = some_rows(12, split=lambda i: ["train", "dev", "test"][i // 4])
    file = write(tmp_path / "t.csv", rows)
    _, _, pool, test = seen(file, split_column="split", test_split="dev")
    assert sorted(row[0] for row in test) == sorted(row["text"] for row in rows[4:8])
    assert sorted(row[0] for row in pool) == sorted(row["text"] for row in rows[:4])


def layout(tmp_path, *names, n=4):
    for i, name in enumerate(names):
        write(tmp_path / "folder" / f"{name}.csv", some_rows(n, start=i * n))
    return tmp_path / "folder"


def test_something_to_test_on_must_be_there_once(tmp_path):
    file = write(tmp_path / "t.csv", some_rows(split=lambda i: "train"))
    refused("no test split: give target.test_file=.*target.test_split=0.2", file)
    refused("'split', has no test split: give a share", file, split_column="split")
    refused("test_split must be a share between 0 and 1, or the name of a s", file, test_split=2)
    refused("no split 'dev'; there is train", file, test_split="dev")
    refused("nothing left to train on beside 'train'", file, test_split="train")
    other = str(write(tmp_path / "other.csv", some_rows(4)))
    refused("'test' already: leave out test_split", file, test_file=other, test_split=0.2)
    refused("needs one table.*not 2 files", file, test_file=other, split_column="split")
    refused("no such file or folder", file, test_file=str(tmp_path / "none.csv"))


def test_folders_that_leave_something_open_are_refused(tmp_path):
    refused("test_split=dev to test on that", layout(tmp_path, "train", "dev"))
    other = str(write(tmp_path / "other.csv", some_rows(4)))
    refused("dev.csv is there already", tmp_path / "folder", validation_file=other)
    assert len(seen(tmp_path / "folder", test_file=other)[3]) == 4
    write(tmp_path / "folder" / "train.jsonl", some_rows(4))
    refused("has train.csv and train.jsonl: which", tmp_path / "folder", test_split="dev")
    (tmp_path / "nothing").mkdir()
    refused("without tables such as train.csv", tmp_path / "nothing")
    write(tmp_path / "alone" / "test.csv", some_rows(4))
    refused("no train split, only test", tmp_path / "alone")


def test_values_of_a_split_column_must_name_splits(tmp_path):
    rows = some_rows(12, split=lambda i: ["train", "test", "extra"][i // 4])
    file = write(tmp_path / "t.csv", rows)
    refused("'split', has 'extra', which names no split", file, split_column="split")
    assert len(seen(file, split_column="split", test_split="extra")[2]) == 4
    rows[3]["split"] = ""
    refused("line 5 has nothing in column 'split'", write(file, rows), split_column="split")


# Labels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([2, 10, 2, 10], ("2", "10")),
        (["2", "10", "2", "10"], ("2", "10")),
        ([2.0, 10.0, 2, 10], ("2", "10")),
        (["-1", "1.0", "-1", "+1"], ("-1", "1")),
        ([True, False, True, False], ("false", "true")),
        (["True", "FALSE", "true", "false"], ("false", "true")),
        (["b", "a", " b", "a "], ("a", "b")),
        (["007", "7", "007", "7"], ("007", "7")),
        (["1", "x", "1", "x"], ("1", "x")),
    ],
)
def test_labels_are_named_alike_whatever_the_format(tmp_path, labels, classes):
    rows = [{"text": f"t{i}", "label": label} for i, label in enumerate(labels)]
    file = write(tmp_path / "t.jsonl", rows)
    assert TextTable(str(file), test_split=0.5).classes == classes
    content = seen(write(tmp_path / "t.csv", rows), test_split=0.5)[0]
    assert seen(file, test_split=0.5)[0] == content


def test_class_names_name_and_order_the_labels(tmp_path):
    file = write(tmp_path / "t.csv", some_rows())
    domain = TextTable(str(file), test_split=0.25, class_names=["no", "yes"])
    assert domain.classes == ("no", "yes")
    for part in (domain.load().pool, domain.load().test):
        numbers = [int(text.split()[-1]) % 2 for text in part.texts]
        assert part.labels.tolist() == numbers
    words = write(tmp_path / "w.csv", [{**r, "label": "ab"[r["label"]]} for r in some_rows()])
    assert TextTable(str(words), test_split=0.25, class_names=["b", "a"]).classes == ("b", "a")
    more = TextTable(str(file), test_split=0.25, class_names=["no", "yes", "maybe"])
    assert more.load().classes == ("no", "yes", "maybe")


def test_a_folders_classes_json_names_its_labels(tmp_path):
    folder = layout(tmp_path, "train", "test")
    plain = seen(folder)
    (folder / "classes.json").write_text('["no", "yes"]')
    assert seen(folder)[1] == ("no", "yes")
    assert seen(folder)[0] == seen(folder, class_names=["no", "yes"])[0] != plain[0]
    (folder / "classes.json").write_text('{"no": 0}')
    refused("classes.json must hold a list of names", folder)
    (folder / "classes.json").write_text('["no", ')
    refused("classes.json cannot be read", folder)


def labelled(tmp_path, *labels, **more):
    rows = [{"text": f"t{i}", "label": label, **more} for i, label in enumerate(labels)]
    return write(tmp_path / "t.jsonl", rows)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1.5, 0.5, 1], "t.jsonl: its labels look like a regression target, as 0.5, 1.5"),
        (["1.5", "2", "1e-3", "2"], "look like a regression target, as 1.5, 1e-3"),
        (["a", "b", None, "a"], "t.jsonl: line 3 has nothing in column 'label'"),
        (["a", "b", "a", ""], "line 4 has nothing in column 'label'"),
        ([0, float("nan"), 1, 1], "line 2 has nothing in column 'label'"),
        (["a", ["b"], "a", "b"], "line 2, column 'label': holds a list, not one value"),
        (["a", "a", "a", "a"], "t.jsonl: there is only one class: a"),
        (["a", "b", "c", "d"], "no two rows have the same label: is 'label' the right column"),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, labels, message):
    refused(message, labelled(tmp_path, *labels), test_split=0.5)


def test_labels_must_be_those_of_class_names(tmp_path):
    file = labelled(tmp_path, *"aabbcc")
    names = {"test_split": 0.4, "class_names": ["a", "b"]}
    refused("its labels c are none of the classes a, b", file, **names)
    refused("its labels 2 are none of the", labelled(tmp_path, 0, 1, 2, 0, 1, 2), **names)
    refused("its labels 0, 1 are none of the", labelled(tmp_path, "a", 0, 1, "a", 0), **names)
    for wrong in (["a"], ["a", "a"], ["a", None], "ab"):
        refused("must be a list of different names", file, test_split=0.4, class_names=wrong)


def test_labels_that_look_like_numbers_can_be_named(tmp_path):
    file = labelled(tmp_path, "1.5", "2.0", "1.5", "2.0")
    assert seen(file, test_split=0.5, class_names=["2.0", "1.5"])[1] == ("2.0", "1.5")


def test_both_splits_must_fit_together(tmp_path):
    write(tmp_path / "f" / "train.csv", some_rows(4))
    write(tmp_path / "f" / "test.csv", some_rows(4, n_classes=4))
    refused("f: test has labels that train lacks: 2, 3", tmp_path / "f")
    write(tmp_path / "f" / "train.csv", some_rows(4, n_classes=1))
    refused("f: train has only one class: 0", tmp_path / "f")


# Texts ------------------------------------------------------------------------------------------


def test_empty_texts_are_refused_or_left_out_and_counted(tmp_path):
    rows = some_rows()
    for i, text in ((3, ""), (5, "  "), (7, None), (9, "\n")):
        rows[i]["text"] = text
    for ending, numbers in (("jsonl", "lines? 4, 6, 8, ..."), ("csv", "5, 7, 9, ...")):
        file = write(tmp_path / f"t.{ending}", rows)
        refused(f"t.{ending} has 4 empty texts: .*{numbers}.*empty=drop", file, test_split=0.2)
        kept = [row for i, row in enumerate(rows) if i not in (3, 5, 7, 9)]
        expected = seen(write(tmp_path / "kept.csv", kept), test_split=0.2)
        assert seen(file, test_split=0.2, empty="drop") == expected
        assert TextTable(str(file), test_split=0.2, empty="drop").load().notes["empty_texts"] == 4
    refused("unknown empty 'skip'", file, test_split=0.2, empty="skip")
    blank = write(tmp_path / "blank.jsonl", [{**row, "text": ""} for row in rows])
    refused("there are no rows left", blank, test_split=0.2, empty="drop")
    write(tmp_path / "split" / "train.csv", [{"text": "", "label": i % 2} for i in range(6)])
    write(tmp_path / "split" / "test.csv", some_rows(6))
    refused("split: there are no rows to train on$", tmp_path / "split", empty="drop")


def test_pairs_are_pairs(tmp_path):
    rows = some_rows(second=lambda i: f"and {i}")
    file = write(tmp_path / "t.csv", rows)
    told = {"text": "text", "pair": "second", "test_split": 0.25}
    _, _, pool, test = seen(file, **told)
    assert sorted(row[0] for row in pool + test) == sorted((r["text"], r["second"]) for r in rows)
    rows[4]["second"] = " "
    refused("1 empty text: line 6;", write(file, rows), **told)
    refused("'text' was named for two purposes", file, pair="text", test_split=0.25)


def test_texts_are_texts(tmp_path):
    rows = some_rows()
    rows[2]["text"] = 7
    rows[3]["text"] = "half \ud83d"
    texts = [
        row[0]
        for part in seen(write(tmp_path / "t.jsonl", rows), test_split=0.2)[2:]
        for row in part
    ]
    assert {"7", "half ?"} < set(texts)
    rows[2]["text"] = ["a", "b"]
    refused(
        "line 3, column 'text': holds a list", write(tmp_path / "t.jsonl", rows), test_split=0.2
    )


def test_a_column_that_is_not_there_is_told(tmp_path):
    file = write(tmp_path / "t.csv", some_rows())
    for key in ("text", "label", "pair", "split_column", "group_column"):
        refused("t.csv has no column 'texd'", file, **{"test_split": 0.2, key: "texd"})


# Groups -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=5, max_size=15),
    share=st.floats(0.1, 0.5),
    seed=st.integers(0, 9),
)
def test_a_share_of_groups_leaves_groups_whole(sizes, share, seed):
    groups = [f"g{i}" for i, size in enumerate(sizes) for _ in range(size)]
    rng = random.Random(seed)
    classes = [rng.choice("ab") for _ in groups]
    try:
        chosen = share_of_groups(groups, classes, share)
    except BadInputError:
        owners = [{g for g, c in zip(groups, classes, strict=True) if c == name} for name in "ab"]
        assert set(groups) == set().union(*(o for o in owners if len(o) == 1))
        return
    test = {g for g, c in zip(groups, chosen, strict=True) if c}
    pool = {g for g, c in zip(groups, chosen, strict=True) if not c}
    assert not test & pool
    assert test
    assert len(pool) >= 2
    assert {c for c, t in zip(classes, chosen, strict=True) if not t} == set(classes)
    order = rng.sample(range(len(groups)), len(groups))
    again = share_of_groups([groups[i] for i in order], [classes[i] for i in order], share)
    assert again == [chosen[i] for i in order]


def test_many_small_groups_give_nearly_the_share():
    groups = [f"patient {i // 3}" for i in range(600)]
    classes = ["a" if i // 3 % 4 else "b" for i in range(600)]
    chosen = share_of_groups(groups, classes, 0.2)
    counts = {c: sum(t for t, d in zip(chosen, classes, strict=True) if d == c) for c in "ab"}
    assert abs(counts["a"] - 90) <= 3
    assert abs(counts["b"] - 30) <= 3


def test_groups_come_with_the_examples(tmp_path):
    rows = some_rows(30, author=lambda i: i // 3)
    domain = TextTable(str(write(tmp_path / "t.csv", rows)), test_split=0.2, group_column="author")
    loaded = domain.load()
    for part in (loaded.pool, loaded.test):
        assert [int(t.split()[-1]) // 3 for t in part.texts] == [int(g) for g in part.groups]
    assert not set(loaded.pool.groups) & set(loaded.test.groups)
    assert loaded.notes["groups"] == {"pool": 8, "test": 2}
    assert TextTable(str(tmp_path / "t.csv"), test_split=0.2).load().pool.groups is None


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (lambda i: "g", "there is only one group: 3 are needed"),
        (lambda i: i % 3 // 2, "there are only 2 groups: 3 are needed"),
        (lambda i: f"{i % 4}", "each is all there is of a class"),
        (lambda i: None if i == 4 else i, "line 5 has nothing in column 'who'"),
    ],
)
def test_groups_that_would_empty_a_split_are_refused(tmp_path, group, message):
    file = write(tmp_path / "t.jsonl", some_rows(n_classes=4, who=group))
    refused(message, file, test_split=0.2, group_column="who")


def test_no_group_crosses_given_splits(tmp_path):
    rows = some_rows(12, split=lambda i: ["train", "val", "test"][i // 4], who=lambda i: i // 2 % 5)
    file = write(tmp_path / "t.csv", rows)
    told = {"split_column": "split", "group_column": "who"}
    refused("1 group of 'who' stands in both the pool and test: 0; .*test_split=0.2", file, **told)
    rows = some_rows(12, split=lambda i: ["train", "val", "test"][i // 4], who=lambda i: i // 8)
    refused("the pool has only one group of 'who': 0; 2 are needed", write(file, rows), **told)


# Real tables ------------------------------------------------------------------------------------


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize(
    ("name", "pool", "test", "n_classes"),
    [
        ("sst2", 6920 + 872, 1821, 2),
        ("trec6", 5452, 500, 6),
        ("subj", 9000, 1000, 2),
        ("mpqa", 9543, 1060, 2),
    ],
)
def test_real_tables_load(name, pool, test, n_classes):
    domain = TextTable(str(SHARED / name))
    domain.check()
    loaded = domain.load()
    assert (len(loaded.pool), len(loaded.test), len(loaded.classes)) == (pool, test, n_classes)
    names = json.loads((SHARED / name / "classes.json").read_text())
    assert list(loaded.classes) == names
    lines = (SHARED / name / "test.jsonl").read_text(encoding="utf-8").split("\n")
    told = sorted(
        (row["text"], names[row["label"]]) for row in map(json.loads, filter(None, lines))
    )
    assert sorted(row[:2] for row in rows_of(loaded.test, domain)) == told


def test_clusters_stay_whole_and_subpopulations_need_not(tmp_path):
    """Patients are kept on one side of every split; hospitals beside them stand on both."""
    rows = some_rows(60, who=lambda i: i // 3, hospital=lambda i: "AB"[i % 2])
    file = str(write(tmp_path / "t.csv", rows))
    told = {"test_split": 0.2, "group_column": "hospital"}
    loaded = TextTable(file, cluster_column="who", **told).load()
    for part in (loaded.pool, loaded.test):
        assert [int(t.split()[-1]) // 3 for t in part.texts] == [int(c) for c in part.clusters]
        assert set(part.groups) == {"A", "B"}
        assert part.kept_whole.tolist() == part.clusters.tolist()
    assert not set(loaded.pool.clusters) & set(loaded.test.clusters)
    assert loaded.notes["clusters"] == {"pool": 16, "test": 4}
    refused("there are only 2 groups", file, **told)  # without clusters they are that themselves
    free = TextTable(file, cluster_column=False, **told).load()
    assert (len(set(free.test.clusters)), set(free.test.groups)) == (len(free.test), {"A", "B"})


def test_a_column_of_clusters_must_be_one(tmp_path):
    file = write(tmp_path / "t.csv", some_rows(12, who=lambda i: i // 2))
    refused("cluster_column must be a column, or false", file, test_split=0.2, cluster_column=True)
    refused("has no column 'whom'; did you mean who", file, test_split=0.2, cluster_column="whom")
    told = {"cluster_column": "who", "group_column": "who"}
    refused("'who' was named for two purposes", file, test_split=0.2, **told)
    blank = write(tmp_path / "b.jsonl", some_rows(12, who=lambda i: None if i == 4 else i // 2))
    refused("line 5 has nothing in column 'who'", blank, test_split=0.2, cluster_column="who")


def test_clusters_move_the_identity_and_their_absence_does_not(tmp_path):
    file = str(write(tmp_path / "t.csv", some_rows(60, who=lambda i: i // 3)))
    config = {
        "_target_": "transfergrid.data.text_table.TextTable",
        "file": file,
        "test_split": 0.2,
        "about": TextTable.about(),
    }
    with_none = {**config, "cluster_column": None}
    digests = [config_digest({**config, "cluster_column": told}) for told in ("who", False)]
    assert config_digest(config) == config_digest(with_none)
    assert len({config_digest(config), *digests}) == 3


def test_a_test_part_of_one_class_ranks_nothing(tmp_path):
    rows = some_rows(40, split=lambda i: "test" if i % 10 == 0 else "train")
    file = str(write(tmp_path / "t.csv", rows))
    domain = TextTable(file, split_column="split", metric="auroc")
    domain.check()
    with pytest.raises(BadInputError, match="all test examples are 0: test on two classes") as told:
        domain.check_tested()
    assert "\n" not in str(told.value)
    TextTable(file, split_column="split", metric="macro_f1").check_tested()


# Numbers and lists that Python does not read ------------------------------------------------------


def test_a_number_of_thousands_of_digits_is_a_name_as_any_other(tmp_path):
    long = "1" * 5000
    file = write(tmp_path / "t.csv", some_rows(8, label=lambda i: ("a", long)[i % 2]))
    assert TextTable(str(file), test_split=0.25).classes == (long, "a")
    file = write(tmp_path / "n.csv", some_rows(8, label=lambda i: ("2", long)[i % 2]))
    assert TextTable(str(file), test_split=0.25).classes == (long, "2")


@pytest.mark.parametrize("held", ["[" * 100_000, "[" + "1" * 5000 + "]"])
def test_a_list_of_classes_that_python_does_not_read_is_named(tmp_path, held):
    for split in ("train", "test"):
        write(tmp_path / "d" / f"{split}.csv", some_rows(8, start=len(split)))
    (tmp_path / "d" / "classes.json").write_text(held)
    refused(r"classes\.json cannot be read: (nested|a number)", tmp_path / "d")
