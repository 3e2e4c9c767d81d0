"""Tables of numbers: what is read is what pandas reads, scaled by what the pool alone says."""

import json
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transfergrid.data.domain import LoadedDomain
from transfergrid.data.vector_table import VectorTable
from transfergrid.data.vectors import Scaling
from transfergrid.records.errors import BadInputError

pd = pytest.importorskip("pandas")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRANSFERGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


def some(n=40, seed=0, missing=0):
    """Return a table of three columns of unlike scale, with a class each."""
    rng = np.random.default_rng(seed)
    values = rng.normal([0, 50, -3], [1, 20, 0.01], (n, 3))
    values.ravel()[rng.choice(3 * n, missing, replace=False)] = np.nan
    table = pd.DataFrame(values, columns=["a", "b", "c"])
    return table.assign(label=np.where(np.arange(n) % 2, "no", "yes"))


def written(folder, table, name="t.csv"):
    """Write a table in the format that the ending names."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        table.to_parquet(file, index=False)
    elif file.suffix == ".jsonl":
        rows = table.to_dict("records")
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif file.suffix == ".npz":
        own = {name: values.to_numpy() for name, values in table.items()}
        np.savez(file, **{n: v.astype(str) if v.dtype == object else v for n, v in own.items()})
    else:
        table.to_csv(file, index=False, sep="\t" if file.suffix == ".tsv" else ",")
    return str(file)


def load(file, **told) -> LoadedDomain:
    domain = VectorTable(file, **told)
    domain.check()
    return domain.load()


def read(examples):
    return examples.read(np.arange(len(examples)))


def refused(message, file, **told):
    with pytest.raises(BadInputError, match=message) as caught:
        load(file, **told)
    assert "\n" not in str(caught.value)


# What is read ------------------------------------------------------------------------------------


def test_what_is_read_is_what_pandas_reads_scaled_by_the_pool(tmp_path):
    table = some().assign(part=lambda t: np.where(t.index < 30, "train", "test"))
    file = written(tmp_path, table)
    loaded = load(file, split_column="part")
    again = pd.read_csv(file)
    pool = again[again.part == "train"][["a", "b", "c"]]
    for examples, part in ((loaded.pool, "train"), (loaded.test, "test")):
        own = again[again.part == part]
        expected = (own[["a", "b", "c"]] - pool.mean()) / pool.std(ddof=0)
        found = pd.DataFrame(read(examples), columns=["a", "b", "c"])
        found["label"] = [loaded.classes[i] for i in examples.labels]
        expected["label"] = own.label
        both = [t.sort_values("a", ignore_index=True) for t in (found, expected)]
        pd.testing.assert_frame_equal(*both, check_dtype=False, rtol=1e-5)
    np.testing.assert_allclose(read(loaded.pool).mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(read(loaded.pool).std(0), 1, atol=1e-5)


def test_values_worked_out_by_hand(tmp_path):
    """Of 1, 3, nothing, 8 the mean is 4 and the median 3; deviations are of what is filled in."""
    rows = {"x": [1, 3, None, 8, 10, None], "label": list("ababab")}
    table = pd.DataFrame(rows).assign(part=["train"] * 4 + ["test"] * 2)
    file = written(tmp_path, table)

    def numbers(part, **told):
        return sorted(read(getattr(load(file, split_column="part", **told), part))[:, 0].tolist())

    assert numbers("pool", missing="mean", standardise="none") == [1, 3, 4, 8]
    assert numbers("test", missing="mean", standardise="none") == [4, 10]
    assert numbers("test", missing="median", standardise="none") == [3, 10]
    assert numbers("test", missing="zero", standardise="none") == [0, 10]
    assert numbers("pool", missing="drop", standardise="none") == [1, 3, 8]
    assert numbers("test", missing="drop", standardise="none") == [10]
    root = 6.5**0.5  # ((-3)² + (-1)² + 0 + 4²) / 4
    np.testing.assert_allclose(numbers("test", missing="mean"), [0, 6 / root], rtol=1e-6)


@pytest.mark.parametrize("rule", ["mean", "median"])
def test_what_stands_for_a_missing_number_is_pandas_word_on_the_pool(tmp_path, rule):
    table = some(60, missing=20).assign(part=lambda t: np.where(t.index < 40, "train", "test"))
    file = written(tmp_path, table)
    loaded = load(file, split_column="part", missing=rule)
    pool = pd.read_csv(file).query("part == 'train'")[["a", "b", "c"]]
    fill = getattr(pool, rule)()
    np.testing.assert_allclose(loaded.pool.scaling.fill, fill, rtol=1e-12)
    np.testing.assert_allclose(loaded.pool.scaling.mean, pool.fillna(fill).mean(), rtol=1e-12)


def test_the_test_split_moves_nothing_that_is_learned_from(tmp_path):
    table = some(60, missing=6).assign(part=lambda t: np.where(t.index < 40, "train", "test"))
    first = load(written(tmp_path, table), split_column="part", missing="median")
    table.loc[40:, ["a", "b", "c"]] *= 1000
    other = load(written(tmp_path, table, "o.csv"), split_column="part", missing="median")
    np.testing.assert_array_equal(read(first.pool), read(other.pool))
    assert first.test.scaling is first.pool.scaling
    assert first.test.scaling == other.test.scaling


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet", "npz"])
def test_format_and_order_move_nothing(tmp_path, ending):
    table = some()
    told = {"test_split": 0.25}
    first = VectorTable(written(tmp_path, table, "first.csv"), **told)
    other = VectorTable(written(tmp_path, table.sample(frac=1), f"sub/t.{ending}"), **told)
    assert other.content() == first.content()
    for part in ("pool", "test"):
        one, two = (getattr(domain.load(), part) for domain in (first, other))
        np.testing.assert_array_equal(read(one), read(two))
        np.testing.assert_array_equal(one.labels, two.labels)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.sampled_from([0.0, -0.0, 1.5])), min_size=6, max_size=12
    ),
    share=st.floats(0.1, 0.6),
    order=st.randoms(use_true_random=False),
)
def test_any_numbers_copies_among_them_are_split_alike_in_any_order(tmp_path, rows, share, order):
    rows = [{"x": x, "y": y, "label": i % 2} for i, (x, y) in enumerate(rows)]
    seen = []
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        domain = VectorTable(str(tmp_path / name), test_split=share, standardise="none")
        loaded = domain.load()
        parts = [(read(p).tolist(), p.labels.tolist()) for p in (loaded.pool, loaded.test)]
        seen.append((domain.content(), parts))
        order.shuffle(rows)
    assert seen[0] == seen[1]
    assert len(loaded.pool) + len(loaded.test) == len(rows)


def test_columns_are_all_that_have_no_other_purpose_or_those_that_are_named(tmp_path):
    table = some().assign(id=range(40), split=lambda t: np.where(t.index < 30, "train", "test"))
    file = written(tmp_path, table)
    assert VectorTable(file, split_column="split").vector == ("a", "b", "c", "id")
    assert VectorTable(file, split_column="split", leave_out=["id"]).vector == ("a", "b", "c")
    chosen = VectorTable(file, split_column="split", columns=["c", "a"], standardise="none")
    assert chosen.vector == ("c", "a")
    values = table[table.split == "test"][["c", "a"]].astype("float32").to_numpy()
    np.testing.assert_array_equal(np.sort(read(chosen.load().test), 0), np.sort(values, 0))


def test_a_folder_of_splits_is_the_table_with_a_column_of_them(tmp_path):
    table = some()
    for part, rows in (("train", slice(0, 29)), ("test", slice(30, 39))):
        written(tmp_path, table.loc[rows, ["label", "c", "b", "a"]], f"folder/{part}.csv")
    split = table.assign(split=lambda t: np.where(t.index < 30, "train", "test"))
    whole = VectorTable(written(tmp_path, split), split_column="split", columns=["c", "b", "a"])
    folder = VectorTable(str(tmp_path / "folder"))
    assert folder.vector == ("c", "b", "a")
    assert folder.content() == whole.content()
    written(tmp_path, table.loc[30:, ["a", "label", "b", "c"]], "folder/test.csv")
    assert VectorTable(str(tmp_path / "folder")).vector == ("a", "b", "c")
    assert len(load(str(tmp_path / "folder")).test) == 10


def test_an_archive_with_parts_needs_no_word_on_splits(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.normal(size=(20, 3)), "y_train": np.arange(20) % 2}
    arrays |= {"x_test": rng.normal(size=(6, 3)), "y_test": np.arange(6) % 2}
    np.savez(tmp_path / "t.npz", **arrays)
    loaded = load(str(tmp_path / "t.npz"), label="y", standardise="none")
    assert loaded.pool.scaling.columns == ("x0", "x1", "x2")
    for examples, part in ((loaded.pool, "train"), (loaded.test, "test")):
        expected = arrays[f"x_{part}"].astype("float32")
        order, own = (np.argsort(values[:, 0]) for values in (expected, read(examples)))
        np.testing.assert_array_equal(expected[order], read(examples)[own])
        np.testing.assert_array_equal(arrays[f"y_{part}"][order], examples.labels[own])


def test_labels_may_be_numbers(tmp_path):
    file = written(tmp_path, some().assign(price=lambda t: 3 * t.a))
    told = {"label": "price", "leave_out": ["label"], "metric": "mae", "test_split": 0.25}
    loaded = load(file, **told, standardise="none")
    assert loaded.outputs == ("price",)
    assert loaded.classes == ()
    np.testing.assert_allclose(loaded.test.labels, 3 * read(loaded.test)[:, 0], rtol=1e-5)


def test_clusters_stand_on_one_side(tmp_path):
    file = written(tmp_path, some(60).assign(patient=lambda t: t.index // 6))
    loaded = load(file, cluster_column="patient", test_split=0.3)
    assert loaded.pool.clusters is not None
    assert not {*loaded.pool.clusters} & {*loaded.test.clusters}


def test_true_and_false_are_numbers_in_every_format(tmp_path):
    table = some().assign(a=lambda t: t.a > 0)
    domains = [
        VectorTable(written(tmp_path, table, f"t.{ending}"), test_split=0.2)
        for ending in ("csv", "parquet")
    ]
    assert len({domain.content() for domain in domains}) == 1


# Copies ------------------------------------------------------------------------------------------


def test_copies_are_found_among_numbers_as_they_were_given_and_dropped_before_scaling(tmp_path):
    table = some(30).assign(split=lambda t: np.where(t.index < 24, "train", "test"))
    table.loc[24] = [*table.loc[0, ["a", "b", "c", "label"]], "test"]
    file = written(tmp_path, table)
    assert load(file, split_column="split").notes["duplicates"]["exact"] == 1
    dropped = load(file, split_column="split", duplicates="drop")
    assert dropped.notes["duplicates"]["dropped"] == 1
    pool = table[1:24][["a", "b", "c"]]
    np.testing.assert_allclose(dropped.pool.scaling.mean, pool.mean(), rtol=1e-12)


def test_a_missing_number_is_a_copy_of_a_missing_number(tmp_path):
    table = some(30).assign(split=lambda t: np.where(t.index < 24, "train", "test"))
    table.loc[[0, 24], "b"] = np.nan
    table.loc[24, ["a", "c", "label"]] = table.loc[0, ["a", "c", "label"]]
    found = load(written(tmp_path, table), split_column="split", missing="zero")
    assert found.notes["duplicates"]["exact"] == 1


# What is refused, and what is told ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told", "message"),
    [
        ({"b": "Paris"}, {}, r"line 2, column 'b': 'Paris' is no number; target.leave_out=\[b\]"),
        ({"b": "x", "c": "y"}, {}, r"target.leave_out=\[b,c\] takes away what is no number"),
        ({"b": "x"}, {"columns": ["a", "b"]}, "target.columns is of columns of numbers"),
        ({"b": "1,234"}, {}, "'1,234' is no number; write decimals with a point"),
        ({"b": "inf"}, {}, "column 'b': inf is no finite number"),
        ({"b": 1e300}, {}, "1e[+]300 is no finite number that float32 holds"),
        ({"b": ""}, {}, r"line 2, column 'b': a number is missing \(40 such cells, in b\)"),
        ({"b": "NA"}, {}, "a number is missing .*target.missing=mean, median or zero"),
        ({"b": "?"}, {"missing": "median"}, "column 'b' has no number to learn from, so no median"),
        ({}, {"label": "lable"}, "has no column 'lable'; did you mean label?"),
        ({}, {"columns": ["a", "d"]}, "has no column 'd'"),
        ({}, {"leave_out": ["d"]}, "has no column 'd'"),
        ({}, {"columns": ["a", "label"]}, "column 'label' was named for two purposes"),
        ({}, {"columns": ["a"], "leave_out": ["b"]}, "give one of them"),
        ({}, {"leave_out": ["a", "b", "c"]}, "has no column left to make vectors of"),
        ({}, {"missing": "guess"}, "unknown missing 'guess'"),
        ({}, {"standardise": "minmax"}, "unknown standardise 'minmax'"),
    ],
)
def test_what_is_no_vector_is_told_in_a_line(tmp_path, change, told, message):
    file = written(tmp_path, some().assign(**change))
    told = {"test_split": 0.25, **told}
    with pytest.raises(BadInputError, match=message) as caught:
        load(file, **told)
    assert "\n" not in str(caught.value)


def test_one_missing_number_is_told_with_its_line(tmp_path):
    table = some()
    table.loc[5, "b"] = np.nan
    refused(
        r"t.csv: line 7, column 'b': a number is missing; target",
        written(tmp_path, table),
        test_split=0.25,
    )


def test_parts_of_unlike_columns_are_refused(tmp_path):
    written(tmp_path, some(), "folder/train.csv")
    written(tmp_path, some(seed=1).drop(columns="b"), "folder/test.csv")
    refused("not all of its tables have the columns b", str(tmp_path / "folder"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 2)), "y": np.arange(5)}, "x0 has 4 rows, and y has 5"),
        ({"x": np.zeros((4, 2, 2)), "y": np.arange(4)}, r"x is no column .*\(4, 2, 2\)"),
        ({"x_train": np.zeros((4, 2)), "y": np.arange(4)}, "x_train, which is of one split"),
        (
            {"x_train": np.zeros((4, 2)), "y_train": np.arange(4), "x_test": np.zeros((4, 2))},
            "not all of its parts have y",
        ),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, "has no rows"),
    ],
)
def test_arrays_that_make_no_table_are_told(tmp_path, arrays, message):
    np.savez(tmp_path / "t.npz", **arrays)
    refused(message, str(tmp_path / "t.npz"), label="y", test_split=0.5)


def test_columns_that_tell_nothing_are_told(tmp_path):
    table = some().assign(d=7.0, n=random.Random(0).sample(range(100, 140), 40))
    domain = VectorTable(written(tmp_path, table), test_split=0.25)
    domain.check()
    first, second = domain.remarks()
    assert first.endswith("one number in column d: it tells nothing")
    assert second.endswith("column 'n' numbers the rows: if it means nothing, target.leave_out=[n]")
    assert set(read(domain.load().pool)[:, 3]) == {0.0}


# How a model keeps it ----------------------------------------------------------------------------


def test_scaling_is_kept_to_the_last_bit():
    pool = np.random.default_rng(0).normal(size=(9, 2))
    pool[3, 1] = np.nan
    told = Scaling.fitted(["a", "b"], pool, "mean")
    again = Scaling.restored(json.loads(json.dumps(told.kept())))
    assert again == told
    np.testing.assert_array_equal(again.of(pool), told.of(pool))


@pytest.mark.parametrize(
    "change", [{"columns": ["a"]}, {"mean": None}, {"fill": [1.0]}, {"more": 1}]
)
def test_what_is_no_scaling_is_refused(change):
    kept = {"columns": ["a", "b"], "fill": None, "mean": [0.0, 1.0], "deviation": [1.0, 2.0]}
    with pytest.raises(ValueError, match="no columns of a model"):
        Scaling.restored({**kept, **change})
