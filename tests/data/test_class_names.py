"""Classes that are one under two names are refused; what may be a slip is told in one line."""

import numpy as np
import pytest
from PIL import Image
from test_text_table import own_cache, refused, some_rows, write  # noqa: F401

from transfergrid.data.arrays import Arrays
from transfergrid.data.class_names import oddities
from transfergrid.data.image_folder import ImageFolder
from transfergrid.data.text_table import TextTable
from transfergrid.records.errors import BadInputError


def table(tmp_path, labels):
    return write(tmp_path / "t.csv", some_rows(24, label=lambda i: labels[i % len(labels)]))


TWICE = [
    ["1", "1.0", "cat"],
    ["caf\u00e9", "cafe\u0301", "tea"],
    ["cat", "cat\u200b", "dog"],
    ["hot dog", "hot\u00a0dog", "cat"],
]


@pytest.mark.parametrize("labels", TWICE, ids=ascii)
def test_a_class_under_two_names_is_refused_unless_both_are_listed(tmp_path, labels):
    file = table(tmp_path, labels)
    refused("look the same or are one number, and would be learned as two", file, test_split=0.25)
    kept = TextTable(str(file), test_split=0.25, class_names=labels)
    kept.check()
    assert kept.classes == tuple(labels)


def test_numbers_alone_are_one_class_in_every_spelling(tmp_path):
    file = table(tmp_path, ["1", "1.0", "2", "2e0"])
    assert TextTable(str(file), test_split=0.25).classes == ("1", "2")


def test_archives_and_folders_refuse_them_too(tmp_path):
    images = np.arange(12 * 16, dtype=np.uint8).reshape(12, 4, 4)
    np.savez(tmp_path / "a.npz", x=images, y=np.array(["cat", "cat ", "dog"] * 4))
    with pytest.raises(BadInputError, match="classes 'cat' and 'cat ' look the same"):
        Arrays(str(tmp_path / "a.npz"), test_split=0.25).check()
    for number, name in enumerate(["caf\u00e9", "cafe\u0301"] * 3):
        (tmp_path / "f" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number]).save(tmp_path / "f" / name / f"{number}.png")
    with pytest.raises(BadInputError, match="move the images into one folder of them"):
        ImageFolder(str(tmp_path / "f"), test_split=0.3).check()


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["Cat", "cat", "dog"], "classes 'Cat' and 'cat' differ only in how they are written"),
        (["r1", "r01"], "classes 'r1' and 'r01' differ only in how they are written"),
        (["a", "b", "a;b"], "class 'a;b' reads like 'a' and 'b' together: "),
        (["a", "b", "c", "a, b", "b, c"], "'a' and 'b' together, and 1 more like it"),
        (["None", "bread"], "class 'None' looks like a missing label"),
        (["-1", "0", "1"], "class '-1' looks like a missing label"),
        (["1", "2", "?"], "class '?' looks like a missing label"),
        (["1", "2", "x"], "'x' stands among classes that are numbers"),
        (["1.5", "2", "3.5", "x"], "'x' stands among classes that are numbers"),
        ([*map(str, range(20)), "x", "y"], "'x', 'y' stand among classes that are numbers"),
    ],
)
def test_what_may_be_a_slip_is_one_line(names, told):
    (line,) = oddities(names)
    assert told in line


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1"],
        ["cat", "dog", "hot dog"],
        ["no", "yes"],
        ["1", "2", "10"],
        ["neg", "-5"],
        ["1", "x", "y"],
    ],
)
def test_ordinary_classes_are_not_spoken_of(names):
    assert oddities(names) == []


def test_names_by_place_may_not_be_other_numbers(tmp_path):
    file = table(tmp_path, ["0", "1", "2"])
    told = {"test_split": 0.25, "class_names": ["1", "2", "3"]}
    refused("class_names 1, 2, 3 are numbers, but not those that its labels are", file, **told)
    listed = TextTable(str(file), test_split=0.25, class_names=["2", "1", "0"])
    assert listed.outline().pool == (6, 6, 6)  # by value, in the order given
    images = np.arange(12 * 16, dtype=np.uint8).reshape(12, 4, 4)
    np.savez(tmp_path / "a.npz", x=images, y=[0, 1] * 6, class_names=[1, 0])
    with pytest.raises(BadInputError, match="are numbers, but not those"):
        Arrays(str(tmp_path / "a.npz"), test_split=0.25).check()


def test_the_outline_of_a_folder_counts_what_is_loaded(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
    for number, name in enumerate("aab" * 4):
        (tmp_path / "f" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number]).save(tmp_path / "f" / name / f"{number}.png")
    told = ImageFolder(str(tmp_path / "f"), test_split=0.25).outline()
    assert (told.classes, told.pool, told.test) == (("a", "b"), (6, 3), (2, 1))


def test_a_share_may_not_take_all_of_a_class(tmp_path):
    images = np.arange(12 * 16, dtype=np.uint8).reshape(12, 4, 4)
    np.savez(tmp_path / "a.npz", x=images, y=[0] * 4 + [1] * 4 + [2, 3, 4, 5])
    told = "takes the only example of class '2' \\(2 such classes\\)"
    with pytest.raises(BadInputError, match=told):
        Arrays(str(tmp_path / "a.npz"), test_split=0.5).check()


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.array(["a", "nan", "b"] * 4), "y has 'nan' 4 times, which is no label"),
        (np.array(["a", "", "b"] * 4), "y has '' 4 times"),
        (np.array([2**64 - 1, 1, 2] * 4, dtype=np.uint64), "64 bits without a sign"),
    ],
)
def test_archives_without_labels_in_places_are_refused(tmp_path, labels, told):
    images = np.arange(12 * 16, dtype=np.uint8).reshape(12, 4, 4)
    np.savez(tmp_path / "a.npz", x=images, y=labels)
    with pytest.raises(BadInputError, match=told):
        Arrays(str(tmp_path / "a.npz"), test_split=0.25).check()
