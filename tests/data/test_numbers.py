"""Labels that are numbers: read from tables and archives, drawn evenly, refused with a way out."""

import json
from itertools import pairwise

import numpy as np
import pytest

from transfergrid.data.arrays import Arrays
from transfergrid.data.budgets import draw
from transfergrid.data.digits import Digits
from transfergrid.data.glyph_angles import GlyphAngles
from transfergrid.data.image_table import ImageTable
from transfergrid.data.number_words import NumberWords, in_words
from transfergrid.data.numbers import check_numbers, tenths
from transfergrid.data.regression import Regression
from transfergrid.data.text_table import TextTable
from transfergrid.records.arguments import check_values, taken_by
from transfergrid.records.errors import BadInputError
from transfergrid.runs.planning.forewarnings import of_budgets, of_outline


def written(folder, labels, name="t.jsonl", **columns):
    """Write a table of texts with these labels, a value or a row of them each."""
    rows = [
        {"text": f"text {i}", "label": label, **{k: v[i] for k, v in columns.items()}}
        for i, label in enumerate(labels)
    ]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def table(folder, labels, **told):
    """Return a domain of such a table."""
    told = {"metric": "mae", "test_split": 0.2, **told}
    return TextTable(file=written(folder, labels), **told)


def test_a_column_of_numbers_is_a_task_of_one_output(tmp_path):
    domain = table(tmp_path, [0.5 * i for i in range(40)])
    domain.check()
    loaded = domain.load()
    assert loaded.task == domain.task == Regression(("label",))
    assert domain.classes == loaded.classes == ()
    labels = np.concatenate([loaded.pool.labels, loaded.test.labels])
    assert labels.dtype == np.float32
    assert sorted(labels) == [0.5 * i for i in range(40)]
    assert all(float(text[5:]) == 2 * label for text, label in zip(
        loaded.pool.read(np.arange(32)), loaded.pool.labels, strict=True))  # fmt: skip


