"""Tables of ratings: entries of a matrix, known by names; planted ones have what they say."""

import numpy as np
import pytest

from transfergrid.data.entries import number_of
from transfergrid.data.planted_ratings import PlantedRatings
from transfergrid.data.ratings import Ratings
from transfergrid.records.errors import BadInputError

LINES = ["user,item,value", "ada,a,5", "ada,b,3", "ben,a,4", "ben,c,1", "eve,b,2", "eve,c,4.5"]


def table(tmp_path, lines, name="ratings.csv"):
    file = tmp_path / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


def entries(examples):
    read = examples.read(np.arange(len(examples), dtype=np.int64))
    return {(int(u), int(i), float(v)) for (u, i), v in zip(read, examples.labels, strict=True)}


def told(lines):
    cells = [line.split(",")[:3] for line in lines]
    return {(number_of(u), number_of(i), float(v)) for u, i, v in cells}


def test_each_line_is_an_entry_by_the_names_of_its_user_and_item(tmp_path):
    loaded = Ratings(file=table(tmp_path, LINES), test_split=0.4).load()
    assert entries(loaded.pool) | entries(loaded.test) == told(LINES[1:])
    assert loaded.outputs == ("value",)
    assert loaded.pool.labels.dtype == np.float32


def test_neither_order_nor_format_nor_names_of_columns_move_anything(tmp_path):
    import polars

    plain = Ratings(file=table(tmp_path, LINES), test_split=0.4)
    turned = ["film,score,who", *(",".join([i, v, u]) for u, i, v in
                                  (line.split(",") for line in reversed(LINES[1:])))]  # fmt: skip
    file = tmp_path / "turned.parquet"
    polars.read_csv(table(tmp_path, turned, "turned.csv")).write_parquet(file)
    other = Ratings(file=str(file), user="who", item="film", label="score", test_split=0.4)
    assert other.content() == plain.content()
    assert entries(other.load().test) == entries(plain.load().test)


def test_errors_are_by_user_unless_said_and_clusters_keep_users_apart(tmp_path):
    file = table(tmp_path, LINES)
    loaded = Ratings(file=file, test_split=0.4).load()
    assert {*loaded.test.clusters} <= {"ada", "ben", "eve"}
    assert loaded.pool.clusters is None
    free = Ratings(file=file, test_split=0.4, cluster_column=False).load()
    assert len({*free.test.clusters}) == len(free.test)
    more = table(tmp_path, ["who,user,item,value", *(f"{x[:3]},{x}" for x in LINES[1:])], "w.csv")
    apart = Ratings(file=more, test_split=0.4, cluster_column="who").load()
    assert not {*apart.pool.clusters} & {*apart.test.clusters}


def test_notes_count_the_matrix_and_who_is_new_in_test(tmp_path):
    lines = ["user,item,value,part", "ada,a,5,train", "ben,a,4,train", "ben,b,3,train"]
    lines += ["eve,a,2,test", "ada,c,1,test"]
    loaded = Ratings(file=table(tmp_path, lines), split_column="part").load()
    assert loaded.notes["matrix"] == {"users": 2, "items": 2, "entries": 3}
    assert loaded.notes["cold"] == {"users": 1, "items": 1}


def test_entries_of_the_test_part_that_are_in_the_pool_are_counted_and_dropped(tmp_path):
    lines = ["user,item,value,part", "ada,a,5,train", "ben,a,4,train", "ben,b,3,train"]
    lines += ["ben,a,4.5,test", "ada,b,1,test"]
    file = table(tmp_path, lines)
    kept = Ratings(file=file, split_column="part").load()
    assert (len(kept.pool), kept.notes["duplicates"]["exact"]) == (3, 1)
    dropped = Ratings(file=file, split_column="part", duplicates="drop").load()
    assert number_of("ben") in dropped.pool.read(np.arange(2))[:, 0]
    assert entries(dropped.pool) == told(["ada,a,5", "ben,b,3"])


@pytest.mark.parametrize(
    ("lines", "arguments", "told"),
    [
        (["user,item,value", "ada,,5", "ben,a,3"], {}, "line 2 has nothing in column 'item'"),
        (["user,item,value", "ada,a,x", "ben,a,3"], {}, "line 2, column 'value': 'x' is no number"),
        (LINES, {"metric": "accuracy"}, "metric of classes"),
        (LINES, {"user": "who"}, "no column 'who'"),
        (LINES, {"label": ["value", "item"]}, "two purposes|is one number"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(tmp_path, lines, arguments, told):
    with pytest.raises(BadInputError, match=told) as caught:
        Ratings(file=table(tmp_path, lines), test_split=0.4, **arguments).check()
    assert "\n" not in str(caught.value)


def test_planted_users_are_the_same_in_matrices_of_one_seed_unless_told_otherwise():
    asked = {"users": 40, "n_items": 30, "noise": 0.0}
    one, other = PlantedRatings(**asked), PlantedRatings(**asked, items=1)
    unrelated = PlantedRatings(**asked, items=1, shared=False)
    both, strangers = (
        np.linalg.matrix_rank(np.hstack([one.whole_matrix(), more.whole_matrix()]), tol=1e-8)
        for more in (other, unrelated)
    )
    assert (both, strangers) == (3, 6)
    assert one.whole_matrix().std() == pytest.approx(1.0, abs=0.25)


def test_planted_entries_are_as_many_as_said_and_none_is_in_both_parts():
    domain = PlantedRatings(users=50, n_items=40, density=0.25)
    loaded = domain.load()
    assert (len(loaded.pool), len(loaded.test)) == (400, 100)
    assert (domain.outline().pool, domain.outline().test) == ((400,), (100,))
    pairs = [{entry[:2] for entry in entries(part)} for part in (loaded.pool, loaded.test)]
    assert not pairs[0] & pairs[1]
    assert entries(loaded.pool) == entries(domain.load().pool)
    assert np.array_equal(loaded.test.clusters, loaded.test.rows)