def test_a_share_to_test_on_is_of_small_and_large_numbers_alike(tmp_path):
    """Of 40 numbers in eight parts of five, one each is tested on."""
    test = table(tmp_path, list(range(40))).load().test.labels
    assert sorted(test.astype(int) // 5) == list(range(8))


def test_formats_and_spellings_move_no_number(tmp_path):
    plain = table(tmp_path, [1, 2.5, 3, -0.0, 5e-1, 7] * 3)
    other = tmp_path / "other"
    other.mkdir()
    (other / "t.csv").write_text(
        "label,text\n" + "".join(
            f"{label},text {i}\n"
            for i, label in enumerate(["1.0", "2.50", "3", "0", "0.5", "7e0"] * 3)))  # fmt: skip
    csv = TextTable(file=str(other / "t.csv"), metric="mae", test_split=0.2)
    assert plain.content() == csv.content()


def test_several_columns_are_several_outputs(tmp_path):
    rows = [(i, i % 3) for i in range(30)]
    file = written(tmp_path, range(30), high=[a for a, _ in rows], wide=[b for _, b in rows])
    domain = TextTable(file=file, label=["high", "wide"], metric="r2", test_split=0.2)
    domain.check()
    pool = domain.load().pool.labels
    assert domain.outputs == ("high", "wide")
    assert pool.shape == (24, 2)
    assert (pool[:, 1] == pool[:, 0] % 3).all()


@pytest.mark.parametrize(
    ("labels", "told", "error"),
    [
        ([1, 2, "n/a", 4], {}, "t.jsonl: line 3, column 'label': 'n/a' is no number; classes are"),
        (["cat", "dog"] * 4, {}, "line 1, column 'label': 'cat' is no number; classes are scored"),
        (["1.5", "1,200"] * 2, {}, "'1,200' is no number; write decimals with a point and thous"),
        ([1, 2, "inf", 4], {}, "line 3, column 'label': 'inf' is no finite number"),
        ([1, 2, 1e39, 4], {}, "line 3, column 'label': '1e+39' is no finite number that float32"),
        ([1, 2, "nan", 4], {}, "line 3 has nothing in column 'label' ('nan' is read as a missing"),
        ([1, 2, None, 4], {}, "line 3 has nothing in column 'label'"),
        ([1, 2, True, 4], {}, "'true' is no number"),
        ([7] * 9, {}, "label: all labels to learn from are 7: nothing to tell apart"),
        ([1, 2], {"test_split": 0.5}, "label: there is one label, "),
        (range(9), {"class_names": ["a", "b"]}, "target.class_names are of classes, and mae of"),
        (range(9), {"metric": "accuracy", "label": ["a", "b"]}, "target.label names 2: numbers"),
        (range(9), {"label": []}, "label must be a column, or a list of columns, not []"),
        (range(9), {"label": [1]}, "label must be a column, or a list of columns, not [1]"),
        (range(9), {"metric": "rmsle"}, "unknown metric 'rmsle'"),
        ([0.5, 1.5] * 9, {"metric": "accuracy"}, "target.metric=mae, mse or r2; or bring them"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_with_its_line(tmp_path, labels, told, error):
    with pytest.raises(BadInputError) as caught:
        table(tmp_path, list(labels), **told).check()
    assert error in str(caught.value)
    assert "\n" not in str(caught.value)


def test_r2_wants_test_labels_that_vary(tmp_path):
    split = ["train"] * 6 + ["test"] * 3
    file = written(tmp_path, [1, 2, 3, 4, 5, 6, 7, 7, 7], split=split)
    told = {"file": file, "split_column": "split"}
    with pytest.raises(BadInputError, match="label: all labels to test on are 7, of which r2 has"):
        TextTable(metric="r2", **told).check()
    TextTable(metric="mae", **told).check()


def test_metrics_of_numbers_are_not_for_domains_of_classes_nor_the_other_way():
    with pytest.raises(BadInputError, match="mae is a metric of numbers, and Digits holds classes"):
        Digits(metric="mae").check()
    with pytest.raises(BadInputError, match="target\\.metric takes mse or mae or rmse or r2"):
        GlyphAngles(metric="accuracy").check()


def test_groups_are_kept_whole(tmp_path):
    who = [f"P{i // 4}" for i in range(40)]
    file = written(tmp_path, [float(i) for i in range(40)], who=who)
    domain = TextTable(file=file, metric="mse", test_split=0.2, cluster_column="who")
    loaded = domain.load()
    assert len(loaded.test) == 8
    assert not set(loaded.pool.clusters) & set(loaded.test.clusters)
    drawn = draw(loaded.pool.labels, 0, "all", 0, groups=loaded.pool.clusters)
    assert not len(drawn.validation)  # 32 labels are too few


def test_images_by_a_table_have_numbers_too(tmp_path):
    from PIL import Image

    for i in range(12):
        Image.fromarray(np.full((4, 4), 20 * i, dtype=np.uint8)).save(tmp_path / f"{i}.png")
    lines = [f"{i}.png,{i / 2}" for i in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["path,age", *lines]))
    file = str(tmp_path / "t.csv")
    domain = ImageTable(file=file, label="age", metric="mae", test_split=0.25)
    domain.check()
    pool = domain.load().pool
    images = np.stack(pool.read(np.arange(len(pool))))
    assert domain.outputs == ("age",)
    np.testing.assert_array_equal(images[:, 0, 0, 0] / 40, pool.labels)


@pytest.mark.parametrize("outputs", [1, 3])
def test_archives_hold_numbers(tmp_path, outputs):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(30, outputs) if outputs > 1 else 30)
    x = rng.integers(0, 255, (30, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    domain = Arrays(file=str(tmp_path / "a.npz"), metric="mse", test_split=0.2)
    domain.check()
    loaded = domain.load()
    assert domain.outputs == loaded.outputs == (("y",) if outputs == 1 else ("y0", "y1", "y2"))
    assert (domain.outline().pool, domain.outline().test) == ((24,), (6,))
    assert loaded.pool.labels.shape[1:] == y.shape[1:]


@pytest.mark.parametrize(
    ("y", "error"),
    [
        (np.r_[1.0, np.nan, 3.0], r"y\[1\] is nan, no finite number"),
        (np.r_[1.0, np.inf, np.inf], r"y\[1\] is inf, no finite number.*; so are 1 more"),
        (np.array(["a", "b", "c"]), "y must hold numbers, not <U1; classes are scored by"),
        (np.array([True, False, True]), "y must hold numbers, not bool; classes are scored by"),
        (np.ones((3, 2, 2)), "y must hold a number for each image, or a row of them"),
        (np.ones(3), "y: all labels to learn from are 1: nothing to tell apart"),
        (1e30 * np.arange(3), "labels as large as 2e\\+30 leave no room for their squared errors"),
        (1e9 + np.arange(3), r"are 1e\+09 in float32; take a constant off: nothing to tell apart"),
        (
            1e9 + np.arange(3) * 100,
            "y: labels lie 64 apart in float32, about as far as they",
        ),
    ],
)
def test_archives_of_other_things_are_refused(tmp_path, y, error):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 4, 4), dtype=np.uint8), y=y)
    with pytest.raises(BadInputError, match=error):
        Arrays(file=str(tmp_path / "a.npz"), metric="mae", test_split=0.4).check()


# Budgets ---------------------------------------------------------------------------------------

POOL = np.random.default_rng(0).gamma(2, size=203).astype(np.float32)


@pytest.mark.parametrize("budget", [1, 7, 10, 49, 50, 120, 200])
def test_k_labels_are_k_in_all_from_each_tenth_in_turn(budget):
    drawn = draw(POOL, 0, budget, 3)
    chosen = np.union1d(drawn.train, drawn.validation)
    assert len(chosen) == len(drawn.train) + len(drawn.validation) == budget
    counts = np.bincount(tenths(POOL)[chosen], minlength=10)
    assert counts.max() - counts.min() <= 1
    validating = np.bincount(tenths(POOL)[drawn.validation], minlength=10)
    assert (len(drawn.validation) == 0) == (budget < 50)
    if budget == 50:
        assert (validating == 1).all()
    assert drawn.per_class == {}
    assert drawn.short == {}


@pytest.mark.parametrize("sampling", ["balanced", "natural"])
def test_a_budget_is_part_of_the_larger_ones(sampling):
    budgets = [50, 60, 100, 203, "all"]
    drawn = [draw(POOL, 0, k, 5, sampling) for k in budgets]
    for small, large in pairwise(drawn):
        assert set(small.train) <= set(large.train)
        assert set(small.validation) <= set(large.validation)
    few, more = draw(POOL, 0, 3, 5, sampling), draw(POOL, 0, 20, 5, sampling)
    assert set(few.train) < set(more.train)


def test_seeds_draw_other_numbers_and_every_one_as_often():
    """Of 200 numbers 20 are drawn: over 400 seeds each 40 times, and hardly ever 15 off."""
    pool = np.arange(200, dtype=np.float32)
    counts = sum(np.isin(np.arange(200), draw(pool, 0, 20, seed).train) for seed in range(400))
    assert counts.sum() == 400 * 20
    assert abs(counts - 40).max() < 25  # 4 standard deviations


def test_more_than_there_is_gives_all_and_says_so():
    drawn = draw(POOL, 0, 500, 0)
    assert drawn.short == {"all": (500, 203)}
    assert len(drawn.train) + len(drawn.validation) == 203


def test_groups_validate_whole_and_nested():
    groups = np.array([f"g{i % 20}" for i in range(203)])
    drawn = [draw(POOL, 0, k, 1, groups=groups) for k in (60, 150, "all")]
    for one in drawn:
        assert len(one.validation)
        assert not set(groups[one.train]) & set(groups[one.validation])
    assert set(drawn[0].validation) <= set(drawn[1].validation) <= set(drawn[2].validation)


def test_forewarnings_speak_of_labels_in_all(tmp_path):
    outline = table(tmp_path, list(range(40))).outline()
    assert (outline.classes, outline.pool, outline.test) == ((), (32,), (8,))
    assert list(of_outline(outline)) == []
    (line,) = of_budgets(outline, [20, 33], "balanced")
    assert line == "labels=33 asks for 33 labels, and the pool has 32: all"


# Shipped targets -------------------------------------------------------------------------------


def test_glyph_angles_are_those_that_the_glyphs_are_turned_by():
    """An upright bar, |, leans as its label says: by the axis of its ink."""
    domain = GlyphAngles(characters="|l", pool_size=40, test_size=2, size=32)
    domain.check()
    loaded = domain.load()
    images = loaded.pool.images[..., 0].astype(float)
    rows, columns = np.mgrid[:32, :32] - 15.5
    off = []
    for image, angle in zip(images, loaded.pool.labels, strict=True):
        x, y = columns - (image * columns).sum() / image.sum(), -rows
        y = y - (image * y).sum() / image.sum()
        xx, yy, xy = ((image * p).sum() for p in (x * x, y * y, x * y))
        axis = np.rad2deg(0.5 * np.arctan2(2 * xy, xx - yy))  # of the ink, from the right
        off.append((axis - 90 - angle + 90) % 180 - 90)
    assert np.abs(loaded.pool.labels).max() <= 45
    assert np.median(np.abs(off)) < 12  # fonts lean of themselves
    again = domain.load()
    np.testing.assert_array_equal(again.pool.images, loaded.pool.images)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (7, "seven"),
        (13, "thirteen"),
        (40, "forty"),
        (85, "eighty-five"),
        (300, "three hundred"),
        (712, "seven hundred and twelve"),
        (2001, "two thousand and one"),
        (9999, "nine thousand nine hundred and ninety-nine"),
    ],
)
def test_numbers_in_words(number, words):
    assert in_words(number) == words


def test_number_words_name_what_they_are_labelled_with():
    loaded = NumberWords(pool_size=200, test_size=5).load()
    spelled = {in_words(k): k for k in range(1, 10_000)}
    for text, label in zip(loaded.pool.texts, loaded.pool.labels, strict=True):
        named = [k for words, k in spelled.items() if f" {words} " in f" {text} "]
        assert max(named, key=lambda k: len(in_words(k))) == round(10**label)
    assert np.ptp(np.histogram(loaded.pool.labels, 4)[0]) < 40  # evenly, 50 each


def test_several_columns_of_labels_pass_the_early_checks_of_tables():
    told = {"label": ["age", "height"]}
    for domain in (TextTable, ImageTable):
        check_values(domain.__name__, "target", taken_by(domain), told)


@pytest.mark.parametrize("far", [0.0, 2000.0, 1e6])
def test_labels_that_float32_tells_apart_are_taken(far):
    """Years, and whole numbers around a million, are held exactly."""
    labels = (far + np.arange(20)).astype(np.float32)
    check_numbers(labels, labels, ("age",), "mae")
